"""One method trained in small by the code of one commit, in a process of its own, and what is left to compare: weights, history, scores."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import load_file

from ssl_pipelines.artifacts import InputError, new_folder, read_json, write_json
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.data import Store
from ssl_pipelines.orchestration.provenance import git

# More training samples than any constant that bounds how many of them a method, a random initialization or a palette looks at (2,048),
# so that a change of such a constant changes the trial too. The probe's preconditioner (4,096 rows) changes its path, not its end.
SAMPLES = {"train": 2200, "validation": 500, "test": 1000}
EPOCHS = 3
# Not by `kedro`, which would load what the installed package offers to it, and the commit may not have.
COMMAND = "from ssl_pipelines.cli import cli; cli()"
SCORES = ("metric", "value", "low", "high", "n")  # of a score, what was measured
# Run by a commit's own code: what it says that its rows have to be made from.
ASK = """
import json, sys
from pathlib import Path
from ssl_pipelines.orchestration.leaderboard.budgets import BUDGETS
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.orchestration.leaderboard.plans import READ, plan
from ssl_pipelines.orchestration.parameters import Parameters
budget, methods, data, store = json.loads(sys.argv[1])
found = {}
for method in methods:
    try:
        planned = plan(method, BUDGETS[budget], data, store, Path("."))
        values = flatten(Parameters.of(planned.tree).read_by(READ))
        found[method] = {"fingerprint": planned.fingerprint, "code": planned.code, "values": values}
    except Exception as error:
        found[method] = f"{type(error).__name__}: {error}"
print(json.dumps(found, default=str))
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """sha256 of what a trial left, each over names, types, shapes and bits."""

    weights: str
    history: str
    scores: str

    def differs_from(self, other: Evidence) -> list[str]:
        return [name for name in ("weights", "history", "scores") if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True, slots=True)
class Tree:
    """A commit's files in a folder of their own. Its code runs there, whatever is installed."""

    commit: str
    folder: Path

    def expects(self, budget: str, methods: Sequence[str], data: str, store: str) -> Mapping[str, Any]:
        """method -> {fingerprint, code, values} of the row that this commit would make, or a line why it makes none. `values`: its
        parameters, flat.

        Raises InputError where the commit's code does not run."""
        asked = json.dumps([budget, list(methods), data, store])
        done = self._python(["-c", ASK, asked])
        if done.returncode:
            raise InputError(f"its code does not run: {_last_line(done.stderr)}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def train(self, methods: Sequence[str], budget: str, data: Path, work: Path) -> dict[str, Evidence | str]:
        """Of each method what its row at a budget of `EPOCHS` passes left, on one thread; or a line why it has none. What an earlier call
        found is not made again."""
        kept = {method: work.parent / "evidence" / f"{data.name}-{budget}-{method}.json" for method in methods}
        missing = [method for method in methods if not kept[method].is_file()]
        if missing:
            images = EPOCHS * SAMPLES["train"]
            command = ["-c", COMMAND, "leaderboard", "--budget", budget, "--methods", ",".join(missing), "--data", str(data)]
            done = self._python([*command, "--images-seen", str(images), "--work", str(work)])
            for method in missing:
                found = sorted((work / budget).glob(f"{method}-*/scores/knn_eval.json"))  # what a row makes last
                if len(found) == 1:
                    place = found[0].parents[1]
                    write_json(kept[method], asdict(evidence(place / "training" / "final", place / "scores")))
        return {
            method: Evidence(**read_json(path))
            if path.is_file()
            else f"at commit {self.commit[:12]}: {_reason(work, method, done)}"
            for method, path in kept.items()
        }

    def _python(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )


def tree_of(commit: str, place: Path) -> Tree:
    """The files of a commit below `place`, written once. Raises InputError for one that this repository does not have."""
    full = (git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") or b"").decode().strip()
    if not full:
        raise InputError(f"--carry {commit!r} is no commit of this repository")
    folder = place / full[:12] / "tree"
    if not folder.is_dir():
        with new_folder(folder) as fresh, tarfile.open(fileobj=io.BytesIO(git("archive", full) or b"")) as files:
            files.extractall(fresh, filter="data")
    return Tree(full, folder)


def present_commit() -> str:
    """HEAD. Raises InputError where the package's files differ from it: what is proven has to be what is committed."""
    if not git("rev-parse", "--verify", "--quiet", "HEAD"):
        raise InputError("--carry needs a git repository: it compares two commits")
    if git("status", "--porcelain", "--", "src", "conf"):
        raise InputError("--carry compares commits, and src or conf have uncommitted changes: commit them first")
    return "HEAD"


def write_trial_data(store: Store, folder: Path) -> None:
    """A small part of the store as Parquet, split by split; made once."""
    if folder.is_dir():
        return
    with new_folder(folder) as fresh:
        for split, count in SAMPLES.items():
            ids = store.ids(split)[:count]
            if not len(ids):
                continue
            images = [
                {"bytes": _png(image), "path": f"{split}/{i}.png"} for i, image in zip(ids, store.gather(ids).fields["image"])
            ]
            table = pa.table({"image": images, "label": store.labels(ids)})
            pq.write_table(table, fresh / f"{split}-00000-of-00001.parquet", compression="none")


def evidence(model: Path, scores: Path) -> Evidence:
    """Of a finished model folder and its score files."""
    weights: dict[str, np.ndarray] = {}
    for path in sorted(model.glob("*.safetensors")):
        weights |= {f"{path.stem}/{name}": value for name, value in load_file(path).items()}
    rows = [[row.get(key) for key in SCORES] for path in sorted(scores.glob("*.json")) for row in read_json(path)]
    answers = [_of_frame(pd.read_parquet(path)) for path in sorted(scores.glob("*.parquet"))]
    history = _of_frame(pd.read_parquet(model / "history.parquet"))
    return Evidence(_of_arrays(weights), history, digest([rows, answers]))


def _of_frame(frame: pd.DataFrame) -> str:
    return _of_arrays({str(name): frame[name].to_numpy() for name in sorted(frame.columns, key=str)})


def _of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        text = value.dtype.kind not in "biuf"
        found.update(f"{name} {'text' if text else value.dtype.str} {value.shape} ".encode())
        found.update(json.dumps(value.tolist(), default=str).encode() if text else np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def _png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(out, "PNG")
    return out.getvalue()


def _reason(work: Path, method: str, done: subprocess.CompletedProcess[str]) -> str:
    rows = list(work.glob(f"trial-*/leaderboard/**/{method}.json"))
    said = read_json(rows[0]).get("reason") if rows else None
    return str(said or _last_line(done.stderr) or _last_line(done.stdout))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it ended without a word"
