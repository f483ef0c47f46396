"""InstDisc against loops in float64. Wu et al. 2018, section 3."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.nce import nce
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("instdisc", methods={"instdisc": {"negatives": 20} | block}), store)
    loop.method.double().train()
    [batch] = loop.feed.batches(0, 8)
    return loop, Batch({"global": batch.views["global"].double()}, batch.targets, batch.ids)


def by_hand(method, batch, log_z=None):
    """(loss, log Z) by loops; the draw of negatives is the first that the loss makes."""
    torch.manual_seed(0)
    drawn = method.bank.draw(16, 20)
    with torch.no_grad():
        v = F.normalize(method.projector(method.encoder(batch.views["global"][0])), dim=1).numpy()
    bank, n, m, t = method.bank.rows.numpy(), len(method.bank.rows), 20, method.config.temperature
    e = [[math.exp(v[b] @ bank[i] / t) for i in [int(batch.ids[b]), *drawn[b].tolist()]] for b in range(16)]
    z = n * sum(sum(row) for row in e) / (16 * (m + 1)) if log_z is None else math.exp(log_z)
    total = 0.0
    for row in e:
        h = [(x / z) / (x / z + m / n) for x in row]
        total -= math.log(h[0]) + sum(math.log(1 - x) for x in h[1:])
    return total / 16, math.log(z)


def test_loss_and_normalizer_equal_the_loops_before_and_after_z_is_known(digits):
    loop, batch = ready(digits)
    method = loop.method
    assert method.log_z.isnan()
    expected, log_z = by_hand(method, batch)
    torch.manual_seed(0)
    output = method.loss(batch, CLOCK)
    assert output.loss.item() == pytest.approx(expected, rel=1e-9)
    assert method.log_z.isnan(), "the loss writes nothing"
    method.after_step([output], CLOCK)
    assert method.log_z.item() == pytest.approx(log_z, rel=1e-12)
    with torch.no_grad():
        method.projector[0].weight.mul_(-1)
    expected, _ = by_hand(method, batch, log_z)
    torch.manual_seed(0)
    output = method.loss(batch, CLOCK)
    assert output.loss.item() == pytest.approx(expected, rel=1e-9)
    method.after_step([output], CLOCK)
    assert method.log_z.item() == pytest.approx(log_z, rel=1e-12), "constant after the first batch"


def test_where_every_image_is_as_likely_as_any_the_loss_is_known():
    """P = 1 / N: log(1 + m) + m log((1 + m) / m), 9.318 at m = 4096."""
    m, n, t, score = 4096, 50000, 0.07, 0.3
    log_z = torch.tensor(math.log(n) + score / t, dtype=torch.float64)
    found = nce(torch.full((3,), score).double(), torch.full((3, m), score).double(), log_z, n, t).item()
    assert found == pytest.approx(math.log(1 + m) + m * math.log((1 + m) / m), rel=1e-9)
    assert found == pytest.approx(9.318, abs=1e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_bank_is_written_after_the_scores_with_the_embedding_of_the_same_forward(digits, momentum):
    loop, batch = ready(digits, bank_momentum=momentum)
    method, before = loop.method, loop.method.bank.rows.clone()
    output = method.loss(batch, CLOCK)
    assert torch.equal(method.bank.rows, before)
    method.after_step([output], CLOCK)
    mixed = momentum * before[batch.ids] + (1 - momentum) * output.memory["v"]
    torch.testing.assert_close(method.bank.rows[batch.ids], mixed / mixed.norm(dim=1, keepdim=True))
    others = torch.ones(len(before), dtype=torch.bool).index_fill(0, batch.ids, False)
    assert torch.equal(method.bank.rows[others], before[others])


def test_the_proximal_term_is_the_squared_way_from_the_stored_row(digits):
    loop, batch = ready(digits, bank_momentum=0.0, proximal=10.0)
    plain = ready(digits, bank_momentum=0.0)[0].method
    method = loop.method
    plain.load_state_dict(method.state_dict())
    values = []
    for each in (plain, method):
        torch.manual_seed(0)
        values.append(each.loss(batch, CLOCK))
    v, rows = values[0].memory["v"].numpy(), method.bank.rows[batch.ids].numpy()
    way = sum(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for x, y in zip(v, rows, strict=True)) / 16
    assert (values[1].loss - values[0].loss).item() == pytest.approx(10 * way, rel=1e-9)


def test_z_and_bank_are_in_the_checkpoint(digits):
    loop, _ = ready(digits)
    loop.run_step(0)
    state = loop.state()["method"]
    assert state["log_z"].isfinite()
    other, _ = ready(digits)
    other.load(loop.state())
    assert torch.equal(other.method.log_z, state["log_z"])
    assert torch.equal(other.method.bank.rows, state["bank.rows"])


def test_both_variants_at_once_are_refused():
    with pytest.raises(InputError, match=r"proximal=10.0 and bank_momentum=0.5"):
        small_config("instdisc", methods={"instdisc": {"proximal": 10}})
    small_config("instdisc", methods={"instdisc": {"proximal": 10, "bank_momentum": 0}})


@pytest.mark.parametrize("name", ["instdisc", "pirl"])
def test_more_negatives_than_images_are_refused_and_fitted_where_nobody_says(digits, name):
    facts = data_facts(Store.open(digits))
    with pytest.raises(InputError, match=rf"methods.{name}.negatives=5000 are more than the training images: allowed is up to"):
        build_method(small_config(name, methods={name: {"negatives": 5000}}), facts, 0)
    assert build_method(small_config(name), facts, 0).negatives == facts["num_samples"]
    assert build_method(small_config(name), facts | {"num_samples": 9000}, 0).negatives == 4096


@pytest.mark.parametrize("name", ["instdisc", "pirl"])
def test_embeddings_are_centered_over_the_batch_unless_the_papers_layer_is_asked_for(digits, name):
    loop = small_loop(small_config(name), digits)
    method, x = loop.method.train(), loop.feed.batches(0, 8)[0].views["global"][0]
    assert method.projector(method.encoder(x)).mean(0).abs().max() < 1e-5
    plain = small_loop(small_config(name, methods={name: {"center": False}}), digits).method
    [layer] = plain.projector
    assert isinstance(layer, torch.nn.Linear)
    assert layer.bias is not None
