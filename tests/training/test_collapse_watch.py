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

LOOK_EVERY = 5
STEPS = {"simsiam": 50, "byol": 110}
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


def verdicts(name: str, store, monkeypatch, cls=None) -> tuple[list[str | None], float]:
    """What the watch says at each look until it is alarmed, and the last loss."""
    if cls is not None:
        monkeypatch.setattr(model, "method_class", lambda _: cls)
    optimizer = OPTIMIZERS[name] | {"lr_batch": None, "schedule": "constant", "warmup_fraction": 0.0}
    config = small_config(name, pretrain={"images_seen": STEPS[name] * 64, "batch_size": 64, "optimizer": optimizer})
    loop = small_loop(config, store)
    watch = Watch(Store.open(store), 0, torch.device("cpu"))
    said = []
    for step in range(STEPS[name]):
        result = loop.run_step(step)
        if (step + 1) % LOOK_EVERY == 0:
            said.append(watch.judge(watch.look(loop.method)))
            if said[-1]:
                break
    return said, result.loss.item()


@pytest.mark.parametrize(("name", "broken"), [("simsiam", SimSiamWithoutStopGradient), ("byol", BYOLWithoutPredictor)])
def test_the_broken_one_is_caught_and_the_proper_one_is_not(name, broken, digits, monkeypatch):
    proper, proper_loss = verdicts(name, digits, monkeypatch)
    assert proper == [None] * len(proper)
    said, loss = verdicts(name, digits, monkeypatch, broken)
    assert any(sentence and sentence.startswith("the projection has collapsed") for sentence in said)
    assert loss < proper_loss  # the loss alone looks like success
