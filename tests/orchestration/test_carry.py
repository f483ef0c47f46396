"""A row is carried over a change that trains to the same bits, and refused over one that does not."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from projects import ROOT, write_photos
from ssl_pipelines.artifacts import InputError, code
from ssl_pipelines.cli import leaderboard
from ssl_pipelines.orchestration.leaderboard.budgets import BUDGETS
from ssl_pipelines.orchestration.leaderboard.carry import Carried, _other_values, carry, last_words
from ssl_pipelines.orchestration.leaderboard.data import open_store
from ssl_pipelines.orchestration.leaderboard.plans import plan
from ssl_pipelines.orchestration.leaderboard.trial import Evidence, Tree
from ssl_pipelines.reporting.leaderboard import Row, read_rows

CPU = BUDGETS["cpu"]


@dataclass
class Repository:
    """The project under git, with one row a method that its first commit has made, on a few photographs."""

    root: Path
    data: Path
    first: str = ""

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *who, *words], cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name: str = "", before: str = "", after: str = "") -> str:
        if name:
            path = self.root / "src/ssl_pipelines" / name
            text = path.read_text()
            assert before in text, f"{name} has no longer {before!r}"
            path.write_text(text.replace(before, after, 1))
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a change")
        code._program.cache_clear()
        return self.git("rev-parse", "HEAD")

    def carry(self, *methods: str, commit: str | None = None, **how) -> dict[str, Carried]:
        found = carry(methods, CPU, str(self.data), self.root / "docs", self.root / "work", commit or self.first, **how)
        return {one.method: one for one in found}

    def row(self, method: str) -> Row:
        return next(row for row in read_rows(self.root / "docs") if row.method == method)


def write_parquet(folder: Path, count: int) -> None:
    """count / 2 images for training, as many for the test."""
    write_photos(folder / "photos.npz", count, 32)
    arrays = np.load(folder / "photos.npz")
    for split, rows in (("train", range(count // 2)), ("test", range(count // 2, count))):
        images = []
        for k in rows:
            out = io.BytesIO()
            Image.fromarray(arrays["images"][k]).save(out, "PNG")
            images.append({"bytes": out.getvalue(), "path": f"{k}.png"})
        pq.write_table(pa.table({"image": images, "label": arrays["labels"][list(rows)]}), folder / f"{split}.parquet")
    (folder / "photos.npz").unlink()


@pytest.fixture
def repository(request, tmp_path, monkeypatch) -> Repository:
    root, data = tmp_path / "project", tmp_path / "data"
    root.mkdir()
    data.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy2(ROOT / name, root / name)
    (root / ".gitignore").write_text("work/\ndocs/\n__pycache__/\nlogs/\n")
    write_parquet(data, getattr(request, "param", 240))
    monkeypatch.chdir(root)
    monkeypatch.setattr(code, "ROOT", root / "src/ssl_pipelines")
    monkeypatch.setattr("ssl_pipelines.reporting.leaderboard.board_chart", lambda rows, stale: _Nothing())
    monkeypatch.setattr("ssl_pipelines.reporting.leaderboard.curves_chart", lambda budget, curves: None)
    made = Repository(root, data)
    made.git("init", "-q")
    made.first = made.commit()
    store = open_store(CPU, str(data), root / "work")
    for method in ("rotation", "simclr"):
        planned = plan(method, CPU, str(data), store.sha256, root / "work")
        facts = {"method": method, "family": "x", "dataset": "photos", "budget": "cpu", "encoder": planned.encoder, "seed": 0}
        scores = {"linear_top1": 0.6, "random_init_top1": 0.5, "gain": 0.1, "gain_low": 0.05, "gain_high": 0.2, "knn_top1": 0.5}
        Row(**facts, **scores, fingerprint=planned.fingerprint, code=planned.code, verdict="learns").write(root / "docs")
    yield made
    code._program.cache_clear()


class _Nothing:
    def save(self, folder: Path) -> None: ...


def trained(different: str = "") -> Callable[..., dict[str, Evidence]]:
    """In place of a training: what a commit's optimizers are, which the test changes; `different` is what they change."""

    def train(tree: Tree, methods: Sequence[str], budget: str, data: Path, work: Path) -> dict[str, Evidence]:
        bits = (tree.folder / "src/ssl_pipelines/training/optim.py").read_text().replace("0.5 * 1.0", "0.5")
        found = Evidence(**{name: bits if name == different else "same" for name in ("weights", "history", "scores")})
        return dict.fromkeys(methods, found)

    return train


def test_a_row_is_carried_with_its_numbers_its_proof_and_todays_digests(repository, caplog):
    before = repository.row("rotation")
    now = repository.commit("training/optim.py", "return 0.5 * (", "return 0.5 * 1.0 * (")
    found = repository.carry("rotation", "simclr", train=trained("weights"))
    assert {name: one.what for name, one in found.items()} == {"rotation": "carried", "simclr": "carried"}
    row = repository.row("rotation")
    [proof] = row.proofs
    assert (proof.before, proof.after, proof.samples, proof.samples_seen) == (repository.first, now, 2200, 6600)
    assert row.code != before.code
    assert row.model_copy(update={"code": before.code, "proofs": ()}) == before
    assert repository.carry("rotation", train=trained())["rotation"].what == "up to date"
    assert last_words(list(found.values())) == "leaderboard: 2 carried, 0 up to date, 0 to be retrained"


