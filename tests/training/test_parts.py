"""Schedules, optimizers, events, the feed."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import ParamGroup, Sampling
from ssl_pipelines.methods.config import OptimizerConfig
from ssl_pipelines.networks.norm import Affine
from ssl_pipelines.training.checkpoints import save_checkpoint
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.events import Events, history, read_events
from ssl_pipelines.training.optim import build_optimizers, clip_gradients, learning_rate_at, set_schedules, weight_decay_at


def test_the_schedule_at_its_corners():
    config = OptimizerConfig(lr=1.0, lr_batch=256, warmup_fraction=0.1, final_lr_fraction=0.0)
    rates = [learning_rate_at(config, 512, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == 2.0  # the peak, scaled by the batch
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(1 - np.cos(np.pi / 90), rel=1e-9)
    assert learning_rate_at(config.model_copy(update={"lr_batch": None, "schedule": "constant"}), 512, 99, 100) == 1.0
    decays = OptimizerConfig(weight_decay=0.04, weight_decay_end=0.4)
    assert weight_decay_at(decays, 0, 100) == pytest.approx(0.04)
    assert weight_decay_at(decays, 100, 100) == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_vectors_do_not_decay_and_every_parameter_is_in_one_group(digits, name):
    method = small_method(small_config("simclr"), Store.open(digits))
    config = OptimizerConfig(name=name, weight_decay=0.1)
    [(optimizer, _)] = build_optimizers(method, config).values()
    set_schedules(optimizer, config, 256, 0, 10)
    seen = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(seen) == len({id(p) for p in seen}) == len(list(method.parameters()))
    for group in optimizer.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] == 0.1) for p in group["params"])


def test_biases_and_offsets_of_any_shape_do_not_decay(photos):
    """A bias a place of a map, and what stands in place of a norm; a table of relative positions is no bias."""
    affine = small_method(small_config("rotation", backbone={"norm": "none"}), Store.open(photos))
    places = small_method(small_config("inpainting"), Store.open(photos))
    table = small_method(small_config("simmim"), Store.open(photos))
    config = OptimizerConfig(name="adamw", weight_decay=0.1)
    decaying = set()
    for method in (affine, places, table):
        for optimizer, _ in build_optimizers(method, config).values():
            decaying |= {id(p) for group in optimizer.param_groups if group["decays"] for p in group["params"]}
    stem = affine.encoder.stem[1]
    assert isinstance(stem, Affine)
    assert id(affine.encoder.stem[0].weight) in decaying
    assert not {id(stem.weight), id(stem.bias)} & decaying
    assert places.across[0].bias.ndim == 2
    assert id(places.across[0].weight) in decaying
    assert id(places.across[0].bias) not in decaying
    assert id(table.encoder.bias) in decaying


def test_exceptions_keep_their_own_schedule_and_optimizer(digits, monkeypatch):
    method = small_method(small_config("rotation"), Store.open(digits))
    own = OptimizerConfig(name="adamw", lr=0.3, lr_batch=None, schedule="constant", warmup_fraction=0)
    groups = [ParamGroup(method.classifier, optimizer="critic", config=own)]
    monkeypatch.setattr(method, "param_groups", lambda: groups)
    optimizers = build_optimizers(method, OptimizerConfig())
    assert list(optimizers) == ["main", "critic"]
    critic, config = optimizers["critic"]
    set_schedules(critic, config, 256, 9, 10)
    assert {group["lr"] for group in critic.param_groups} == {0.3}
    assert len([p for group in critic.param_groups for p in group["params"]]) == 2


def test_clipping(digits):
    method = small_method(small_config("rotation"), Store.open(digits))
    config = OptimizerConfig(clip=1.0)
    [(optimizer, _)] = build_optimizers(method, config).values()
    for parameter in method.parameters():
        parameter.grad = torch.ones_like(parameter)
    clip_gradients(optimizer, config)
    norms = torch.stack([p.grad.norm() for p in method.parameters()])
    assert norms.norm().item() == pytest.approx(1, rel=1e-4)
    for parameter in method.parameters():
        parameter.grad = torch.ones_like(parameter)
    clip_gradients(optimizer, config.model_copy(update={"clip_per": "tensor"}))
    assert all(p.grad.norm().item() == pytest.approx(1, rel=1e-4) for p in method.parameters())


def test_events_go_on_after_the_checkpoint_and_leave_out_a_torn_line(tmp_path):
    path = tmp_path / "events.jsonl"
    events = Events(path, 0)
    for step in (1, 2, 3):
        events.number(step, "train/loss", step / 2)
    events.number(3, "train/images_per_second", 5.0)
    events.number(3, "train/odd", float("inf"))
    events.close()
    with path.open("a") as file:
        file.write('{"step": 4, "na')
    assert [event["step"] for event in read_events(path)] == [1, 2, 3, 3]
    assert history(path).to_dict("list") == {"step": [1, 2, 3], "name": ["train/loss"] * 3, "value": [0.5, 1.0, 1.5]}
    Events(path, 2).close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_read_ahead_changes_nothing(digits):
    one, two = (small_loop(small_config("simclr"), digits).feed for _ in range(2))
    straight = [one.batches(step, 8)[0] for step in range(4)]
    for step in (3, 1):
        batch = two.batches(step, 8)[0]
        assert torch.equal(batch.ids, straight[step].ids)
        assert torch.equal(batch.views["global"], straight[step].views["global"])


def test_micro_batches_are_parts_of_the_batch(digits):
    whole = small_loop(small_config("rotation"), digits).feed.batches(2, 8)[0]
    parts = small_loop(small_config("rotation", pretrain={"accumulate": 4}), digits).feed.batches(2, 8)
    assert len(parts) == 4
    assert torch.equal(torch.cat([part.ids for part in parts]), whole.ids)
    assert torch.equal(torch.cat([part.views["global"] for part in parts], dim=1), whole.views["global"])


def test_the_feed_draws_what_the_method_asked_for(digits):
    feed = small_loop(small_config("simclr"), digits).feed
    feed.sampling = Sampling(ids=torch.arange(20))
    assert feed.rows(0).tolist() == list(range(16))
    assert feed.rows(1).tolist() == [16, 17, 18, 19, *range(12)]
    weights = torch.zeros(len(feed.ids))
    weights[7] = 1
    feed.sampling = Sampling(weights=weights)
    assert set(feed.rows(3).tolist()) == {7}


def test_budgets(digits):
    config = small_config("simclr", pretrain={"images_seen": 100})
    assert config.total_steps(1000) == 7
    epochs = small_config("simclr", pretrain={"images_seen": None, "epochs": 2})
    assert epochs.total_steps(160) == 20
    with pytest.raises(InputError, match="images_seen"):
        small_config("simclr", pretrain={"epochs": 2})


def test_a_config_survives_being_stored():
    config = RunConfig.resolve({"method": "mae", "methods": {"mae": {"mask_fraction": 0.5}}, "pretrain": {"images_seen": 10}})
    assert RunConfig.load(json.loads(json.dumps(config.dump()))) == config


def test_a_disk_that_fills_while_a_checkpoint_is_written_is_one_line(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"weight": torch.zeros(1000)})
    opened = Path.open

    class Filling(io.BytesIO):
        def write(self, data):
            if self.tell() > 2000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda self, mode="r", **rest: Filling() if mode == "wb" else opened(self, mode, **rest))
    with pytest.raises(InputError, match=r"step-00000002\.pt: no space left on the device"):
        save_checkpoint(tmp_path, 2, {"weight": torch.zeros(100_000)})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]
