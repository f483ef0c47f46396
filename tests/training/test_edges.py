"""Where a training may break: full disks, infinite weights, exceptions to the optimizer, what is read ahead, refusals."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from small_runs import in_process, on_ranks, runtime, small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.methods.base import Method, ParamGroup, Sampling
from ssl_pipelines.methods.config import OptimizerConfig
from ssl_pipelines.methods.pretext.rotation import Rotation
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.training import pretrain as module
from ssl_pipelines.training.checkpoints import newest_checkpoint, save_checkpoint
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.loop import Loop
from ssl_pipelines.training.model import init_from, save_weights
from ssl_pipelines.training.watch import Stopped


def train(store: Path, work: Path, name: str = "rotation", settings: dict | None = None, **changes) -> None:
    module.pretrain(small_config(name, **changes), runtime(**(settings or {})), store, work)


def test_out_of_memory_in_the_trial_steps_is_one_line_too(digits, tmp_path, monkeypatch):
    def run_step(loop, step):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Loop, "run_step", run_step)
    with pytest.raises(Stopped, match=r"pretrain\.batch_size=16"):
        train(digits, tmp_path)


def poison_after(monkeypatch, step: int) -> None:
    """Step number `step` has a finite loss and ends in a weight that is not finite."""
    before = Loop.run_step

    def run_step(loop, at):
        result = before(loop, at)
        if at == step:
            with torch.no_grad():
                next(loop.method.parameters()).view(-1)[0] = float("inf")
        return result

    monkeypatch.setattr(Loop, "run_step", run_step)
    monkeypatch.setattr(module, "announce", lambda *_: None)


def test_infinite_weights_are_no_checkpoint(digits, tmp_path, monkeypatch):
    poison_after(monkeypatch, 3)
    with pytest.raises(Stopped, match="the loss is nan at step 5"):
        train(digits, tmp_path)
    state = newest_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 3


def test_infinite_weights_are_no_model(digits, tmp_path, monkeypatch):
    poison_after(monkeypatch, 7)
    with pytest.raises(Stopped, match="the weights are not finite after step 8"):
        train(digits, tmp_path)
    assert not (tmp_path / "final").exists()


def killed_after_the_last_checkpoint(store: Path, work: Path) -> None:
    save = module._save

    def save_and_die(loop, folder, step, pace):
        save(loop, folder, step, pace)
        if step == loop.total_steps:
            os.kill(os.getpid(), signal.SIGKILL)

    module._save = save_and_die
    train(store, work)


def test_a_kill_after_the_last_checkpoint_leaves_everything_to_finish_with(digits, tmp_path):
    assert in_process(killed_after_the_last_checkpoint, digits, tmp_path) == -signal.SIGKILL
    assert not (tmp_path / "final").exists()
    train(digits, tmp_path)
    assert (tmp_path / "final" / "encoder.safetensors").is_file()
    assert json.loads((tmp_path / "measured.json").read_text())["images_per_second"] > 0
    assert (tmp_path / "pictures" / "views.png").is_file()


FULL = Path("/dev/full")  # every write to it fails as on a full disk


@pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line_and_keeps_the_former_checkpoint(digits, tmp_path):
    method = small_method(small_config("rotation"), Store.open(digits))
    save_checkpoint(tmp_path, 1, {"method": method.state_dict()})
    (tmp_path / "step-00000002.pt.partial").symlink_to(FULL)
    with pytest.raises(InputError, match="no space left on the device"):
        save_checkpoint(tmp_path, 2, {"method": method.state_dict()})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001.pt"]
    (tmp_path / "encoder.safetensors.partial").symlink_to(FULL)
    with pytest.raises(InputError, match="no space left on the device"):
        save_weights(method, tmp_path)


def test_init_from_takes_weights_alone(digits, tmp_path):
    method = small_method(small_config("rotation"), Store.open(digits))
    (tmp_path / "weights.pt").write_bytes(b"x")
    for source, words in (("weights.pt", "is no .safetensors file"), ("nowhere", "is not there")):
        with pytest.raises(InputError, match=words):
            init_from(method, str(tmp_path / source))
    (tmp_path / "weights.safetensors").write_bytes(b"not one")
    with pytest.raises(InputError, match="is not a safetensors file"):
        init_from(method, str(tmp_path / "weights.safetensors"))


def with_groups(monkeypatch, store: Path, make) -> Loop:
    """A loop of rotation whose classifier is an exception; `make(method)` gives its ParamGroup."""
    monkeypatch.setattr(Rotation, "param_groups", lambda self: [make(self)])
    return small_loop(small_config("rotation"), store)


def of_classifier(loop: Loop) -> list[dict]:
    own = {id(parameter) for parameter in loop.method.classifier.parameters()}
    return [group for group in loop.optimizers["main"][0].param_groups if id(group["params"][0]) in own]


def test_an_exception_within_the_main_optimizer_keeps_its_own_numbers(digits, monkeypatch, tmp_path):
    own = OptimizerConfig(lr=0.25, lr_batch=None, momentum=0.0, weight_decay=0.3, schedule="constant", warmup_fraction=0)
    loop = with_groups(monkeypatch, digits, lambda method: ParamGroup(method.classifier, config=own))
    result = loop.run_step(0)
    groups = of_classifier(loop)
    assert {group["lr"] for group in groups} == {0.25} != {result.learning_rate}
    assert {group["momentum"] for group in groups} == {0.0}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.3}
    rest = [group for group in loop.optimizers["main"][0].param_groups if not any(group is one for one in groups)]
    assert {group["lr"] for group in rest} == {result.learning_rate}
    assert {group["momentum"] for group in rest} == {0.9}
    save_checkpoint(tmp_path, 1, loop.state())
    assert newest_checkpoint(tmp_path) is not None, "plain values alone are in a checkpoint"


def test_a_constant_group_has_no_warm_up(digits, monkeypatch):
    loop = with_groups(monkeypatch, digits, lambda method: ParamGroup(method.classifier, schedule="constant"))
    peak = loop.optimizers["main"][1].lr * 16 / 128
    rates = []
    for step in (0, 5):
        loop.run_step(step)
        rates.append({group["lr"] for group in of_classifier(loop)})
    assert rates == [{peak}, {peak}]


def test_frozen_parameters_do_not_even_decay(digits, monkeypatch):
    loop = with_groups(monkeypatch, digits, lambda method: ParamGroup(method.classifier, frozen_epochs=1))
    monkeypatch.setattr(loop.feed, "steps_per_epoch", 2)
    before = loop.method.classifier.weight.detach().clone()
    for step in (0, 1):
        loop.run_step(step)
        assert torch.equal(loop.method.classifier.weight, before)
    loop.run_step(2)
    assert not torch.equal(loop.method.classifier.weight, before)


def test_a_classifier_is_reset_each_epoch_but_not_before_the_first(digits, monkeypatch):
    loop = with_groups(monkeypatch, digits, lambda method: ParamGroup(method.classifier, reset_each_epoch=True))
    monkeypatch.setattr(loop.feed, "steps_per_epoch", 2)
    before = loop.method.classifier.weight.detach().clone()
    loop._begin_epoch(loop.clock(0))
    assert torch.equal(loop.method.classifier.weight, before)
    loop.run_step(1)
    main = loop.optimizers["main"][0]
    assert loop.method.classifier.weight in main.state
    loop._begin_epoch(loop.clock(2))
    first = loop.method.classifier.weight.detach().clone()
    assert not torch.equal(first, before)
    assert loop.method.classifier.weight not in main.state, "its momentum goes too"
    loop._begin_epoch(loop.clock(2))
    assert torch.equal(loop.method.classifier.weight, first), "a function of the epoch"


def test_what_was_read_ahead_is_dropped_when_the_method_asks_for_other_rows(digits):
    feed = small_loop(small_config("rotation"), digits).feed
    feed.batches(0, 8)  # reads steps 1 and 2 ahead
    feed.sampling = Sampling(ids=torch.arange(len(feed.ids)).flip(0))
    [batch] = feed.batches(1, 8)
    fresh = small_loop(small_config("rotation"), digits).feed
    fresh.sampling = feed.sampling
    [expected] = fresh.batches(1, 8)
    assert torch.equal(batch.ids, expected.ids)
    assert torch.equal(batch.views["global"], expected.views["global"])


def test_metrics_are_means_over_micro_batches(digits):
    loop = small_loop(small_config("rotation", pretrain={"accumulate": 4}), digits)
    torch.manual_seed(0)
    loop.method.train()
    with torch.no_grad():
        parts = [loop.method.loss(batch, loop.clock(1)).metrics["accuracy"] for batch in loop.feed.batches(1, 8)]
    assert len({float(part) for part in parts}) > 1
    assert loop.run_step(1).metrics["accuracy"].item() == pytest.approx(torch.stack(parts).mean().item(), abs=1e-6)


def accumulated(name: str, store: Path) -> dict[str, torch.Tensor]:
    loop = small_loop(small_config(name, pretrain={"accumulate": 2, "optimizer": {"warmup_fraction": 0}}), store)
    return {"loss": all_reduce_mean(loop.run_step(1).loss)}


def test_micro_batches_on_two_ranks_are_those_of_one(digits, tmp_path):
    """Masks and views of a row do not depend on the number of ranks, in micro-batches too."""
    alone = accumulated("mae", digits)
    for found in on_ranks(accumulated, tmp_path / "ranks", "mae", digits):
        torch.testing.assert_close(found["loss"], alone["loss"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "simcrl"}, f"method='simcrl' is unknown; did you mean 'simclr'? Allowed: {', '.join(sorted(TABLE))}"),
        ({"methods": "simclr"}, "methods='simclr': a block of keys is expected"),
        ({"methods": {"byyol": {}}}, "method='byyol' is unknown"),
        ({"methods": {"rotation": {"anlge": 1}}}, "methods.rotation.anlge"),
        ({"methods": {"simclr": {"views": {"groups": {"global": {"count": 3}}}}}}, "views.groups.global.count=3"),
        ({"methods": {"simclr": {"views": {"groups": {"local": {"count": 3}}}}}}, "views.groups.local would be ignored"),
        ({"methods": {"mae": {"decoder_dim": 8, "decoder_heads": 16}}}, "decoder_heads=16 is to divide decoder_dim=8"),
        ({"backbone": "resnet18"}, "backbone='resnet18': a block of keys is expected"),
        ({"backbone": {"depht": 3}}, "did you mean 'depth'?"),
        ({"backbone": {"name": "resnet18", "patch_size": 8}}, "backbone.patch_size=8"),
        ({"backbone": {"name": "resnet18", "drop_path": 0.1}}, "backbone.drop_path=0.1"),
        ({"method": "mae", "backbone": {"stem": "small"}}, "backbone.stem='small'"),
        ({"method": "mae", "backbone": {"width": 2}}, "backbone.width=2.0"),
        ({"method": "mae", "backbone": {"name": "resnet18"}}, "needs a ViT"),
        ({"pretrain": {"epochs": 1}}, "pretrain: one of images_seen=64 and epochs=1.0"),
        ({"pretrain": {"images_seen": None}}, "pretrain: one of images_seen=None and epochs=None"),
        ({"pretrain": "fast"}, "pretrain='fast': a block of keys is expected"),
        ({"pretrain": {"accumulate": 2}}, "pretrain.accumulate=2: method='simclr' compares images within the batch"),
        ({"method": "rotation", "pretrain": {"accumulate": 3}}, "batch_size=256 is to be a multiple of accumulate=3"),
        (
            {"method": "jigsaw", "pretrain": {"batch_size": 4, "accumulate": 4}},
            "pretrain: batch_size=4 with accumulate=4 leaves micro-batches of one image",
        ),
        ({"pretrain": {"optimizer": "adamw"}}, "pretrain.optimizer='adamw': a block of keys is expected"),
        ({"pretrain": {"optimizer": {"name": "adam"}}}, "pretrain.optimizer.name='adam'"),
        ({"pretrain": {"optimizer": {"betas": [0.9, 0.99]}}}, "betas=(0.9, 0.99) is read by adamw"),
        ({"pretrain": {"optimizer": {"name": "adamw", "betas": [0.9, 1.5]}}}, "betas=[0.9, 1.5]"),
        ({"method": "rotation", "pretrain": {"optimizer": {"momentum": 0}}}, "nesterov=True needs momentum above 0"),
        ({"seed": -1}, "seed=-1 is refused"),
    ],
)
def test_refused_before_data_is_touched(changes, words):
    with pytest.raises(InputError) as caught:
        RunConfig.resolve({"method": "simclr", "pretrain": {"images_seen": 64}} | _with_budget(changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def _with_budget(changes: dict) -> dict:
    pretrain = changes.get("pretrain")
    return changes | {"pretrain": {"images_seen": 64} | pretrain} if isinstance(pretrain, dict) else changes


def test_batches_that_do_not_divide_among_the_ranks_are_refused():
    with pytest.raises(InputError, match=r"pretrain\.batch_size=16 .* multiple of runtime\.devices=3"):
        module.check_ranks(small_config("simclr"), 3)


def test_a_checkpoint_of_another_architecture_is_one_line(digits, tmp_path):
    train(digits, tmp_path)
    with pytest.raises(InputError, match=r"the checkpoint in .* is of another architecture: .* of another shape"):
        train(digits, tmp_path, backbone={"width": 0.5})


def test_methods_that_sample_are_asked_once_an_epoch(digits, monkeypatch):
    asked = []

    def before_epoch(self, clock, embed):
        asked.append((clock.epoch, tuple(embed().shape)))

    monkeypatch.setattr(Method, "before_epoch", before_epoch)
    loop = small_loop(small_config("rotation"), digits)
    monkeypatch.setattr(loop.feed, "steps_per_epoch", 2)
    for step in range(4):
        loop.run_step(step)
    assert asked == [(0, (len(loop.feed.ids), loop.method.encoder.dim)), (1, (len(loop.feed.ids), loop.method.encoder.dim))]
    assert loop.method.training