@pytest.mark.parametrize("different", ["weights", "history", "scores"])
def test_one_bit_that_differs_is_refused(repository, different):
    now = repository.commit("training/optim.py", "return 0.5 * (", "return 0.6 * (")
    before = repository.row("rotation")
    [found] = repository.carry("rotation", train=trained(different)).values()
    assert (found.what, found.why) == (
        "to be retrained",
        f"{different} differ between commits {repository.first[:12]} and {now[:12]}",
    )
    assert repository.row("rotation") == before


def test_a_parameter_with_another_value_is_refused_without_a_trial(repository):
    """A trial may not show it: in a short run some defaults are made to fit."""
    values = {"pretrain.optimizer.momentum": 0.8, "method": "rotation", "only.then": 1}
    planned = plan("rotation", CPU, str(repository.data), "x", repository.root / "work")
    assert _other_values({"values": values}, planned) == "its parameters are others now: pretrain.optimizer.momentum 0.8 -> 0.9"
    assert _other_values({"values": values | {"pretrain.optimizer.momentum": 0.9}}, planned) is None


def test_what_cannot_be_carried_is_said_row_by_row(repository):
    second = repository.commit("training/optim.py", "return 0.5 * (", "return 0.5 * 1.0 * (")
    repository.commit("losses/nt_xent.py", "F.cross_entropy", "1.0 * F.cross_entropy")

    def fails(tree: Tree, methods: Sequence[str], *rest: object) -> dict[str, str]:
        return dict.fromkeys(methods, f"at commit {tree.commit[:12]}: out of memory")

    found = repository.carry("rotation", "mae", train=fails)
    assert found["mae"].why == "it has no row"
    assert found["rotation"].why == f"at commit {repository.first[:12]}: out of memory"
    [found_at_second] = repository.carry("rotation", commit=second, train=trained()).values()
    assert found_at_second.why == f"its row was made from other code than those of commit {second[:12]}"


def test_commits_that_are_not_there_or_do_not_run_or_are_not_yet(repository):
    with pytest.raises(InputError, match="--carry 'nowhere' is no commit of this repository"):
        repository.carry("rotation", commit="nowhere")
    raises = "import annotations\n", 'import annotations\n\nraise ValueError("broken")\n'
    broken = repository.commit("losses/nt_xent.py", *raises)
    repository.commit("losses/nt_xent.py", *reversed(raises))
    repository.commit("training/optim.py", "return 0.5 * (", "return 0.5 * 1.0 * (")
    found = repository.carry("simclr", commit=broken, train=trained())["simclr"]
    assert found.why == f"commit {broken[:12]} cannot make it: ValueError: broken"
    raises = "READ = (", 'raise ValueError("gone")\nREAD = ('
    gone = repository.commit("orchestration/leaderboard/plans.py", *raises)
    repository.commit("orchestration/leaderboard/plans.py", *reversed(raises))
    found = repository.carry("rotation", "simclr", commit=gone, train=trained())
    assert {one.why for one in found.values()} == {f"commit {gone[:12]} cannot make it: its code does not run: ValueError: gone"}
    (repository.root / "src/ssl_pipelines/new.py").write_text("X = 1\n")
    with pytest.raises(InputError, match="have uncommitted changes: commit them first"):
        repository.carry("rotation")


def test_the_command_takes_one_commit_and_no_other_way_of_making_rows(tmp_path):
    said = CliRunner().invoke(leaderboard, ["--carry"])
    assert said.exit_code == 2
    assert "Option '--carry' requires an argument" in said.output
    said = CliRunner().invoke(leaderboard, ["--carry", "HEAD", "--redo", "--data", str(tmp_path)])
    assert "--carry goes with" in said.output


EPOCH = 'torch.manual_seed(derive(self.seed, "epoch", clock.epoch))\n'
PLANTED = {
    "a constant": ("training/optim.py", "return 0.5 * (", "return 0.51 * ("),
    "a default": ("methods/config.py", "momentum: float = Field(default=0.9", "momentum: float = Field(default=0.8"),
    "an operator": ("methods/pretext/rotation.py", "rot90(images, k", "rot90(images, -k"),
    "a helper two modules away": ("views/geometry.py", "dtype=torch.float32) + 0.5", "dtype=torch.float32) + 0.4"),
    "a line that only the second epoch runs": (
        "training/loop.py",
        EPOCH,
        EPOCH + "        if clock.epoch == 1:\n            next(self.method.parameters()).data.mul_(1.0001)\n",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("repository", [1400], indirect=True)
def test_real_trainings_refuse_planted_changes_and_carry_an_honest_one(repository, monkeypatch):
    for module in ("trial", "carry"):
        monkeypatch.setattr(f"ssl_pipelines.orchestration.leaderboard.{module}.SAMPLES", {"train": 600, "test": 100})
    for what, change in PLANTED.items():
        repository.commit(*change)
        found = repository.carry("rotation")["rotation"]
        assert found.what == "to be retrained", what
        assert "weights" in found.why or "its parameters are others now" in found.why, f"{what}: {found.why}"
        repository.commit(change[0], change[2], change[1])
        assert repository.carry("rotation")["rotation"].what == "up to date", what
    repository.git("mv", "src/ssl_pipelines/losses", "src/ssl_pipelines/objectives")
    for path in (repository.root / "src").rglob("*.py"):
        path.write_text(path.read_text().replace("ssl_pipelines.losses", "ssl_pipelines.objectives"))
    repository.commit("training/optim.py", '"""', '"""In other words. ')
    assert [one.what for one in repository.carry("rotation", "simclr").values()] == ["up to date"] * 2
    repository.commit("training/optim.py", "return 0.5 * (", "return 0.5 * 1.0 * (")
    assert repository.carry("rotation")["rotation"].what == "carried"
