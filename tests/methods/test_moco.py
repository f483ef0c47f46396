"""MoCo and MoCo v2: their loss, their keys, their queue. He et al. 2020, section 3; Chen, Fan et al. 2020."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.networks.queue import whole_batches
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)
NAMES = pytest.mark.parametrize("name", ["moco", "moco_v2"])


def ready(name, store, **block):
    loop = small_loop(small_config(name, methods={name: block}), store)
    loop.method.double().train()
    [batch] = loop.feed.batches(0, 8)
    return loop, Batch({"global": batch.views["global"].double()}, batch.targets, batch.ids)


@NAMES
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_loss_equals_loops_over_queries_and_queue(name, symmetric, digits):
    loop, batch = ready(name, digits, groups=1, symmetric=symmetric)
    method, t = loop.method, loop.method.config.temperature
    with torch.no_grad():
        q = [F.normalize(method.projector(method.encoder(x)), dim=1).numpy() for x in batch.views["global"]]
        k = [F.normalize(method.key_projector(method.key_encoder(x)), dim=1).numpy() for x in batch.views["global"]]
    queue, expected = method.queue.keys.numpy(), []
    for a, b in [(0, 1), (1, 0)] if symmetric else [(0, 1)]:
        for i in range(16):
            positive = math.exp(q[a][i] @ k[b][i] / t)
            others = sum(math.exp(q[a][i] @ row / t) for row in queue)
            expected.append(-math.log(positive / (positive + others)))
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_orthonormal_queries_keys_and_queue_cost_a_known_sum(digits):
    loop, batch = ready("moco", digits, groups=1, queue=32)
    method, eye = loop.method, torch.eye(128, dtype=torch.float64)

    class Rows(nn.Module):
        def forward(self, x):
            return eye[: len(x)]

    method.encoder, method.key_encoder = Rows(), Rows()
    method.projector, method.key_projector = nn.Identity(), nn.Identity()
    method.queue.keys.copy_(eye[64:96])
    expected = math.log(1 + 32 * math.exp(-1 / 0.07))
    method.keys_of = lambda images: eye[: len(images)]  # a shuffled batch would have its rows by place
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(expected, rel=1e-9)


def test_keys_come_back_in_the_order_of_the_queries(digits):
    """With one group nobody can tell that the batch was shuffled."""
    loop, batch = ready("moco", digits, groups=1)
    method, x = loop.method, batch.views["global"][0]
    with torch.no_grad():
        plain = F.normalize(method.key_projector(method.key_encoder(x)), dim=1)
    torch.testing.assert_close(method.keys_of(x), plain, rtol=1e-9, atol=1e-9)


def test_a_key_shares_its_statistics_with_other_images_than_its_query(digits):
    loop, batch = ready("moco", digits, groups=4)
    method, x = loop.method, batch.views["global"][0]
    with torch.no_grad():
        unshuffled = F.normalize(method.key_projector(method.key_encoder(x)), dim=1)
    torch.manual_seed(5)
    order = torch.randperm(16)
    torch.manual_seed(5)
    keys = method.keys_of(x)
    assert (keys - unshuffled).abs().max() > 1e-3
    one_group = ready("moco", digits, groups=1)[0].method
    one_group.load_state_dict(method.state_dict())
    for share in order.split(4):  # a group is a batch of its own
        with torch.no_grad():
            alone = F.normalize(one_group.key_projector(one_group.key_encoder(x[share])), dim=1)
        torch.testing.assert_close(keys[share], alone, rtol=1e-9, atol=1e-9)


@NAMES
def test_a_step_moves_the_key_encoder_by_its_share_and_writes_the_keys_behind_the_last(name, digits):
    loop, batch = ready(name, digits, momentum=0.9, queue=48)
    method = loop.method
    before = [p.clone() for module in (method.key_encoder, method.key_projector) for p in module.parameters()]
    for step in range(4):
        output = method.loss(batch, CLOCK)
        with torch.no_grad():
            for parameter in [*method.encoder.parameters(), *method.projector.parameters()]:
                parameter.mul_(1.01)
            method.after_step([output], CLOCK)
        start = 16 * step % 48
        torch.testing.assert_close(method.queue.keys[start : start + 16], output.memory["k2"])
        own = [*method.encoder.parameters(), *method.projector.parameters()]
        before = [0.9 * old + 0.1 * new.detach() for old, new in zip(before, own, strict=True)]
        found = [p for module in (method.key_encoder, method.key_projector) for p in module.parameters()]
        for mine, expected in zip(found, before, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-12)
    assert int(method.queue.position) == 64 % 48


def test_no_gradient_reaches_keys_and_queue_and_both_views_are_keys_where_it_is_symmetric(digits):
    loop, batch = ready("moco", digits, symmetric=True, queue=64)
    output = loop.method.loss(batch, CLOCK)
    output.loss.backward()
    assert all(p.grad is None for p in loop.method.key_encoder.parameters())
    assert all(p.grad is not None for p in loop.method.encoder.parameters())
    assert set(output.memory) == {"k1", "k2"}
    assert not any(keys.requires_grad for keys in output.memory.values())
    loop.method.after_step([output], CLOCK)
    assert int(loop.method.queue.position) == 32


def test_the_queue_fits_the_images_where_nobody_says_its_size(digits):
    assert whole_batches(4096, 256, 45000) == 4096
    assert whole_batches(4096, 256, 3500) == 1536
    assert whole_batches(4096, 100, 45000) == 4000
    assert whole_batches(4096, 256, 300) == 256
    loop, _ = ready("moco", digits)
    size = len(loop.method.queue.keys)
    assert size % 16 == 0
    assert len(loop.feed.ids) / 2 - 16 < size <= len(loop.feed.ids) / 2


@NAMES
@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"groups": 3}, r"groups=3 does not divide pretrain.batch_size=16"),
        ({"groups": 16}, r"groups=16 does not divide pretrain.batch_size=16 into parts of 2"),
        ({"queue": 40}, r"queue=40: allowed are multiples of pretrain.batch_size=16"),
        ({"temperature": 0}, r"temperature"),
        ({"momentum": 1}, r"momentum"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(name, block, message):
    with pytest.raises(InputError, match=message):
        small_config(name, methods={name: block})


def test_a_queue_of_more_than_all_images_is_refused(digits):
    with pytest.raises(InputError, match=r"methods.moco.queue=1600 is larger than the number of training images: allowed is up to"):
        build_method(small_config("moco", methods={"moco": {"queue": 1600}}), data_facts(Store.open(digits)), 0)


def test_the_heads_are_one_layer_and_two_without_norm(digits):
    assert isinstance(ready("moco", digits)[0].method.projector, nn.Linear)
    names = [type(layer).__name__ for layer in ready("moco_v2", digits)[0].method.projector]
    assert names == ["Linear", "ReLU", "Linear"]


def test_version_2_is_version_1_with_another_head_and_other_numbers():
    first, second = (small_config(name).method_config for name in ("moco", "moco_v2"))
    assert (first.temperature, second.temperature) == (0.07, 0.2)
    assert (first.views.groups["global"].recipe.blur, second.views.groups["global"].recipe.blur) == (0, 0.5)
    assert first.queue == second.queue
    assert first.momentum == second.momentum == 0.99
