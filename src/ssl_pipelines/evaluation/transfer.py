"""transfer_eval: one encoder on other data sets, by linear probe and kNN on frozen features, summed up by mean rank.
Ericsson et al. 2021, arXiv:2011.13377. Differs: features are standardized unless transfer_eval.linear.standardize=false.

Each source (the encoder, a random initialization, raw pixels, another model) answers for a data set by itself and is kept, so that
whatever is interrupted goes on; scores are made of the answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.algorithms.bootstrap import interval
from ssl_pipelines.algorithms.ranks import DRAWS, mean_ranks, resampled_mean_ranks
from ssl_pipelines.artifacts import new_file, read_json, write_json
from ssl_pipelines.data import Store
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation import knn, linear
from ssl_pipelines.evaluation.config import ExtractConfig, KnnConfig, LinearConfig
from ssl_pipelines.evaluation.features import extract_source, reads
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.protocols import described
from ssl_pipelines.evaluation.scores import Outcome, Score, score_all
from ssl_pipelines.evaluation.stored import RAW_PIXELS, TRAINED
from ssl_pipelines.training.model import read_description
from ssl_pipelines.training.runtime import RuntimeConfig

ROOM = "transfer_eval"
HEADS = ("linear", "knn")


@dataclass(frozen=True, slots=True)
class Protocol:
    linear: LinearConfig
    knn: KnnConfig
    extract: ExtractConfig
    seed: int


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of all sources for one data set's test images.   outcomes: head -> source -> what each of its seeds said."""

    dataset: str
    frame: Frame
    outcomes: Mapping[str, Mapping[str, Sequence[Outcome]]]


def answer(source: str, model: Path, store: Path, eval_layer: str, protocol: Protocol, runtime: RuntimeConfig, out: Path) -> None:
    """Writes <head>.parquet (id, prediction) and answers.json into the existing folder `out`. Raises NotApplicable where labels are missing."""
    opened = Store.open(store)
    frame = Frame.of(opened, protocol.seed, ROOM)
    features = out / "features"
    features.mkdir()
    stored = extract_source(source, model, store, protocol.extract, protocol.seed, runtime, features)
    if source != RAW_PIXELS:
        stored = stored.at(stored.eval_layer(eval_layer, f"{ROOM}.eval_layer"))
    made = {
        "linear": linear.predict(stored, source, frame, config=protocol.linear, key=f"{ROOM}.linear"),
        "knn": knn.predict(stored, source, frame, config=protocol.knn),
    }
    shutil.rmtree(features)
    how = {} if source == RAW_PIXELS else shown(opened, model)
    for head, outcome in made.items():
        with new_file(out / f"{head}.parquet") as partial:
            pd.DataFrame({"id": frame.test, "prediction": outcome.predictions}).astype("int64").to_parquet(partial, index=False)
    facts = {
        head: {"protocol": {**one.protocol, **how}, "eval_layer": one.eval_layer, "chosen": dict(one.chosen)}
        for head, one in made.items()
    }
    write_json(out / "answers.json", facts)


def read_answer(folder: Path, head: str) -> Outcome:
    said = read_json(folder / "answers.json")[head]
    return Outcome(
        pd.read_parquet(folder / f"{head}.parquet")["prediction"].to_numpy(), said["protocol"], said["eval_layer"], said["chosen"]
    )


def shown(store: Store, model: Path) -> dict[str, Any]:
    """How the store's images reach the encoder, as a part of the protocol; empty where they are as it takes them."""
    about = read_description(model)
    size, channels = int(about["image_size"]), int(about["data"]["channels"])
    how = {"view_size": store.view_size, "size": size} if store.view_size != size else {}
    how |= {"channels": channels} if store.channels != channels else {}
    return {"images": how} if how else {}


def can_read(model: Path, store: Store) -> bool:
    return reads(int(read_description(model)["data"]["channels"]), store.channels)


def transfer_scores(answers: Sequence[Answers], seed: int) -> list[Score]:
    """`transfer.<data set>.<head>.top1`, its baselines, its gain over random initialization; `transfer.<head>.mean_rank` of each source."""
    scores: list[Score] = []
    for head in HEADS:
        tables = []
        for one in answers:
            outcomes, labels = one.outcomes[head], one.frame.store.labels(one.frame.test)
            others = {name: list(outcomes[name]) for name in outcomes if name != TRAINED}
            prefix = f"transfer.{one.dataset}.{head}"
            scores += score_all(prefix, outcomes[TRAINED][0], others, labels, seed, one.frame.facts())
            tables.append(_correct(outcomes, labels))
        if answers:
            scores += _ranks(head, [one.dataset for one in answers], list(answers[0].outcomes[head]), tables, seed)
    return scores


def _correct(outcomes: Mapping[str, Sequence[Outcome]], labels: NDArray) -> NDArray[np.float64]:
    """(images, sources): each image's correctness, of several seeds their mean."""
    return np.stack([np.mean([one.predictions == labels for one in seeds], axis=0) for seeds in outcomes.values()], axis=1)


def _ranks(head: str, datasets: Sequence[str], sources: Sequence[str], tables: Sequence[NDArray], seed: int) -> list[Score]:
    ranks = mean_ranks(np.stack([table.mean(axis=0) for table in tables]))
    sampled = resampled_mean_ranks(tables, generator(seed, f"bootstrap/transfer/{head}"))
    protocol = (
        f"mean rank of {head} top-1 among {', '.join(sources)} over {', '.join(datasets)}; 1 is the best, equal scores share their places; "
        f"percentile 95% of {DRAWS:,} bootstrap samples of the test images, the data sets staying the same"
    )
    found = []
    for column, source in enumerate(sources):
        low, high = interval(sampled[:, column])
        name = "mean_rank" if source == TRAINED else f"{source}_mean_rank"
        baseline = None if source == TRAINED else source
        found.append(
            Score(f"transfer.{head}.{name}", float(ranks[column]), low, high, len(datasets), described(protocol), seed, baseline)
        )
    return found
