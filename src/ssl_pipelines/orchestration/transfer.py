"""The transfer_eval room: other data sets are ingested and judged, each source answers for each of them and is kept, then scored together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact, InputError, Record, new_folder, read_json, write_json
from ssl_pipelines.artifacts.code import code_of
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.data import DatasetConfig, Store, raw_digest
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.eval_layer import check_eval_layer
from ssl_pipelines.evaluation.features import sources_of
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.stored import RANDOM_INIT, RAW_PIXELS, TRAINED
from ssl_pipelines.evaluation.transfer import HEADS, Answers, Protocol, answer, can_read, read_answer, transfer_scores
from ssl_pipelines.orchestration.freshness import make, why_stale
from ssl_pipelines.orchestration.judged_store import open_judged
from ssl_pipelines.orchestration.model_scores import model_eval_layer, stage_eval_layer
from ssl_pipelines.orchestration.parameters import PATHS, Parameters
from ssl_pipelines.orchestration.paths import home_root, project_root
from ssl_pipelines.orchestration.rooms import CUT, ROOMS, roots_of
from ssl_pipelines.orchestration.scoring import tell
from ssl_pipelines.orchestration.session import current
from ssl_pipelines.orchestration.tracking import Tracker
from ssl_pipelines.orchestration.transfer_config import TransferConfig
from ssl_pipelines.orchestration.upstream import Upstream, find_model, is_reference
from ssl_pipelines.training.model import load_method, read_description
from ssl_pipelines.training.runtime import num_workers
from ssl_pipelines.training.upstream import fingerprint

ROOM = ROOMS["transfer_eval"]
KEY = f"{ROOM.name}.datasets"
log = logging.getLogger("ssl_pipelines")


def check_transfer(parameters: Parameters, tracker: Tracker | None) -> tuple[dict[str, str], dict[str, Upstream]]:
    """(digests of the raw files, the further models). Raises InputError for what cannot be read; reads no image.

    Asked before any room has run, too."""
    config = _config(parameters)
    if not config.datasets:
        raise InputError(
            f"{KEY} is empty: name a data set or more, as with --params {KEY}.digits.reader=mnist5k "
            f"or {KEY}.photos.reader=image_folder,{KEY}.photos.root=<folder> (`kedro datasets` lists the readers)"
        )
    digests = {}
    for name, one in config.datasets.items():
        with _named(name):
            digests[f"raw files of {name}"] = raw_digest(one)
    found = {name: find_model(f"{ROOM.name}.models.{name}={given!r}", given, tracker) for name, given in config.models.items()}
    return digests, found


def make_transfer(model: Artifact, linear_scores: Artifact, parameters: Parameters) -> Artifact:
    """transfer_eval.json, transfer_eval.datasets.json and the page, of what was answered now or before."""
    config, tracker = _config(parameters), current().tracker
    digests, others = check_transfer(parameters, tracker)
    extra = digests | {f"model {name}": found.fingerprint for name, found in others.items()}

    def build(folder: Path, record: Record) -> None:
        from ssl_pipelines.reporting.transfer import write_transfer_page  # plots: a room that is up to date needs none

        models = _models(model.path, linear_scores.path, others, config)
        stores = {name: _store(name, one, config, parameters, folder) for name, one in config.datasets.items()}
        _check_channels(models, stores)
        facts, answers = [], []
        for name, store in stores.items():
            try:
                frame = Frame.of(store, parameters.run.seed, ROOM.name)
            except NotApplicable as reason:
                facts.append(_facts(name, store) | {"skipped": str(reason)})
                continue
            facts.append(_facts(name, store) | {"skipped": None})
            answers.append(_answers(name, frame, models, config, parameters, folder))
        scores = transfer_scores(answers, parameters.run.seed)
        (project_root() / ROOM.record).unlink(missing_ok=True)
        write_json(folder / "transfer_eval.datasets.json", facts)
        write_json(folder / "transfer_eval.json", [asdict(score) for score in scores])
        write_transfer_page(folder, model.path, list(others))
        tell(ROOM.name, scores)
        if tracker is not None and scores:
            for name in ("transfer_eval.html", "transfer_eval.json"):
                tracker.file(folder / name, "transfer")

    inputs = {"model": model.fingerprint, "linear_scores": linear_scores.fingerprint}
    made = make(ROOM, parameters, inputs, build, extra=extra)
    _say_skipped(made.path)
    return made


@dataclass(frozen=True, slots=True)
class Judged:
    """A model folder, and the layer at which it is judged on every data set."""

    folder: Path
    eval_layer: str


def _models(model: Path, linear_scores: Path, others: Mapping[str, Upstream], config: TransferConfig) -> dict[str, Judged]:
    """This project's model at the layer that was scored or asked for, and the others at theirs. Raises InputError for an unknown layer."""
    own = stage_eval_layer(ROOM.name, config.eval_layer, linear_scores, model)
    check_eval_layer(f"{ROOM.name}.eval_layer", own, load_method(model))
    beside = {name: Judged(one.folder, model_eval_layer(f"{ROOM.name}.models.{name}", None, one)) for name, one in others.items()}
    return {TRAINED: Judged(model, own), **beside}


