"""The watch against methods that are broken on purpose: what keeps them from a point is taken out, and the watch says so in time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from small_runs import small_config, small_loop
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock, Output
from ssl_pipelines.methods.distillation.byol import BYOL
from ssl_pipelines.methods.distillation.simsiam import SimSiam
from ssl_pipelines.training import model
from ssl_pipelines.training.watch import Watch
from ssl_pipelines.views import Batch

LOOK_EVERY, MOST_STEPS = 5, 150
OPTIMIZERS = {
    "simsiam": {"name": "sgd", "lr": 1.0},
    "byol": {"name": "adamw", "lr": 0.01},
}  # at a constant rate, several times the recipes'


class SimSiamWithoutStopGradient(SimSiam):
    def loss(self, batch: Batch, clock: Clock) -> Output:
        z1, z2 = (self.projector(self.encoder(x)) for x in batch.views["global"])
        p1, p2 = self.predictor(z1), self.predictor(z2)
        return Output(-(F.cosine_similarity(p1, z2).mean() + F.cosine_similarity(p2, z1).mean()) / 2)


class BYOLWithoutPredictor(BYOL):
    def __init__(self, config, parts):
        super().__init__(config, parts)
        self.predictor = torch.nn.Identity()


def run_until_alarm(name: str, store, steps: int = MOST_STEPS) -> tuple[str | None, int, float]:
    """The first verdict of the watch, if any, the steps that were run, and the last loss."""
    optimizer = OPTIMIZERS[name] | {"lr_batch": None, "schedule": "constant", "warmup_fraction": 0.0}
    config = small_config(name, pretrain={"images_seen": MOST_STEPS * 64, "batch_size": 64, "optimizer": optimizer})
    loop = small_loop(config, store)
    watch = Watch(Store.open(store), 0, torch.device("cpu"))
    for step in range(steps):
        result = loop.run_step(step)
        if (step + 1) % LOOK_EVERY == 0 and (said := watch.judge(watch.look(loop.method))):
            return said, step + 1, result.loss.item()
    return None, steps, result.loss.item()


@pytest.mark.parametrize(("name", "broken"), [("simsiam", SimSiamWithoutStopGradient), ("byol", BYOLWithoutPredictor)])
def test_the_broken_one_is_caught_and_the_proper_one_is_not(name, broken, digits, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(model, "method_class", lambda _: broken)
        said, steps, loss = run_until_alarm(name, digits)
    assert said is not None
    assert "has collapsed" in said
    proper, _, proper_loss = run_until_alarm(name, digits, steps)
    assert proper is None
    assert loss < proper_loss  # the loss alone looks like success


@pytest.mark.parametrize(("between", "share"), [(10, 0.25), (1006, 0.5), (10**6, 1.0)])
def test_a_look_takes_about_as_many_images_as_are_trained_on_in_between(between, share, digits):
    store = Store.open(digits)
    watch = Watch(store, 0, torch.device("cpu"), between)
    assert len(watch.sample) == min(int(512 * share), len(store.pretraining_ids()))
    assert len(watch.bank) == min(int(1000 * share), len(store.ids("train")))
    assert len(watch.queries) == min(int(500 * share), len(store.ids("validation")))
