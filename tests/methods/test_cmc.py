"""What is particular to CMC."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    block = {"negatives": 32} | block
    loop = small_loop(small_config("cmc", methods={"cmc": block}), store)
    return loop, loop.feed.batches(0, 8)[0]


def oracle(z: list[np.ndarray], banks: list[np.ndarray], ids: np.ndarray, noise: np.ndarray, n: int, t: float) -> float:
    """Both directions in loops: NCE of an anchor against the bank of the other modality, each with Z of this batch."""
    total = 0.0
    for anchor, other in ((0, 1), (1, 0)):
        p = [math.exp(z[anchor][b] @ banks[other][ids[b]] / t) for b in range(len(ids))]
        q = [[math.exp(z[anchor][b] @ banks[other][k] / t) for k in noise[b]] for b in range(len(ids))]
        big_z = n * np.mean([[one, *more] for one, more in zip(p, q, strict=True)])
        share = len(noise[0]) / n
        for one, more in zip(p, q, strict=True):
            total -= math.log((one / big_z) / (one / big_z + share)) / len(ids)
            total -= sum(math.log(share / (e / big_z + share)) for e in more) / len(ids)
    return total


def test_the_loss_equals_the_loops(photos):
    loop, batch = ready(photos)
    method = loop.method.double().eval()
    x = batch.views["global"].double()
    torch.manual_seed(5)
    found = method.loss(Batch({"global": x}, {}, batch.ids), CLOCK).loss.item()
    torch.manual_seed(5)
    noise = torch.randint(method.num_samples, (len(batch.ids), 32)).numpy()
    with torch.no_grad():
        z = [p(t(part)) for p, t, part in zip(method.projectors, method.towers, method.split(x[0]), strict=True)]
    z = [(one / one.norm(dim=1, keepdim=True)).numpy() for one in z]
    banks = [bank.rows.numpy() for bank in method.banks]
    assert found == pytest.approx(oracle(z, banks, batch.ids.numpy(), noise, method.num_samples, 0.07), rel=1e-6)


def test_at_equal_scores_the_loss_is_that_of_a_coin_weighted_by_the_noise(photos):
    """2 (log(1 + m) + m log(1 + 1 / m)) = 2 x 4.481 at m = 32."""
    loop, batch = ready(photos, negatives=32)
    for bank in loop.method.banks:
        bank.rows.zero_()
    assert loop.method.loss(batch, CLOCK).loss.item() == pytest.approx(2 * 4.4812, abs=2e-3)


def test_an_anchor_is_compared_with_the_other_modalitys_bank_alone(photos):
    """At zero scores the gradient of a tower's loss comes from the other bank: moving its own bank changes nothing there."""
    loop, batch = ready(photos)
    method = loop.method.eval()

    def gradient() -> torch.Tensor:
        torch.manual_seed(0)
        loss = method.loss(batch, CLOCK).loss
        return torch.autograd.grad(loss, method.projectors[0].weight)[0]

    before = gradient()
    method.banks[0].rows.neg_()
    assert torch.equal(gradient(), before)
    method.banks[1].rows.neg_()
    assert not torch.allclose(gradient(), before)


def test_the_modalities_may_change_places(photos):
    one, batch = ready(photos)
    two, _ = ready(photos, modalities=["ab", "L"])
    for mine, theirs in ((0, 1), (1, 0)):
        two.method.towers[mine].load_state_dict(one.method.towers[theirs].state_dict())
        two.method.projectors[mine].load_state_dict(one.method.projectors[theirs].state_dict())
        two.method.banks[mine].load_state_dict(one.method.banks[theirs].state_dict())
    values = []
    for loop in (one, two):
        torch.manual_seed(0)
        values.append(loop.method.loss(batch, CLOCK).loss.item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_both_modalities_are_of_one_crop_without_jitter(photos):
    loop, batch = ready(photos)
    recipe = loop.method.config.views.groups["global"].recipe
    assert (recipe.jitter, recipe.grayscale, recipe.blur) == (0, 0, 0)
    lightness, color = loop.method.split(batch.views["global"][0])
    assert lightness.shape[1:] == (1, 32, 32)
    assert color.shape[1:] == (2, 32, 32)
    assert lightness.abs().max() <= 1 + 1e-5
    assert color.abs().max() <= 1.01


def test_a_gray_image_has_a_constant_color_embedding(photos):
    loop, batch = ready(photos)
    method = loop.method.eval()
    gray = batch.views["global"][0].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    lightness, color = (tower(x) for tower, x in zip(method.towers, method.split(gray), strict=True))
    assert color.std(0).max() < 1e-3
    assert lightness.std(0).max() > 1e-2


def test_the_normalizer_is_the_first_batchs_and_stays(photos):
    loop, _ = ready(photos)
    assert loop.method.log_z.isnan().all()
    loop.run_step(0)
    first = loop.method.log_z.clone()
    assert first.isfinite().all()
    loop.run_step(1)
    assert torch.equal(loop.method.log_z, first)


def test_the_banks_remember_their_own_modality(photos):
    loop, _ = ready(photos, bank_momentum=0)
    method = loop.method
    before = [bank.rows.clone() for bank in method.banks]
    ids = loop.feed.batches(0, 8)[0].ids
    seen = {}
    for m, projector in enumerate(method.projectors):
        projector.register_forward_hook(lambda module, inputs, output, m=m: seen.__setitem__(m, output.detach()))
    loop.run_step(0)
    for m, bank in enumerate(method.banks):
        torch.testing.assert_close(bank.rows[ids], seen[m] / seen[m].norm(dim=1, keepdim=True))
        others = [k for k in range(len(bank.rows)) if k not in ids.tolist()]
        assert torch.equal(bank.rows[others], before[m][others])


def test_three_modalities_make_six_pairs_and_a_wider_representation(photos):
    loop, batch = ready(photos, modalities=["L", "a", "b"])
    assert len(loop.method.pairs) == 6
    assert loop.method.encode(batch.views["global"][0]).shape[1] == loop.method.dim == 3 * loop.method.towers[0].dim
    loop.run_step(0)


def test_wrong_modalities_and_gray_data_are_refused(digits):
    for wrong in (["L"], ["ab", "b"], ["L", "L"], ["L", "hue"]):
        with pytest.raises(InputError, match="modalities"):
            method_config("cmc", {"modalities": wrong})
    with pytest.raises(InputError, match="needs color images"):
        small_method(small_config("cmc"), Store.open(digits))
