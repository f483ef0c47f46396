"""What is particular to the VQ-VAE: whose gradient goes where, and two optimizers that know nothing of each other."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("vq_vae", methods={"vq_vae": block}), store)
    return loop, loop.feed.batches(0, 8)[0]


@pytest.mark.parametrize("codebook", ["ema", "loss"])
def test_the_gradient_is_the_decoders_at_the_codes_plus_the_commitments(digits, codebook):
    """d loss / d z_e = d error / d z_q + 2 beta (z_e - z_q) / numel; eq. 3 and section 3.2."""
    loop, batch = ready(digits, commitment=0.7, codebook=codebook)
    method = loop.method.double().eval()
    images = batch.views["global"][0].double()
    with torch.no_grad():
        method.quantizer.codes.normal_()
    seen = []

    def keep(module, inputs, output):
        output.retain_grad()
        seen.append(output)

    method.to_code.register_forward_hook(keep)
    method.loss(type(batch)({"global": images.unsqueeze(0)}, {}, batch.ids), CLOCK).loss.backward()
    z = seen[0].detach()
    codes = method.quantizer.look_up(method.quantizer.nearest(z)).detach()
    assert (codes - z).abs().max() > 0.1
    leaf = codes.clone().requires_grad_()
    (method.decoder(leaf) - method.encoder.normalize(images)).square().mean().backward()
    torch.testing.assert_close(seen[0].grad, leaf.grad + 2 * 0.7 * (z - codes) / z.numel())


def test_eq_3_moves_learnt_codes_to_their_places_and_nothing_else_does(digits):
    loop, batch = ready(digits, codebook="loss", num_codes=4)
    method = loop.method.eval()
    output = method.loss(batch, CLOCK)
    output.loss.backward()
    z, indices = output.memory["z"].movedim(1, -1).flatten(0, -2), output.memory["indices"].flatten()
    codes, oracle = method.quantizer.codes.detach(), torch.zeros(4, 64)
    for row, k in zip(z, indices.tolist(), strict=True):
        oracle[k] += 2 * (codes[k] - row) / z.numel()
    torch.testing.assert_close(method.quantizer.codes.grad, oracle, rtol=1e-4, atol=1e-8)
    loop.run_step(0)


def test_each_optimizer_moves_its_own_side(digits):
    loop, batch = ready(digits)
    method = loop.method
    sides = {name: {id(p) for g in optimizer.param_groups for p in g["params"]} for name, (optimizer, _) in loop.optimizers.items()}
    prior = {id(p) for p in method.prior.parameters()}
    assert sides["prior"] == prior
    assert not sides["main"] & prior
    first, second = method.losses(batch, CLOCK)
    assert (first.optimizer, second.optimizer) == ("main", "prior")
    second.loss.backward()
    assert all(p.grad is not None for p in method.prior.parameters())
    assert all(p.grad is None for key, p in method.named_parameters() if not key.startswith("prior"))
    method.zero_grad()
    first.loss.backward()
    assert all(p.grad is None for p in method.prior.parameters())


def test_a_prior_without_preference_costs_log_k(digits):
    loop, batch = ready(digits)
    for parameter in loop.method.prior.head.parameters():
        torch.nn.init.zeros_(parameter)
    _, second = loop.method.losses(batch, CLOCK)
    assert second.loss.item() == pytest.approx(math.log(256), rel=1e-6)


def test_codes_are_written_after_the_step_and_by_places_of_the_batch(digits):
    loop, batch = ready(digits)
    method = loop.method
    before = method.quantizer.codes.clone()
    torch.manual_seed(0)
    output = method.loss(batch, CLOCK)
    assert torch.equal(method.quantizer.codes, before)
    method.after_step([output], CLOCK)
    used = output.memory["indices"].flatten().unique()
    z = output.memory["z"].movedim(1, -1).flatten(0, -2)
    for k in used.tolist():
        mean = z[output.memory["indices"].flatten() == k].mean(0)
        torch.testing.assert_close(method.quantizer.codes[k], mean, rtol=1e-2, atol=1e-4)
    unused = [k for k in range(256) if k not in set(used.tolist())]
    assert max((method.quantizer.codes[k] - z).norm(dim=1).min() / z.norm(dim=1).mean() for k in unused[:50]) < 1e-2
    method.eval().encode(batch.views["global"][0])
    after = method.quantizer.codes.clone()
    method.loss(batch, CLOCK)
    assert torch.equal(method.quantizer.codes, after), "evaluation never updates"


def test_training_uses_many_codes_and_reconstructs_better(digits):
    loop, _ = ready(digits)
    results = [loop.run_step(step) for step in range(8)]
    errors = [result.metrics["error"].item() for result in results]
    assert errors[-1] < 0.8 * errors[0]
    assert results[-1].metrics["perplexity"] > 20


def test_pictures_are_reconstructions_from_codes_and_samples_of_the_prior(digits):
    loop, batch = ready(digits)
    method = loop.method.eval()
    with torch.no_grad():
        pictures = method.pictures(batch)
    assert torch.equal(pictures["reconstructions"][::2], batch.views["global"][0][:8])
    assert pictures["samples"].shape == (32, 1, 16, 16)
    codes = torch.zeros(2, method.side, method.side, dtype=torch.int64)
    assert method.decode(codes).shape == (2, 1, 16, 16)


def test_what_cannot_work_is_refused(digits):
    with pytest.raises(InputError, match=r"decay=0\.5 is read with codebook='ema'"):
        method_config("vq_vae", {"codebook": "loss", "decay": 0.5})
    with pytest.raises(InputError, match="needs a map of codes, and this encoder leaves one place of 16 px"):
        small_method(small_config("vq_vae", backbone={"output_stride": 16}), Store.open(digits))
