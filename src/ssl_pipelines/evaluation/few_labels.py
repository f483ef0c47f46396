"""few_labels: what the encoder is worth where labels are few, and whether it is worth having where they are not: shares of the labels and
n a class, drawn many times; frozen features by logistic regression and by the nearest class mean, and fine-tuning, each beside what
the same labels give without pretraining."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, new_file, write_json
from ssl_pipelines.data import Store
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation import imagenet
from ssl_pipelines.evaluation.config import FewLabelsConfig
from ssl_pipelines.evaluation.draws import Drawn, draw_all, settings_of
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.few_scores import IMAGENET, Answers, scores_of
from ssl_pipelines.evaluation.finetune import predict, recipe_of, start, train
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.heads import HEADS, Rows
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.protocols import STARTS
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.evaluation.stored import RANDOM_INIT, RAW_PIXELS, TRAINED, StoredFeatures
from ssl_pipelines.training.runtime import RuntimeConfig, set_up

ROOM = "few_labels"
BEST = "best"  # few_labels.eval_layer: of several layers one, by cross-validation within each draw
NO_IDS = np.empty(0, dtype=np.int64)
log = logging.getLogger("ssl_pipelines")


@dataclass(frozen=True, slots=True)
class Source:
    """Features on which heads are judged. Of several parts (seeds of a baseline), `part` is judged on the draws k with k % parts ==
    part, and on a setting's only draw."""

    name: str
    rows: Callable[[NDArray[np.int64]], Rows]
    part: int = 0
    parts: int = 1


def few_labels(
    model: Path, store: Path, features: Path, config: FewLabelsConfig, eval_layer: str, seed: int, runtime: RuntimeConfig, out: Path
) -> list[Score]:
    """Writes few_labels.json, few_labels.draws.parquet (setting, words, labels, head, source, draw, top1) and few_labels.notes.json
    (what was left out and why; the budget of fine-tuning; timm's model) into `out`.

    `eval_layer`: whose features are judged, of random initializations too; "best": chosen within each draw.
    Raises NotApplicable where labels are missing or allow no setting, InputError for a layer or a timm model that is not there."""
    if config.timm is not None:
        imagenet.check_name(config.timm)
    stored = StoredFeatures.open(features)
    if eval_layer != BEST:
        stored = stored.at(stored.eval_layer(eval_layer, f"{ROOM}.eval_layer", BEST))
    frame, device = Frame.of(Store.open(store), seed, ROOM), set_up(runtime)
    pool = frame.both
    drawn, notes = _draws(frame, config, seed)
    answers = Answers()
    try:  # first of all, so that a wrong recipe is refused before any other work
        _finetune(model, frame, drawn, config, device, answers)
    except InputError as error:
        raise (
            InputError(str(error).replace("finetune", f"{ROOM}.finetune")) if str(error).startswith("finetune") else error
        ) from None
    sources = [*_stored_sources(stored), *_timm_source(frame, config, device, notes)]
    with progress(ROOM, len(sources) * len(drawn), "settings") as advance:
        for source in sources:
            rows, test = source.rows(pool), source.rows(frame.test)
            for one in drawn:
                _judge(source, rows, test, one, pool, frame, config, seed, answers)
                advance(1)
    labels = frame.store.labels(frame.test)  # read for the first time
    scores, table = scores_of(answers, drawn, labels, config, frame, seed)
    with new_file(out / f"{ROOM}.draws.parquet") as partial:
        pd.DataFrame(table).to_parquet(partial, index=False)
    write_json(out / f"{ROOM}.notes.json", {"left_out": notes, "images_seen": config.finetune.images_seen, "timm": config.timm})
    write_json(out / f"{ROOM}.json", [asdict(score) for score in scores])
    return scores


def _draws(frame: Frame, config: FewLabelsConfig, seed: int) -> tuple[list[Drawn], list[str]]:
    labels, possible, notes = frame.store.labels(frame.both), [], []
    for setting in settings_of(config):
        reason = setting.why_not(labels, frame.store.classes)
        if reason is None:
            possible.append(setting)
        else:
            log.info("%s: %s", ROOM, reason)
            notes.append(reason)
    if not possible:
        raise NotApplicable(f"{ROOM}: {frame.store.name!r} has labels for none of what was asked: {'; '.join(notes)}")
    return draw_all(possible, frame.both, labels, config, seed), notes


def _judge(
    source: Source, rows: Rows, test: Rows, one: Drawn, pool: NDArray, frame: Frame, config: FewLabelsConfig, seed: int, answers: Answers
) -> None:  # fmt: skip
    for k, ids in enumerate(one.ids):
        if len(one.ids) > 1 and k % source.parts != source.part:
            continue
        places, labels = np.searchsorted(pool, ids), frame.store.labels(ids)
        drawn = {layer: x[places] for layer, x in rows.items()}
        for name, head in HEADS.items():
            split = generator(seed, f"few_labels/{one.setting.key}/folds", k)  # the same for every source
            found = head(drawn, labels, test, config, split)
            answers.add(
                one.setting.key, name, source.name, k, found.predictions, eval_layer=found.layer, l2=found.l2, folds=found.folds
            )


def _finetune(
    model: Path, frame: Frame, drawn: list[Drawn], config: FewLabelsConfig, device: torch.device, answers: Answers
) -> None:
    """The trained encoder and fresh weights, by one budget, on the first draws of each setting."""
    wanted = config.finetune
    chosen = [one for one in drawn if wanted.at == "all" or one.setting.fraction is not None]
    fits = [(one, k) for one in chosen for k in range(min(wanted.draws, len(one.ids)))]
    if not fits:
        return
    with progress(f"{ROOM}, fine-tuning", len(STARTS) * len(fits), "networks") as advance:
        for one, k in fits:
            learnt = replace(frame, fit=one.ids[k], validation=NO_IDS)
            steps = -(-wanted.images_seen // min(wanted.batch_size, len(learnt.fit)))
            for name in STARTS:
                recipe = recipe_of(name, wanted)
                network = start(name, model, frame.store, recipe, one.seeds[k]).to(device)
                train(network, learnt, recipe, one.seeds[k], steps, lambda n: None)
                answers.add(one.setting.key, "finetune", name, k, predict(network, frame.store, frame.test), steps=steps)
                advance(1)


def _stored_sources(stored: StoredFeatures) -> Iterator[Source]:
    def rows(source: str) -> Callable[[NDArray[np.int64]], Rows]:
        return lambda ids: {layer: stored.rows(source, layer, ids) for layer in stored.layers_of(source)}

    yield Source(TRAINED, rows(TRAINED))
    for i, name in enumerate(stored.random_inits):
        yield Source(RANDOM_INIT, rows(name), i, len(stored.random_inits))
    yield Source(RAW_PIXELS, rows(RAW_PIXELS))


def _timm_source(frame: Frame, config: FewLabelsConfig, device: torch.device, notes: list[str]) -> Iterator[Source]:
    """The timm model's features; none, and one line in the log, where its weights cannot be loaded."""
    if config.timm is None:
        return
    try:
        model, expects = imagenet.load_pretrained(config.timm, config.timm_size, frame.store.channels)
    except imagenet.Unavailable as reason:
        notes.append(f"ImageNet weights are left out: {reason}")
        log.warning("%s: %s", ROOM, notes[-1])
        return
    size = config.timm_size
    yield Source(
        IMAGENET, lambda ids: {config.timm or "": imagenet.pretrained_features(model, expects, frame.store, ids, size, device)}
    )
