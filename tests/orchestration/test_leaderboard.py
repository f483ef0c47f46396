"""A small leaderboard on digits: rows appear whole, stand while they are fresh, go on where they were interrupted, fail alone."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from projects import write_digits
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.cli import leaderboard
from ssl_pipelines.methods.pretext.rotation import Rotation
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.orchestration.leaderboard import board, budgets
from ssl_pipelines.orchestration.leaderboard.board import read_reasons, run, write_page
from ssl_pipelines.orchestration.leaderboard.budgets import BUDGETS, Budget, all_methods, check_method, donors
from ssl_pipelines.orchestration.leaderboard.jobs import Job, carry_out
from ssl_pipelines.orchestration.leaderboard.processes import in_own_process
from ssl_pipelines.reporting.leaderboard import Row, read_rows, row_file
from ssl_pipelines.reporting.theme import Figure
from ssl_pipelines.training.loop import Loop
from ssl_pipelines.training.watch import Stopped

BLOCKS = {
    "runtime": {"threads": 1, "workers": 1, "log_every": 1, "checkpoint_every": 1, "accelerator": "cpu", "on_collapse": "warn"},
    "extract_features": {"random_init_seeds": 1},
    "linear_eval": {"num_values": 3, "max_iterations": 50},
    "knn_eval": {"k": 5},
}
SMALL = Budget("cpu", "Small", "digits.", {"images_seen": 64, "batch_size": 16}, {}, {"reader": "npz", "size": 16}, BLOCKS)
METHODS = ["rotation", "simclr"]


@dataclass
class Small:
    """A board in a folder; `made` lists the jobs that were carried out."""

    docs: Path
    work: Path
    data: Path
    made: list[str] = field(default_factory=list)
    before: Callable[[Job], None] = lambda job: None

    def run(self, *methods: str, budget: Budget = SMALL, redo: bool = False) -> dict[str, Row]:
        self.made.clear()
        rows = run(methods, budget, str(self.data), self.docs, self.work, redo=redo, start=self._start)
        return {row.method: row for row in rows}

    def _start(self, job: Job) -> None:
        self.before(job)
        carry_out(job)
        self.made.append(job.method)

    def listed(self) -> dict[str, dict]:
        return {row["method"]: row for row in json.loads((self.docs / "leaderboard.json").read_text())}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Small:
    folder = tmp_path_factory.mktemp("board")
    write_digits(folder / "digits.npz", 300)
    small = Small(folder / "docs", folder / "work", folder / "digits.npz")
    small.run(*METHODS)
    assert small.made == METHODS
    return small


@pytest.fixture
def small(finished: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """A copy in which both rows stand. Pictures take longer than these trainings: they are drawn for `finished` alone."""
    monkeypatch.setattr("ssl_pipelines.reporting.leaderboard.board_chart", lambda rows, stale: Figure("cpu", "", b""))
    monkeypatch.setattr("ssl_pipelines.reporting.leaderboard.curves_chart", lambda budget, curves: None)
    monkeypatch.setattr("ssl_pipelines.training.pretrain.announce", lambda *_: None)
    shutil.copytree(finished.docs, tmp_path / "docs")
    shutil.copytree(finished.work, tmp_path / "work")
    return Small(tmp_path / "docs", tmp_path / "work", finished.data)


@pytest.fixture(autouse=True)
def _heard(caplog):
    caplog.set_level(logging.INFO, logger="ssl_pipelines")
    logger = logging.getLogger("ssl_pipelines")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before


def test_rows_curves_list_page_and_pictures(finished):
    rows = {row.method: row for row in read_rows(finished.docs)}
    assert set(rows) == set(METHODS)
    simclr = rows["simclr"]
    assert (simclr.family, simclr.dataset, simclr.encoder, simclr.eval_layer) == ("contrastive", "digits", "resnet_small", "final")
    assert (simclr.images_seen, simclr.views_seen, simclr.seed) == (64, 128, 0)
    assert simclr.linear_top1 is not None
    assert simclr.random_init_top1 is not None
    assert simclr.gain == pytest.approx(simclr.linear_top1 - simclr.random_init_top1)
    assert simclr.gain_low <= simclr.gain <= simclr.gain_high
    assert simclr.verdict == ("learns" if simclr.gain_low > 0 else "miss")
    assert 0 < simclr.knn_top1 <= 1
    assert simclr.peak_memory > 50e6
    assert simclr.seconds > 0
    assert simclr.images_per_second > 0
    assert rows["rotation"].fingerprint != simclr.fingerprint
    assert set(finished.listed()) == set(METHODS)
    assert not any(row["stale"] for row in finished.listed().values())
    curve = (finished.docs / "leaderboard/cpu/simclr.csv").read_text().splitlines()
    assert curve[0].startswith("step,")
    assert "train/loss" in curve[0]
    assert [line.split(",")[0] for line in curve[1:]] == ["1", "2", "3", "4"]
    assert (finished.docs / "leaderboard/cpu.png").stat().st_size > 10_000
    assert (finished.docs / "leaderboard.md").read_text().startswith("# Leaderboard")


def test_what_is_kept_is_the_model_alone(finished):
    [place] = (finished.work / "cpu").glob("simclr-*")
    assert (place / "training/final/encoder.safetensors").is_file()
    assert not list(place.rglob("step-*.pt"))
    assert not (place / "features").exists()


def test_fresh_rows_stand_and_redo_makes_them_again(small):
    before = row_file(small.docs, "cpu", "simclr").read_bytes()
    small.run(*METHODS)
    assert small.made == []
    assert row_file(small.docs, "cpu", "simclr").read_bytes() == before
    again = small.run("simclr", redo=True)["simclr"]
    assert small.made == ["simclr"]
    assert again.linear_top1 == Row(**json.loads(before)).linear_top1


def test_other_parameters_make_a_row_again(small, caplog):
    small.run(*METHODS, budget=replace(SMALL, pretrain={"images_seen": 32, "batch_size": 16}))
    assert small.made == METHODS
    assert "simclr: its parameters or the data have changed since" in caplog.text
    assert len(list((small.work / "cpu").glob("simclr-*"))) == 1


def test_changed_code_is_marked_and_made_again(small, caplog):
    [simclr] = [row for row in read_rows(small.docs) if row.method == "simclr"]
    simclr.model_copy(update={"code": "0" * 64}).write(small.docs)
    write_page(small.docs, SMALL)
    assert {name: row["stale"] for name, row in small.listed().items()} == {"rotation": False, "simclr": True}
    assert "Stale, to be made again: simclr." in (small.docs / "leaderboard.md").read_text()
    small.run(*METHODS)
    assert small.made == ["simclr"]
    assert "simclr: its code has changed since" in caplog.text
    assert not small.listed()["simclr"]["stale"]


def test_an_interrupted_training_goes_on(small, monkeypatch, caplog):
    steps: list[int] = []
    before = Loop.run_step

    def run_step(loop, step):
        if step == 2 and len(steps) < 3:
            raise KeyboardInterrupt
        steps.append(step)
        return before(loop, step)

    monkeypatch.setattr(Loop, "run_step", run_step)
    shutil.rmtree(small.docs)
    shutil.rmtree(small.work / "cpu")
    with pytest.raises(KeyboardInterrupt):
        small.run(*METHODS)
    assert read_rows(small.docs) == []
    steps.append(-1)
    rows = small.run(*METHODS)
    assert steps[:6] == [0, 1, -1, 2, 3, 0]
    assert "going on from step 2 of 4" in caplog.text
    assert rows["rotation"].images_seen == 64


def test_the_test_images_are_scored_once(small, monkeypatch):
    """A kill between the two evaluations: the first one's scores are kept, and features are made again only where they are missing."""
    row_file(small.docs, "cpu", "simclr").unlink()
    [place] = (small.work / "cpu").glob("simclr-*")
    (place / "scores/knn_eval.json").unlink()
    monkeypatch.setattr("ssl_pipelines.orchestration.leaderboard.jobs.linear_eval", None)
    monkeypatch.setattr("ssl_pipelines.orchestration.leaderboard.jobs.launch", None)
    assert small.run("simclr")["simclr"].knn_top1 is not None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Stopped("the embedding has collapsed at step 3"), "the embedding has collapsed at step 3"),
        (ZeroDivisionError("by\nzero"), "ZeroDivisionError: by zero"),
    ],
)
def test_one_that_fails_ends_itself_alone_and_is_tried_again(small, error, said):
    def fail(job: Job) -> None:
        if job.method == "rotation":
            raise error

    small.before = fail
    rows = small.run(*METHODS, redo=True)
    assert small.made == ["simclr"]
    assert (rows["rotation"].verdict, rows["rotation"].reason, rows["rotation"].linear_top1) == ("bug", said, None)
    assert rows["simclr"].verdict != "bug"
    assert small.listed()["rotation"]["verdict"] == "bug"
    assert f"- **rotation** (bug): {said}" in (small.docs / "leaderboard.md").read_text()
    assert "bug: rotation" in board.last_words(list(rows.values()), small.docs)
    small.before = lambda job: None
    assert small.run(*METHODS)["rotation"].verdict != "bug"
    assert small.made == ["rotation"]