def _answers(
    name: str, frame: Frame, models: Mapping[str, Judged], config: TransferConfig, parameters: Parameters, folder: Path
) -> Answers:
    extract = parameters.block("extract_features", ExtractConfig)
    protocol = Protocol(config.linear, config.knn, extract, parameters.run.seed)
    outcomes: dict[str, dict[str, list[Any]]] = {head: {} for head in HEADS}
    ours = models[TRAINED]
    jobs = [(source, source.split("/")[0], source, ours) for source in sources_of(extract)]
    jobs += [(f"models/{other}", other, TRAINED, judged) for other, judged in models.items() if other != TRAINED]
    for place, column, source, judged in jobs:
        where = folder / name / "answers" / place
        _ensure_answer(
            f"{ROOM.name}, {name}, {column if column != RANDOM_INIT else source}",
            where,
            source,
            judged,
            frame,
            protocol,
            parameters,
        )
        for head in HEADS:
            outcomes[head].setdefault(column, []).append(read_answer(where, head))
    return Answers(name, frame, outcomes)


def _ensure_answer(
    said: str, where: Path, source: str, judged: Judged, frame: Frame, protocol: Protocol, parameters: Parameters
) -> None:
    """Made unless it stands and is fresh: the unit in which an interrupted room goes on."""
    model = judged.folder
    method = str(read_description(model)["parameters"]["method"])
    values: dict[str, Any] = {
        "linear": protocol.linear.model_dump(mode="json"),
        "knn": protocol.knn.model_dump(mode="json"),
        "seed": protocol.seed,
    }
    inputs = {"data": frame.store.sha256}
    values |= {} if source == RAW_PIXELS else {"eval_layer": judged.eval_layer}
    inputs |= {} if source == RAW_PIXELS else {"model": fingerprint(model)}
    wanted = Record(flatten(values), inputs, code_of(*roots_of(ROOM, method), cut=CUT))
    unit = replace(ROOM, name=said, folder=str(where), outputs=())
    found = Record.read(where / "record.json")
    reason = why_stale(unit, found, wanted, where, parameters.runtime.on_code_change)
    if reason is None:
        return
    log.info("%s: %s", said, reason)
    with new_folder(where) as fresh:
        answer(source, model, frame.store.folder, judged.eval_layer, protocol, parameters.runtime, fresh)
        wanted.write(fresh / "record.json")


def _config(parameters: Parameters) -> TransferConfig:
    """With paths as they are to be opened."""
    config = parameters.block(ROOM.name, TransferConfig)
    located = {
        name: one.model_copy(update={key: str(home_root() / value) for key in PATHS if (value := getattr(one, key))})
        for name, one in config.datasets.items()
    }
    models = {name: given if is_reference(given) else str(home_root() / given) for name, given in config.models.items()}
    return config.model_copy(update={"datasets": located, "models": models})


def _store(name: str, dataset: DatasetConfig, config: TransferConfig, parameters: Parameters, folder: Path) -> Store:
    with _named(name):
        workers, key = num_workers(parameters.runtime), f"{KEY}.{name}"
        return open_judged(dataset, parameters.run.seed, folder / name / "data", config.gate, workers, key)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Readers speak of `dataset.<key>`: here it stands elsewhere."""
    try:
        yield
    except InputError as error:
        text = str(error)
        key = f"{KEY}.{name}"
        if text.startswith("dataset."):
            text = f"{key}.{text.removeprefix('dataset.')}"
        raise InputError(text if text.startswith(key) else f"{key}: {text}") from error


def _check_channels(models: Mapping[str, Judged], stores: Mapping[str, Store]) -> None:
    for model, judged in models.items():
        for name, store in stores.items():
            if not can_read(judged.folder, store):
                channels = read_description(judged.folder)["data"]["channels"]
                whose = "this encoder" if model == TRAINED else f"{ROOM.name}.models.{model}"
                raise InputError(
                    f"{KEY}.{name}.channels: its images have {store.channels} channels, {whose} reads {channels}; "
                    f"give {KEY}.{name}.channels={channels} where they can be had so (gray alone is repeated by itself)"
                )


def _facts(name: str, store: Store) -> dict[str, Any]:
    """Of one data set, for the page: what it is and how many of its images have labels."""
    counts = {split: int((store.labels(store.ids(split)) >= 0).sum()) for split in ("train", "validation", "test")}
    known = {"name": name, "source": store.name, "reader": store.reader, "size": store.view_size, "channels": store.channels}
    return known | {"classes": len(store.classes), "labeled": counts, "sha256": store.sha256}


def _say_skipped(folder: Path) -> None:
    facts = read_json(folder / "transfer_eval.datasets.json")
    skipped = {one["name"]: one["skipped"] for one in facts if one["skipped"]}
    for name, reason in skipped.items():
        log.warning("%s: %s skipped: %s", ROOM.name, name, reason)
    if len(skipped) == len(facts):
        current().skip(ROOM.name, f"none of the data sets can be scored: {'; '.join(skipped.values())}")
