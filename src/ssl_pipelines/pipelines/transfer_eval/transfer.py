"""Other data sets are ingested and judged, each source answers for each of them and is kept, then they are scored together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact, InputError, Record, read_json, write_json
from ssl_pipelines.artifacts.code import code_of
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.data import DatasetConfig, Store
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.eval_layer import check_eval_layer
from ssl_pipelines.evaluation.features import sources_of
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.stored import RANDOM_INIT, RAW_PIXELS, TRAINED
from ssl_pipelines.evaluation.transfer import HEADS, Answers, Protocol, answer, can_read, read_answer, transfer_scores
from ssl_pipelines.orchestration.freshness.make import Place, make
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import Upstream
from ssl_pipelines.orchestration.models.scores import model_eval_layer, stage_eval_layer
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import CUT
from ssl_pipelines.orchestration.validation.judged_store import open_judged
from ssl_pipelines.pipelines.transfer_eval.config import TransferConfig
from ssl_pipelines.pipelines.transfer_eval.resolve import KEY, NAME, named, resolve
from ssl_pipelines.training.model import load_method, read_description
from ssl_pipelines.training.runtime import RuntimeConfig, num_workers
from ssl_pipelines.training.upstream import fingerprint

log = logging.getLogger("ssl_pipelines")
PARTS = ("transfer_eval.json", "transfer_eval.html")  # what MLflow gets


def make_transfer(
    model: Artifact,
    linear_scores: Artifact,
    given: TransferConfig,
    extract: ExtractConfig,
    seed: int,
    runtime: RuntimeConfig,
    stage: StageRun,
) -> Artifact:
    """transfer_eval.json, transfer_eval.datasets.json and the page, of what was answered now or before."""
    config, digests, others = resolve(given, stage.tracker)
    extra = digests | {f"model {name}": found.fingerprint for name, found in others.items()}
    protocol = Protocol(config.linear, config.knn, extract, seed)

    def build(folder: Path, record: Record) -> None:
        from ssl_pipelines.reporting.transfer import write_transfer_page  # plots: a stage that is up to date needs none

        models = _models(model.path, linear_scores.path, others, config, stage.tracker)
        stores = {name: _store(name, one, config, seed, runtime, folder) for name, one in config.datasets.items()}
        _check_channels(models, stores)
        facts, answers = [], []
        for name, store in stores.items():
            try:
                frame = Frame.of(store, seed, NAME)
            except NotApplicable as reason:
                facts.append(_facts(name, store) | {"skipped": str(reason)})
                continue
            facts.append(_facts(name, store) | {"skipped": None})
            answers.append(_answers(name, frame, models, protocol, stage, folder))
        scores = transfer_scores(answers, seed)
        (project_root() / stage.stage.record).unlink(missing_ok=True)
        write_json(folder / "transfer_eval.datasets.json", facts)
        write_json(folder / "transfer_eval.json", [asdict(score) for score in scores])
        write_transfer_page(folder, model.path, list(others))
        stage.tell(scores)
        if stage.tracker is not None and scores:
            for name in PARTS:
                stage.tracker.file(folder / name, "transfer")

    made = stage.make(build, extra=extra)
    _say_skipped(made.path, stage)
    return made


@dataclass(frozen=True, slots=True)
class Judged:
    """A model folder, and the layer at which it is judged on every data set."""

    folder: Path
    eval_layer: str


def _models(
    model: Path, linear_scores: Path, others: Mapping[str, Upstream], config: TransferConfig, tracker: Tracker | None
) -> dict[str, Judged]:
    """This project's model at the layer that was scored or asked for, and the others at theirs. Raises InputError for an unknown layer."""
    own = stage_eval_layer(NAME, config.eval_layer, linear_scores, model)
    check_eval_layer(f"{NAME}.eval_layer", own, load_method(model))
    beside = {
        name: Judged(one.folder, model_eval_layer(f"{NAME}.models.{name}", None, one, tracker)) for name, one in others.items()
    }
    return {TRAINED: Judged(model, own), **beside}


