"""Promotion: the project's model is registered in MLflow, and becomes @champion only if it beats the present one beyond chance."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ssl_pipelines.artifacts import Artifact, InputError, read_json
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.contest import METRIC, Judged, Verdict, contest
from ssl_pipelines.evaluation.eval_layer import recorded_eval_layer
from ssl_pipelines.evaluation.protocols import said
from ssl_pipelines.orchestration.mlflow.candidates import candidates_judged
from ssl_pipelines.orchestration.mlflow.registry import CHAMPION, DATA, LAYER, WEIGHTS, WITHDRAWN, Registry, now
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import provenance_of
from ssl_pipelines.orchestration.models.promote_config import PromoteConfig
from ssl_pipelines.training.upstream import facts

log = logging.getLogger("ssl_pipelines")
JUDGED = "judged"  # tag of a version: the artifact folder of its run that holds its scores and its answers
PLACE = "promotion"  # above it
CANDIDATES = "candidates_judged"  # tag of a version: models that its test images had judged by its promotion


@dataclass(frozen=True, slots=True)
class Candidate:
    """The project's finished model, the store that it was judged on, and the judgement; or why there is none."""

    model: Path
    store: Path
    judged: Judged | str

    @property
    def facts(self) -> dict[str, Any]:
        return facts(self.model)


def candidate_of(store: Artifact, model: Artifact, scores: Artifact) -> Candidate:
    name = "linear_eval"
    rows, opened = read_json(scores.path / f"{name}.json"), Store.open(store.path)
    if not rows:
        note = scores.path / f"{name}.skipped.txt"
        why = note.read_text(encoding="utf-8").strip() if note.is_file() else f"{name} has no score"
        return Candidate(model.path, store.path, f"nothing to compare: {why}")
    answers = pd.read_parquet(scores.path / f"{name}.predictions.parquet")
    return Candidate(model.path, store.path, Judged(opened.name, opened.sha256, rows, answers))


def promote(candidate: Candidate, config: PromoteConfig, tracker: Tracker) -> None:
    """Registers the candidate, and makes it champion or says in one line why not. Raises InputError with promote.require alone."""
    registry = Registry(tracker, config.name)
    with registry.alone():
        version, anew = _registered(registry, candidate)
        number = str(version.version)
        champion = registry.aliases.get(CHAMPION)
        where = f"version {number} of {config.name}"
        if champion == number:
            more = "its scores by the present protocol are kept with it" if anew else "nothing to do"
            log.info("promote: %s has these weights and is @champion already; %s", where, more)
            return
        verdict = _judge(registry, version.tags, candidate, champion, config)
        many = _said_candidates(registry, number, candidate)
        by_hand = not verdict.won and config.override is not None
        if verdict.won or by_hand:
            reason = f"by hand: {config.override} ({verdict.reason})" if by_hand else verdict.reason
            registry.crown(number)
            registry.tag(number, {"verdict": f"champion: {reason}"})
            after = f"; version {champion} is @previous" if champion else ""
            log.info("promote: %s is @champion: %s%s%s", where, reason, after, many)
            return
        registry.tag(number, {"verdict": f"refused {now()}: {verdict.reason}"})
    stays = f"; version {champion} stays" if champion else ""
    line = f"promote: {where} is not @champion: {verdict.reason}{stays}{many}"
    if config.require:
        raise InputError(line)
    log.warning("%s", line)


def _registered(registry: Registry, candidate: Candidate) -> tuple[Any, bool]:
    """The one version of these weights at the layer that was scored, with what is known of them by now, and whether that is new."""
    known, provenance = candidate.facts, provenance_of(candidate.model)
    layer = _eval_layer(candidate)
    version = registry.with_weights(known["fingerprint"], layer)
    if version is None:
        uri, run_id = _logged(registry.tracker, candidate, provenance, layer)
        tags = {
            WEIGHTS: known["fingerprint"],
            LAYER: layer,
            "method": known["method"],
            "backbone": known["backbone"],
            "images_seen": str(known["images_seen"]),
            "git_commit": str(provenance.get("git_commit", "unknown")),
        }
        version = registry.register(
            uri, run_id, tags, f"{known['method']} on {known['data']}, {known['images_seen']:,} images seen, served at {layer}"
        )
    elif LAYER not in version.tags:  # registered by an earlier version, which served `final`
        registry.tag(str(version.version), {LAYER: layer})
    anew = _keep_judgement(registry, version, candidate)
    return registry.version(str(version.version)), anew


