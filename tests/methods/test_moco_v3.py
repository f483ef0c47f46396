"""MoCo v3: in-batch contrast with a predictor, rising momentum, a frozen patch projection. Chen, Xie & He 2021, algorithm 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.contrastive.moco_v3 import patch_projection
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)
VIT = {"name": "vit_mini", "depth": 2}


def ready(store, backbone=None, **block):
    changes = {"backbone": {"name": "auto"} if backbone is None else {"width": 1.0} | backbone}
    loop = small_loop(
        small_config("moco_v3", methods={"moco_v3": {"hidden_dim": 32, "projection_dim": 16} | block}, **changes), store
    )
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def test_the_loss_equals_loops_over_both_directions(digits):
    loop, batch = ready(digits)
    method, t = loop.method.double(), loop.method.config.temperature
    batch = Batch({key: x.double() for key, x in batch.views.items()}, batch.targets, batch.ids)
    [x1], [x2] = batch.views["first"], batch.views["second"]
    with torch.no_grad():
        q = [F.normalize(method.predictor(method.projector(method.encoder(x))), dim=1).numpy() for x in (x1, x2)]
        k = [F.normalize(method.key_projector(method.key_encoder(x)), dim=1).numpy() for x in (x1, x2)]
    expected = 0.0
    for a, b in [(0, 1), (1, 0)]:
        rows = []
        for i in range(16):
            scores = [math.exp(q[a][i] @ k[b][j] / t) for j in range(16)]
            rows.append(-math.log(scores[i] / sum(scores)))
        expected += 2 * t * np.mean(rows)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(expected, rel=1e-9)


def test_a_collapsed_embedding_costs_four_t_log_b(digits):
    method = ready(digits)[0].method
    same = F.normalize(torch.ones(16, 8), dim=1)
    found = method.contrast(same, same) + method.contrast(same, same)
    assert found.item() == pytest.approx(4 * 0.2 * math.log(16), rel=1e-6)


@pytest.mark.parametrize("backbone", [VIT, {"name": "test_vit"}])
@pytest.mark.parametrize("frozen", [True, False])
def test_the_patch_projection_stays_as_it_was_drawn(digits, backbone, frozen):
    loop, _ = ready(digits, backbone, freeze_patches=frozen)
    layer = patch_projection(loop.method.encoder)
    before = [p.detach().clone() for p in layer.parameters()]
    assert before
    for step in range(2):
        loop.run_step(step)
    for old, new in zip(before, layer.parameters(), strict=True):
        assert torch.equal(old, new) == frozen
        assert (new.grad is None) == frozen


def test_a_vit_is_read_at_its_class_token_and_has_a_third_layer(digits):
    vit, _ = ready(digits, VIT)
    assert vit.method.pooling == "cls"
    assert len([m for m in vit.method.projector if isinstance(m, torch.nn.Linear)]) == 3
    resnet, _ = ready(digits)
    assert patch_projection(resnet.method.encoder) is None
    assert len([m for m in resnet.method.projector if isinstance(m, torch.nn.Linear)]) == 2


@pytest.mark.parametrize("encoder", ["resnet_small", "vit_mini"])
def test_heads_end_in_a_batch_norm_without_weights_but_a_resnets_predictor_in_none(digits, encoder):
    thin = {"width": 0.25} if encoder == "resnet_small" else {"width": 1.0, "depth": 2}
    method = small_loop(small_config("moco_v3", backbone={"name": encoder} | thin), digits).method
    for head in (method.projector, method.predictor):
        normed = isinstance(head[-1], BatchNorm)
        assert normed == (head is method.projector or encoder == "vit_mini")
        assert not normed or head[-1].weight is None
        assert head[1].weight is not None
        assert all(layer.bias is None for layer in head if isinstance(layer, torch.nn.Linear))
    assert [original for _, original in method.followers()] == [method.encoder, method.projector]


@pytest.mark.parametrize("step", [0, 4, 8])
def test_momentum_rises_along_half_a_cosine(digits, step):
    method = ready(digits, momentum=0.9)[0].method
    with torch.no_grad():
        method.encoder.stem[0].weight.add_(1.0)
    old = method.key_encoder.stem[0].weight.clone()
    method.after_step([], Clock(step, 8, 0))
    m = {0: 0.9, 4: 0.95, 8: 1.0}[step]
    torch.testing.assert_close(method.key_encoder.stem[0].weight, m * old + (1 - m) * method.encoder.stem[0].weight.detach())


def test_freezing_what_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"freeze_patches=False would be ignored: backbone\.name='resnet_small' has no patches"):
        small_config("moco_v3", methods={"moco_v3": {"freeze_patches": False}})