def _answers(name: str, frame: Frame, models: Mapping[str, Judged], protocol: Protocol, stage: StageRun, folder: Path) -> Answers:
    outcomes: dict[str, dict[str, list[Any]]] = {head: {} for head in HEADS}
    ours = models[TRAINED]
    jobs = [(source, source.split("/")[0], source, ours) for source in sources_of(protocol.extract)]
    jobs += [(f"models/{other}", other, TRAINED, judged) for other, judged in models.items() if other != TRAINED]
    for place, column, source, judged in jobs:
        where = folder / name / "answers" / place
        said = f"{NAME}, {name}, {column if column != RANDOM_INIT else source}"
        _ensure_answer(said, where, source, judged, frame, protocol, stage)
        for head in HEADS:
            outcomes[head].setdefault(column, []).append(read_answer(where, head))
    return Answers(name, frame, outcomes)


def _ensure_answer(said: str, where: Path, source: str, judged: Judged, frame: Frame, protocol: Protocol, stage: StageRun) -> None:
    """Made unless it stands and is fresh: the unit in which an interrupted stage goes on."""
    model, runtime = judged.folder, stage.parameters.runtime
    values: dict[str, Any] = {
        "linear": protocol.linear.model_dump(mode="json"),
        "knn": protocol.knn.model_dump(mode="json"),
        "seed": protocol.seed,
    }
    inputs = {"data": frame.store.sha256}
    values |= {} if source == RAW_PIXELS else {"eval_layer": judged.eval_layer}
    inputs |= {} if source == RAW_PIXELS else {"model": fingerprint(model)}
    method = str(read_description(model)["parameters"]["method"])
    wanted = Record(flatten(values), inputs, code_of(*stage.stage.roots(method), cut=CUT))

    def build(fresh: Path, record: Record) -> None:
        answer(source, model, frame.store.folder, judged.eval_layer, protocol, runtime, fresh)

    make(Place(said, where, where / "record.json"), wanted, build, runtime.on_code_change)


def _store(name: str, dataset: DatasetConfig, config: TransferConfig, seed: int, runtime: RuntimeConfig, folder: Path) -> Store:
    with named(name):
        return open_judged(dataset, seed, folder / name / "data", config.gate, num_workers(runtime), f"{KEY}.{name}")


def _check_channels(models: Mapping[str, Judged], stores: Mapping[str, Store]) -> None:
    for model, judged in models.items():
        for name, store in stores.items():
            if not can_read(judged.folder, store):
                channels = read_description(judged.folder)["data"]["channels"]
                whose = "this encoder" if model == TRAINED else f"{NAME}.models.{model}"
                raise InputError(
                    f"{KEY}.{name}.channels: its images have {store.channels} channels, {whose} reads {channels}; "
                    f"give {KEY}.{name}.channels={channels} where they can be had so (gray alone is repeated by itself)"
                )


def _facts(name: str, store: Store) -> dict[str, Any]:
    """Of one data set, for the page: what it is and how many of its images have labels."""
    counts = {split: int((store.labels(store.ids(split)) >= 0).sum()) for split in ("train", "validation", "test")}
    known = {"name": name, "source": store.name, "reader": store.reader, "size": store.view_size, "channels": store.channels}
    return known | {"classes": len(store.classes), "labeled": counts, "sha256": store.sha256}


def _say_skipped(folder: Path, stage: StageRun) -> None:
    facts = read_json(folder / "transfer_eval.datasets.json")
    skipped = {one["name"]: one["skipped"] for one in facts if one["skipped"]}
    for name, reason in skipped.items():
        log.warning("%s: %s skipped: %s", NAME, name, reason)
    if len(skipped) == len(facts):
        stage.session.skipped[NAME] = f"none of the data sets can be scored: {'; '.join(skipped.values())}"
