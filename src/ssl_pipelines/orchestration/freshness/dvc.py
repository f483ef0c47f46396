"""dvc.yaml, made from the stages of Kedro's pipelines, with the dependencies that their fingerprints have.

Outputs persist: a stage's command decides by fingerprint what really has to be made, so DVC may ask too often but never gets stale results.
Code is a dependency too, and there the command reruns on a change of meaning (`runtime.on_code_change=rerun`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ssl_pipelines.artifacts.code import ROOT, modules_of
from ssl_pipelines.artifacts.definitions import PACKAGE
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.orchestration.parameters import PATHS
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.stages import CUT, RUN, RUN_KEYS, Stage, Stages, project_stages

PARAMETERS = "conf/base/parameters.yml"
HEADER = "# Made by `make dvc-yaml` from src/ssl_pipelines/pipelines and conf/base/catalog.yml; a test fails when it differs.\n"
PLOTS = {"loss": "loss", "learning_rate": "learning_rate", "knn": "knn_top1"}  # file -> column


def stages(parameters: dict[str, Any]) -> dict[str, Any]:
    """The content of dvc.yaml for the parameters of conf/base."""
    known = project_stages()
    return {"stages": {one.name: _stage(one, known, parameters) for one in known.road}, "plots": _plots(known)}


def render(parameters: dict[str, Any]) -> str:
    return HEADER + yaml.safe_dump(stages(parameters), sort_keys=False, width=120)


def outputs(stage: Stage) -> list[str]:
    """The paths that a stage's artifact consists of, its record included; its metrics stand beside them."""
    own = [f"{stage.folder}/{name}" for name in stage.outputs if name != stage.metrics]
    return [*own, stage.record] if stage.outputs else [stage.folder]


def _stage(stage: Stage, known: Stages, parameters: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"cmd": f"kedro run --pipelines={stage.name} --params runtime.on_code_change=rerun"}
    raw = [parameters["dataset"][key] for key in PATHS if "dataset" in stage.parameters and parameters["dataset"].get(key)]
    before = [path for artifact in stage.inputs for path in _known_by(known.that_makes(artifact))]
    body["deps"] = [*raw, *before, *_code(stage)]
    keys = {key for wanted in stage.parameters for key in (RUN_KEYS if wanted == RUN else (wanted,))}
    body["params"] = [{PARAMETERS: sorted(keys)}]
    body["outs"] = [{path: {"persist": True}} for path in outputs(stage)]
    if stage.metrics:
        body["metrics"] = [{f"{stage.folder}/{stage.metrics}": {"persist": True}}]
    return body


def _known_by(stage: Stage) -> list[str]:
    """What later stages depend on."""
    unstable = {f"{stage.folder}/{name}" for name in stage.unstable}
    return [path for path in outputs(stage) if path not in unstable]


def _code(stage: Stage) -> list[str]:
    """The folders and files below the package that the stage's code lies in, whatever the method."""
    modules = modules_of(*stage.roots(*TABLE), cut=CUT)
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


def _plots(known: Stages) -> list[dict[str, Any]]:
    folder = f"{known['report'].folder}/plots"
    curves = [
        {f"{folder}/{name}.csv": {"x": "step", "y": column, "title": name.replace("_", " ")}} for name, column in PLOTS.items()
    ]
    return [*curves, {f"{folder}/confusion.csv": {"x": "actual", "y": "predicted", "template": "confusion"}}]


def main() -> None:
    parameters = yaml.safe_load((project_root() / PARAMETERS).read_text(encoding="utf-8"))
    Path(project_root() / "dvc.yaml").write_text(render(parameters), encoding="utf-8")


if __name__ == "__main__":
    main()