def test_a_stopped_training_leaves_its_curve(small, monkeypatch):
    before = Loop.run_step

    def run_step(loop, step):
        if step == 2:
            raise Stopped("the loss is nan at step 3")
        return before(loop, step)

    monkeypatch.setattr(Loop, "run_step", run_step)
    assert small.run("simclr", redo=True)["simclr"].reason == "the loss is nan at step 3"
    curve = (small.docs / "leaderboard/cpu/simclr.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in curve[1:]] == ["1", "2"]


def test_a_method_that_the_data_does_not_suit_has_a_row_that_says_so(small, monkeypatch):
    monkeypatch.setattr(Rotation, "needs", ("rgb",))
    assert "needs color images" in str(small.run("rotation", redo=True)["rotation"].reason)


def test_a_method_may_stand_on_a_finished_row(small):
    """Its donor's row is made first where it is missing; where the row stands and the model is gone, the model alone is made again."""
    assert donors("clusterfit") == {"teacher": "simclr"}
    [model] = (small.work / "cpu").glob("simclr-*")
    assert small.run("clusterfit")["clusterfit"].verdict in ("learns", "miss")
    assert small.made == ["clusterfit"]
    [made] = (small.work / "cpu").glob("clusterfit-*")
    stood_on = json.loads((made / "training/final/config.json").read_text())["upstream"]["teacher"]
    assert (stood_on["method"], stood_on["images_seen"]) == ("simclr", 64)
    shutil.rmtree(model)
    row = row_file(small.docs, "cpu", "simclr").read_bytes()
    small.run("clusterfit", redo=True)
    assert small.made == ["simclr", "clusterfit"]
    assert row_file(small.docs, "cpu", "simclr").read_bytes() == row
    row_file(small.docs, "cpu", "simclr").unlink()

    def fail(job: Job) -> None:
        if job.method == "simclr":
            raise Stopped("collapsed")

    small.before = fail
    found = small.run("clusterfit", redo=True)["clusterfit"]
    assert found.reason == "it stands on a run of simclr, which has none: collapsed"


def test_a_method_may_stand_on_one_that_has_no_rank(small, caplog):
    """dvae is trained for beit alone, at the same budget: a model, no row."""
    assert donors("beit") == {"tokenizer": "dvae"}
    row = small.run("beit")["beit"]
    assert row.verdict in ("learns", "miss")
    assert small.made == ["dvae", "beit"]
    assert not row_file(small.docs, "cpu", "dvae").exists()
    assert "dvae" not in small.listed()
    [made] = (small.work / "cpu").glob("beit-*")
    stood_on = json.loads((made / "training/final/config.json").read_text())["upstream"]["tokenizer"]
    assert (stood_on["method"], stood_on["images_seen"]) == ("dvae", 64)
    small.run("beit", redo=True)
    assert small.made == ["beit"], "the tokenizer stands"

    def fail(job: Job) -> None:
        if job.method == "dvae":
            raise Stopped("collapsed")

    small.before = fail
    [tokenizer] = (small.work / "cpu").glob("dvae-*")
    shutil.rmtree(tokenizer)
    found = small.run("beit", redo=True)["beit"]
    assert (found.verdict, found.reason) == ("bug", "it stands on a run of dvae, which has none: collapsed")
    with pytest.raises(InputError, match="method='dvae' has no place here: it makes the codes that beit predicts"):
        check_method("dvae")


def test_a_teacher_that_saw_labels_gives_no_rank():
    assert set(TABLE) - set(all_methods()) == {"simclr_v2_distill", "dvae"}
    with pytest.raises(InputError, match="'simclr_v2_distill' has no place"):
        check_method("simclr_v2_distill")


def test_reasons_by_hand_are_kept_over_reruns(small):
    [simclr] = [row for row in read_rows(small.docs) if row.method == "simclr"]
    missed = simclr.model_copy(update={"verdict": "miss", "gain": -0.02, "gain_low": -0.05, "gain_high": 0.01})
    missed.write(small.docs)
    write_page(small.docs, SMALL)
    assert small.listed()["simclr"]["reason"] == "its gain is -2.0 points, 95% interval [-5.0, +1.0]: no gain shown"
    (small.docs / "leaderboard/reasons.yml").write_text("cpu:\n  simclr: >\n    too few images,\n    says the paper\n")
    write_page(small.docs, SMALL)
    assert json.loads(row_file(small.docs, "cpu", "simclr").read_text())["reason"] == "too few images, says the paper"
    missed.model_copy(update={"verdict": "learns"}).write(small.docs)
    write_page(small.docs, SMALL)
    assert small.listed()["simclr"]["reason"] is None
    (small.docs / "leaderboard/reasons.yml").write_text("cpu: {simclar: x}\n")
    with pytest.raises(InputError, match="did you mean 'simclr'"):
        read_reasons(small.docs)
    (small.docs / "leaderboard/reasons.yml").write_text("- simclr\n")
    with pytest.raises(InputError, match="are expected"):
        read_reasons(small.docs)


def test_unknown_methods_are_refused_before_the_data_is_read(tmp_path):
    with pytest.raises(InputError, match="did you mean 'simclr'"):
        run(["simclar"], SMALL, "nowhere", tmp_path / "docs", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_the_budgets_of_the_project():
    cpu, gpu = BUDGETS["cpu"], BUDGETS["gpu"]
    assert cpu.tree("simclr", "x", {})["pretrain"] == {"images_seen": 60_000}
    assert cpu.backbone("mae") == {"name": "auto"}
    assert gpu.tree("simclr", "x", {})["pretrain"] == {"epochs": 200}
    assert (gpu.backbone("simclr")["name"], gpu.backbone("mae")["name"]) == ("resnet18", "vit_tiny")
    assert budgets.DONORS == {"resnet": "simclr", "vit": "mae"}
    assert cpu.tree("pixelrnn", "x", {})["pretrain"] == cpu.tree("igpt", "x", {})["pretrain"] == {"images_seen": 10_000}
    assert "igpt and pixelrnn, which go from pixel to pixel, draw 10,000 images" in cpu.protocol
    assert cpu.tree("made", "x", {})["pretrain"] == {"images_seen": 60_000}
    assert gpu.tree("pixelcnn", "x", {}) == {
        "method": "pixelcnn",
        "backbone": {"name": "auto"},
        "pretrain": {"epochs": 200},
        "seed": 0,
    } | {"dataset": dict(gpu.dataset) | {"root": "x"}}
    assert cpu.drawing(600).tree("pixelrnn", "x", {})["pretrain"] == {"images_seen": 600}
    trial = cpu.drawing(600)
    assert (trial.pretrain, trial.name) == ({"images_seen": 600}, "cpu")


@pytest.mark.parametrize(("verdict", "exit_code"), [("learns", 0), ("miss", 0), ("bug", 1)])
def test_the_command_says_by_its_exit_code_whether_something_failed(tmp_path, monkeypatch, verdict, exit_code):
    asked: dict[str, object] = {}

    def pretend(methods, budget, data, docs, work, *, redo):
        asked.update(methods=methods, budget=budget.name, docs=docs, redo=redo)
        facts = {"method": "simclr", "family": "contrastive", "dataset": "digits", "budget": "cpu", "encoder": "resnet_small"}
        return [Row(**facts, seed=0, fingerprint="", code="", verdict=verdict)]

    monkeypatch.setattr(board, "run", pretend)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(leaderboard, ["--data", ".", "--methods", "simclr, mae", "--images-seen", "600"])
    assert done.exit_code == exit_code, done.output
    assert asked == {
        "methods": ["simclr", "mae"],
        "budget": "cpu",
        "docs": tmp_path / "data/09_leaderboard/trial-600",
        "redo": False,
    }


def test_the_command_wants_data_and_known_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--data is needed" in CliRunner().invoke(leaderboard, []).output
    assert CliRunner().invoke(leaderboard, ["--page-only"]).exit_code == 0
    done = CliRunner().invoke(leaderboard, ["--data", ".", "--methods", "simclar"])
    assert (done.exit_code, "did you mean 'simclr'" in done.output) == (1, True)


# --- in processes of their own


@pytest.mark.slow
def test_in_own_process_it_is_the_same_row(small):
    before = read_rows(small.docs)
    rows = run(METHODS, SMALL, str(small.data), small.docs, small.work, redo=True, start=in_own_process)
    same = {"exclude": {"seconds", "images_per_second", "peak_memory"}}
    assert [row.model_dump(**same) for row in rows] == [row.model_dump(**same) for row in before]


@pytest.mark.slow
def test_its_own_process_may_die_and_the_board_goes_on(small, monkeypatch):
    monkeypatch.setattr("ssl_pipelines.orchestration.leaderboard.processes.python_path", lambda: "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    rows = run(["simclr"], SMALL, str(small.data), small.docs, small.work, redo=True, start=in_own_process)
    assert rows[0].reason == "its process ended with code 1"


BOARD = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from test_leaderboard import SMALL, run
from dataclasses import replace
budget = replace(SMALL, pretrain={"images_seen": 16 * 400, "batch_size": 16})
try:
    run(["simclr"], budget, sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_in_the_middle_of_a_training(small, number):
    """Ctrl-C leaves a checkpoint; a kill leaves the last one, and no orphan that trains on."""
    here = str(Path(__file__).parent)
    words = [sys.executable, "-c", BOARD, here, str(small.data), str(small.docs), str(small.work)]
    child = subprocess.Popen(words, env=os.environ)
    events = small.work / "cpu"

    def steps() -> int:
        found = [path.read_text().splitlines() for path in events.glob("simclr-*/training/events.jsonl")]
        return max((json.loads(line)["step"] for lines in found for line in lines if line.endswith("}")), default=0)

    deadline = time.monotonic() + 120
    while not 5 < steps() < 400:
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(number)
    assert child.wait(60) == (130 if number == signal.SIGINT else -number)
    time.sleep(2)
    there = steps()
    time.sleep(2)
    assert steps() == there
    assert list(events.glob("simclr-*/training/step-*.pt"))
