"""Stop, resume, refuse: pretraining as a whole, on small runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from small_runs import in_process, runtime, small_config
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.training import pretrain as module
from ssl_pipelines.training.checkpoints import newest_checkpoint
from ssl_pipelines.training.events import read_events
from ssl_pipelines.training.loop import Loop
from ssl_pipelines.training.model import load_method, random_method
from ssl_pipelines.training.watch import Stopped

EXACT = ("encoder.safetensors", "method.safetensors", "history.parquet", "config.json")


def train(store: Path, work: Path, name: str = "simclr", **changes) -> None:
    settings = changes.pop("runtime", {})
    module.pretrain(small_config(name, **changes), runtime(**settings), store, work)


def killed_at(store: Path, work: Path, step: int, moment: str) -> None:
    """A training that dies by SIGKILL before step `step`, or while it writes the checkpoint after it."""
    before, save = Loop.run_step, torch.save

    def run_step(loop, at):
        if at == step and loop.feed.accumulate == 1 and moment == "step" and not trial(loop):
            os.kill(os.getpid(), signal.SIGKILL)
        return before(loop, at)

    def torn(state, file, *rest):
        if state["step"] == step:
            file.write(b"half a checkpoint")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return save(state, file, *rest)

    def trial(loop) -> bool:
        return not (work / "events.jsonl").exists() or "ANNOUNCED" not in os.environ

    announce = module.announce

    def announced(*arguments):
        announce(*arguments)
        os.environ["ANNOUNCED"] = "1"

    Loop.run_step, module.announce = run_step, announced
    if moment == "checkpoint":
        torch.save = torn
    train(store, work)


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("whole")
    train(digits, work)
    return work


@pytest.mark.parametrize(("step", "moment"), [(1, "step"), (7, "step"), (5, "checkpoint")])
def test_killed_and_run_again_is_bit_equal(digits, whole, tmp_path, step, moment):
    assert in_process(killed_at, digits, tmp_path, step, moment) == -signal.SIGKILL
    assert not (tmp_path / "final").exists()
    train(digits, tmp_path)
    for name in EXACT:
        assert (tmp_path / "final" / name).read_bytes() == (whole / "final" / name).read_bytes(), name
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    numbers = [(event["step"], event["name"]) for event in events if "value" in event]
    assert len(numbers) == len(set(numbers))
    assert [step for step, name in numbers if name == "train/loss"] == list(range(1, 9))


def test_a_torn_newest_checkpoint_falls_back(digits, whole, tmp_path):
    import shutil

    shutil.copytree(whole, tmp_path / "work")
    newest = max((tmp_path / "work").glob("step-*.pt"))
    newest.write_bytes(newest.read_bytes()[:100])
    state = newest_checkpoint(tmp_path / "work")
    assert state is not None
    assert state["step"] == 7


def test_nan_stops_and_keeps_the_last_good_checkpoint(digits, tmp_path, monkeypatch):
    before = Loop.run_step

    def run_step(loop, step):
        if step == 4:
            with torch.no_grad():
                next(loop.method.parameters()).fill_(float("nan"))
        return before(loop, step)

    monkeypatch.setattr(Loop, "run_step", run_step)
    monkeypatch.setattr(module, "announce", lambda *_: None)
    with pytest.raises(Stopped, match="the loss is nan at step 5"):
        train(digits, tmp_path)
    state = newest_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 4
    assert all(value.isfinite().all() for value in state["method"].values())
    assert not (tmp_path / "final").exists()


def test_collapse_stops(digits, tmp_path, monkeypatch):
    from ssl_pipelines.methods.base import Method

    monkeypatch.setattr(Method, "encode", lambda self, images, stage=None: torch.ones(len(images), 8))
    with pytest.raises(Stopped, match="collapsed"):
        train(digits, tmp_path, runtime={"on_collapse": "stop", "watch_every": 2})


def test_a_likelihood_is_not_stopped_for_a_low_rank(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(module.Watch, "judge", lambda self, found: "the embedding has collapsed")
    train(digits, tmp_path, "made", runtime={"on_collapse": "stop", "watch_every": 2})
    assert (tmp_path / "final/encoder.safetensors").is_file()


def test_out_of_memory_names_the_batch_size(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "announce", lambda *_: None)

    def run_step(loop, step):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Loop, "run_step", run_step)
    with pytest.raises(Stopped, match=r"pretrain\.batch_size=16"):
        train(digits, tmp_path)


def test_sigterm_writes_a_checkpoint(digits, tmp_path, monkeypatch):
    before = Loop.run_step

    def run_step(loop, step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return before(loop, step)

    monkeypatch.setattr(Loop, "run_step", run_step)
    monkeypatch.setattr(module, "announce", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path, runtime={"checkpoint_every": 100})
    state = newest_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 4


def test_the_model_folder_rebuilds_and_the_baseline_is_another_network(digits, whole):
    final = whole / "final"
    one, two, other = load_method(final), load_method(final), random_method(final, 0)
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.encode(images), two.encode(images))
    assert not torch.equal(one.encode(images), other.eval().encode(images))
    again = random_method(final, 0)
    assert all(torch.equal(a, b) for a, b in zip(other.state_dict().values(), again.state_dict().values(), strict=True))


def test_an_unknown_schema_is_refused(whole, tmp_path):
    import shutil

    shutil.copytree(whole / "final", tmp_path / "model")
    body = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(body | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema_version=99"):
        load_method(tmp_path / "model")


def test_init_from_continues_and_refuses_another_architecture(digits, whole, tmp_path):
    from small_runs import small_method
    from ssl_pipelines.data import Store
    from ssl_pipelines.training.model import init_from

    method = small_method(small_config("simclr", seed=9), Store.open(digits))
    init_from(method, str(whole / "final"))
    trained = load_method(whole / "final").state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in method.state_dict().items() if key.startswith("encoder"))
    wide = small_method(small_config("simclr", backbone={"width": 0.5}), Store.open(digits))
    with pytest.raises(InputError, match="another architecture"):
        init_from(wide, str(whole / "final"))


def test_two_ranks_end_near_one_process(digits, whole, tmp_path):
    from ssl_pipelines.training import launch

    launch.run(small_config("simclr"), runtime(devices=2), digits, tmp_path)
    ours, theirs = load_method(tmp_path / "final"), load_method(whole / "final")
    # Equal up to rounding after one step; rounding at the kinks of ReLU grows over the next ones.
    assert (_flat(ours) - _flat(theirs)).norm() < 0.1 * _flat(theirs).norm()
    losses = [
        [event["value"] for event in read_events(work / "events.jsonl") if event["name"] == "train/loss"]
        for work in (tmp_path, whole)
    ]
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-5)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["name"] == "train/loss"] == list(range(1, 9))


def _flat(method) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in method.parameters()])
