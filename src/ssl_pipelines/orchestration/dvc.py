"""dvc.yaml, made from the rooms: a stage a room, with the dependencies that its fingerprint has.

Outputs persist: a stage's command decides by fingerprint what really has to be made, so DVC may ask too often but never gets stale results.
Code is a dependency too, and there the command reruns on a change of meaning (`runtime.on_code_change=rerun`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ssl_pipelines.artifacts.code import ROOT, modules_of
from ssl_pipelines.artifacts.definitions import PACKAGE
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.rooms import BY_ARTIFACT, CUT, ROOMS, Room, roots_of

PARAMETERS = "conf/base/parameters.yml"
HEADER = "# Made by `make dvc-yaml` from src/ssl_pipelines/orchestration/rooms.py; a test fails when it differs.\n"
REPORT_FILES = ("report.html", "figures", "plots")
METRICS = f"{ROOMS['report'].folder}/metrics.json"
PLOTS = {"loss": "loss", "learning_rate": "learning_rate", "knn": "knn_top1"}  # file -> column


def stages(parameters: dict[str, Any]) -> dict[str, Any]:
    """The content of dvc.yaml for the parameters of conf/base."""
    return {"stages": {name: _stage(room, parameters) for name, room in ROOMS.items() if not room.on_request}, "plots": _plots()}


def render(parameters: dict[str, Any]) -> str:
    return HEADER + yaml.safe_dump(stages(parameters), sort_keys=False, width=120)


def outputs(room: Room) -> list[str]:
    """The paths that a room's artifact consists of, its record included."""
    if room.name == "report":
        return [f"{room.folder}/{name}" for name in REPORT_FILES] + [room.record]
    return [room.folder] if not room.outputs else [f"{room.folder}/{name}" for name in room.outputs] + [room.record]


def _stage(room: Room, parameters: dict[str, Any]) -> dict[str, Any]:
    stage: dict[str, Any] = {"cmd": f"kedro run --pipelines={room.name} --params runtime.on_code_change=rerun"}
    raw = [parameters["dataset"][key] for key in ("root", "labels") if room.name == "ingest" and parameters["dataset"].get(key)]
    before = [path for artifact in room.inputs for path in _known_by(BY_ARTIFACT[artifact])]
    stage["deps"] = [*raw, *before, *_code(room)]
    keys = [
        key
        for wanted in room.parameters
        for key in (("method", "methods", "backbone", "pretrain", "seed") if wanted == "run" else (wanted,))
    ]
    stage["params"] = [{PARAMETERS: sorted(set(keys))}]
    stage["outs"] = [{path: {"persist": True}} for path in outputs(room)]
    if room.name == "report":
        stage["metrics"] = [{METRICS: {"persist": True}}]
    return stage


def _known_by(room: Room) -> list[str]:
    """What later rooms depend on: never events or provenance, whose clock times and run ids differ between equal results."""
    clock = {"events.jsonl", "provenance.json", "pictures"}
    return [path for path in outputs(room) if path.rpartition("/")[2] not in clock]


def _code(room: Room) -> list[str]:
    """The folders and files below the package that the room's code lies in, whatever the method."""
    modules = modules_of(*roots_of(room, *TABLE), cut=CUT)
    paths = sorted({module.split(".")[1] for module in modules if module.count(".") >= 1})
    base = f"src/{PACKAGE}"
    found = []
    for name in paths:
        if name == "orchestration":
            files = [module.replace(".", "/") + ".py" for module in modules if module.startswith(f"{PACKAGE}.orchestration.")]
            found += [f"src/{file}" for file in files if (ROOT.parent / file).is_file()]
        else:
            found.append(f"{base}/{name}" if (ROOT / name).is_dir() else f"{base}/{name}.py")
    return found


def _plots() -> list[dict[str, Any]]:
    folder = f"{ROOMS['report'].folder}/plots"
    curves = [
        {f"{folder}/{name}.csv": {"x": "step", "y": column, "title": name.replace("_", " ")}} for name, column in PLOTS.items()
    ]
    return [*curves, {f"{folder}/confusion.csv": {"x": "actual", "y": "predicted", "template": "confusion"}}]


def main() -> None:
    parameters = yaml.safe_load((project_root() / PARAMETERS).read_text(encoding="utf-8"))
    Path(project_root() / "dvc.yaml").write_text(render(parameters), encoding="utf-8")


if __name__ == "__main__":
    main()
