"""What stands in a stage's folder, in a few facts, and whether it is still what was written there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import read_json
from ssl_pipelines.artifacts.files import sha256_of
from ssl_pipelines.data import Store
from ssl_pipelines.data.manifest import content_digest
from ssl_pipelines.orchestration.stages import Stage


def what_it_is(stage: Stage, folder: Path) -> tuple[dict[str, str], str]:
    """(facts, what is wrong with it or nothing)"""
    look = _FACTS.get(stage.name)
    return ({}, "") if look is None else look(folder)


def _of_features(folder: Path) -> tuple[dict[str, str], str]:
    about = read_json(folder / "stages.json")
    return {"stages": ", ".join(f"{stage['name']} ({stage['dim']})" for stage in about["stages"])}, ""


def _of_model(folder: Path) -> tuple[dict[str, str], str]:
    """With the weights' sha256, held against the one that was noted when they were written."""
    path = folder / "provenance.json"
    known: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    noted: Mapping[str, str] = known.get("weights") or {}
    facts, wrong = {}, ""
    for name in ("encoder.safetensors", "method.safetensors"):
        now = sha256_of(folder / name)
        facts[f"{name}, sha256"] = now + ("" if noted.get(name) else " (none was noted to hold it against)")
        if noted.get(name, now) != now:
            wrong = f"{name} is not the file that the training wrote: its sha256 was {noted[name]}"
    facts |= {key: str(known[name]) for key, name in (("commit", "git_commit"), ("command", "command")) if name in known}
    return facts, wrong


def _of_gate(folder: Path) -> tuple[dict[str, str], str]:
    about = read_json(folder / "validation.json")
    return {"verdict": f"{'passed' if about['passed'] else 'failed'}, {len(about['outcomes'])} expectations"}, ""


def _of_store(folder: Path) -> tuple[dict[str, str], str]:
    store = Store.open(folder)
    now = content_digest(store.manifest, store.about)
    facts = {"data": store.name, "manifest": f"{len(store.manifest):,} files", "digest": store.sha256}
    return facts, "" if now == store.sha256 else f"the manifest was changed: its digest is {now} now"


_FACTS = {"extract_features": _of_features, "pretrain": _of_model, "validate": _of_gate, "ingest": _of_store}