def _keep_judgement(registry: Registry, version: Any, candidate: Candidate) -> bool:
    """Scores and answers as artifacts of the version's run, then the tags; True where they were not there yet."""
    judged = candidate.judged
    if isinstance(judged, str):
        return False
    place = f"{PLACE}/{judged.digest[:16]}"
    if version.tags.get(JUDGED) == place:
        return False
    with tempfile.TemporaryDirectory() as room:
        judged.write(Path(room) / JUDGED)
        registry.tracker.client.log_artifacts(version.run_id, str(Path(room) / JUDGED), place)
    number, tags = (
        str(version.version),
        {"data": judged.data, DATA: judged.sha256, "protocol": said(judged.score(METRIC))},
    )
    for row in judged.scores:
        tags[row["metric"]] = f"{row['value']:.6g}"
        if row["low"] is not None:
            tags[f"{row['metric']}.interval"] = f"{row['low']:.6g} {row['high']:.6g}"
    registry.tag(number, tags | {JUDGED: place})
    return True


def _eval_layer(candidate: Candidate) -> str:
    """The layer that the score was made at; of a model without a score, the one that it records, else what `encode` gives."""
    scored = None if isinstance(candidate.judged, str) else candidate.judged.eval_layer
    layer = scored or recorded_eval_layer(candidate.model)
    if layer is None:
        log.warning("promote: this model has no score that chose an eval layer, so it is served at %r, what `encode` gives", FINAL)
    return layer or FINAL


def _said_candidates(registry: Registry, number: str, candidate: Candidate) -> str:
    """How many models the candidate's test images have judged, as the end of a line, and as a tag of its version."""
    if isinstance(candidate.judged, str):
        return ""
    count = candidates_judged(registry, candidate.judged.sha256)
    registry.tag(number, {CANDIDATES: str(count)})
    return f"; these test images have judged {count:,} candidate{'' if count == 1 else 's'} so far"


def _logged(tracker: Tracker, candidate: Candidate, provenance: Mapping[str, Any], layer: str) -> tuple[str, str]:
    """(URI, run) of the model that its pretraining logged; where that is not served at `layer`, or this MLflow does not know that run, it
    is logged now."""
    from ssl_pipelines.orchestration.mlflow.model_logging import log_encoder

    run_id = str(provenance.get("mlflow_run_id") or "")
    uri, fixed = tracker.model_uri(run_id) if run_id else None, recorded_eval_layer(candidate.model) == layer
    if uri is not None and fixed:
        return uri, run_id
    why = (
        "MLflow did not know the run of this model" if uri is None else "the model was logged before an evaluation chose its layer"
    )
    opened = tracker.open_evaluation(provenance, "promotion", {"method": candidate.facts["method"]})
    known, uri = uri is not None, log_encoder(tracker, candidate.model, candidate.store, None if fixed else layer)
    tracker.tags({"model_uri": uri})
    log.info("promote: %s, so it was logged now, at eval layer %s, as %s", why, layer, uri)
    return uri, run_id if known else opened


def _judge(
    registry: Registry, tags: Mapping[str, str], candidate: Candidate, champion: str | None, config: PromoteConfig
) -> Verdict:
    if WITHDRAWN in tags:
        return Verdict(False, f"it was withdrawn by a rollback at {tags[WITHDRAWN]}; promote.override=<reason> puts it up again")
    if isinstance(candidate.judged, str):
        return Verdict(False, candidate.judged)
    if champion is None:
        return contest(candidate.judged, None, config.margin)
    version = registry.version(champion)
    if version.tags.get(WEIGHTS) == tags[WEIGHTS] and LAYER not in version.tags:
        return Verdict(True, f"the weights of version {champion}, served from now on at {tags[LAYER]}, where they were scored")
    place = version.tags.get(JUDGED)
    if place is None:
        return Verdict(False, f"version {champion} was not judged by a promotion, so there are no answers of it to compare with")
    with tempfile.TemporaryDirectory() as room:
        registry.tracker.download("promote", f"runs:/{version.run_id}/{place}", Path(room))
        [found] = [path.parent for path in Path(room).rglob("judged.json")]
        return contest(candidate.judged, Judged.read(found), config.margin)
