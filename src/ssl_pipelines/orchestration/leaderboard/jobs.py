"""How a row is made: train, extract, score, write; each step is kept, so that whatever is interrupted goes on from there."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch

from ssl_pipelines.artifacts import new_folder, read_json
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import ExtractConfig, KnnConfig, LinearConfig
from ssl_pipelines.evaluation.features import extract_features
from ssl_pipelines.evaluation.knn import knn_eval
from ssl_pipelines.evaluation.linear import linear_eval
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.orchestration.leaderboard.plans import Plan
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.reporting.inputs import Model, Scores
from ssl_pipelines.reporting.leaderboard import Row, curve_file, write_curve
from ssl_pipelines.training import launch
from ssl_pipelines.training.events import history
from ssl_pipelines.training.runtime import set_threads


@dataclass(frozen=True, slots=True)
class Job:
    """All that a process must know to make one row, as plain values."""

    method: str
    budget: str
    dataset: str
    tree: dict[str, Any]
    encoder: str
    fingerprint: str
    code: str
    store: str
    place: str
    docs: str
    model_only: bool = False  # the row stands, but another method needs the model

    @classmethod
    def of(cls, plan: Plan, budget: str, dataset: str, store: Path, docs: Path, *, model_only: bool = False) -> Self:
        facts = (plan.method, budget, dataset, plan.tree, plan.encoder, plan.fingerprint, plan.code)
        return cls(*facts, str(store), str(plan.place), str(docs), model_only)

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**read_json(path))

    def values(self) -> dict[str, Any]:
        return asdict(self)


def carry_out(job: Job) -> None:
    """Writes the row and its curve below `job.docs`. Raises what training and evaluation raise; called again it goes on."""
    place, store = Path(job.place), Path(job.store)
    parameters = Parameters.of(job.tree, len(Store.open(store).pretraining_ids()))
    training = place / "training"
    set_threads(parameters.runtime)
    if not (training / "final" / "config.json").is_file():
        launch.run(parameters.run, parameters.runtime, store, training)
    if not job.model_only:
        scores = _scores(parameters, training / "final", store, place)
        _write(job, parameters, training, scores)
    for path in training.glob("step-*.pt"):
        path.unlink()
    shutil.rmtree(place / "features", ignore_errors=True)


def _scores(parameters: Parameters, model: Path, store: Path, place: Path) -> Scores:
    """What stands there is kept: the test images are scored once."""
    seed, scores, features = parameters.run.seed, place / "scores", place / "features"
    scores.mkdir(exist_ok=True)
    done = [(scores / f"{room}.json").is_file() for room in ("linear_eval", "knn_eval")]
    if not all(done) and not features.is_dir():
        with new_folder(features) as out:
            extract_features(model, store, parameters.block("extract_features", ExtractConfig), seed, parameters.runtime, out)
    if not done[0]:
        linear_eval(features, store, parameters.block("linear_eval", LinearConfig), seed, scores)
    if not done[1]:
        knn_eval(features, store, parameters.block("knn_eval", KnnConfig), seed, scores)
    return Scores(scores)


def _write(job: Job, parameters: Parameters, training: Path, scores: Scores) -> None:
    model, found, measured = Model(training / "final"), scores.by_metric, read_json(training / "measured.json")
    top, random_init, gain = (found[f"linear.{name}"] for name in ("top1", "random_init_top1", "gain"))
    row = Row(
        **_identity(job, parameters.run.seed),
        eval_layer=top["eval_layer"],
        images_seen=model.config["images_seen"],
        views_seen=model.config["views_seen"],
        seconds=measured["seconds"],
        images_per_second=measured["images_per_second"],
        peak_memory=measured["peak_memory"],
        threads=torch.get_num_threads(),
        linear_top1=top["value"],
        random_init_top1=random_init["value"],
        gain=gain["value"],
        gain_low=gain["low"],
        gain_high=gain["high"],
        knn_top1=found["knn.top1"]["value"],
        verdict="learns" if gain["low"] > 0 else "miss",
    )
    write_curve(curve_file(Path(job.docs), *row.name), model.history)
    row.write(Path(job.docs))


def write_bug(job: Job, seed: int, reason: str) -> Row:
    """The row of a training that ended itself, or of a method that failed; with the curve as far as it came."""
    row = Row(**_identity(job, seed), verdict="bug", reason=reason)
    events, curve = Path(job.place) / "training" / "events.jsonl", curve_file(Path(job.docs), *row.name)
    curve.unlink(missing_ok=True)
    recorded = history(events) if events.is_file() else None
    if recorded is not None and len(recorded):
        write_curve(curve, recorded)
    row.write(Path(job.docs))
    return row


def _identity(job: Job, seed: int) -> dict[str, Any]:
    facts = {"method": job.method, "family": TABLE[job.method].family, "dataset": job.dataset, "budget": job.budget}
    return facts | {"encoder": job.encoder, "seed": seed, "fingerprint": job.fingerprint, "code": job.code}
