"""What is particular to the VAE: the bound of the whole method against an integral, its weights, its samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.training.optim import trained
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)
W, V, X = 1.3, 0.5, 1.1  # p(x|z) = N(W z, V)
TRUE = (W * X / (V + W * W), math.sqrt(V / (V + W * W)))  # of the posterior


def ready(store, **block):
    loop = small_loop(small_config("vae", methods={"vae": block}), store)
    return loop, loop.feed.batches(0, 8)[0]


def one_pixel_method(store, posterior):
    """Of images of one pixel and one latent: inference by a function, the decoder the identity."""
    loop, _ = ready(store, latent_dim=1, variance=V)
    method = loop.method
    method.encoder.set_statistics([0.0], [1.0])
    method.posterior, method.decoder = posterior, torch.nn.Unflatten(1, (1, 1, 1))
    return method


def bound_of_the_method(store, mean: float, std: float, draws: int = 400_000) -> float:
    """-loss for an image of one pixel X and one latent, network and inference replaced by functions; the noise is the method's."""
    q = torch.tensor([mean, 2 * math.log(std)], dtype=torch.float64)
    method = one_pixel_method(store, lambda images: (q[0].expand(len(images), 1), q[1].expand(len(images), 1))).double()
    images = torch.full((draws, 1, 1, 1), X / W, dtype=torch.float64)  # x / W around z has variance V / W^2
    method.spread.log_variance.data.fill_(math.log(V / W**2))
    torch.manual_seed(0)
    with torch.no_grad():
        loss = method.loss(Batch({"global": images.unsqueeze(0)}, {}, torch.arange(draws)), CLOCK).loss
    return -loss.item() - math.log(W)  # the density of x from that of x / W


def evidence() -> float:
    value, _ = integrate.quad(lambda z: stats.norm.pdf(X, W * z, math.sqrt(V)) * stats.norm.pdf(z), -12, 12)
    return math.log(value)


def test_the_loss_is_the_evidence_where_the_posterior_is_exact(digits):
    assert bound_of_the_method(digits, *TRUE) == pytest.approx(evidence(), abs=0.005)


@pytest.mark.parametrize(("shift", "stretch"), [(0.4, 1.0), (0.0, 2.0), (0.0, 0.5)])
def test_and_below_it_by_the_divergence_elsewhere(digits, shift, stretch):
    q = (TRUE[0] + shift, TRUE[1] * stretch)
    normals = [torch.distributions.Normal(torch.tensor(m), torch.tensor(s)) for m, s in (q, TRUE)]
    gap = torch.distributions.kl_divergence(*normals).item()
    assert gap > 0.1
    assert evidence() - bound_of_the_method(digits, *q) == pytest.approx(gap, abs=0.01)


def test_pixels_and_latents_are_summed_and_images_averaged(digits):
    loop, batch = ready(digits, beta=3.0)
    method, images = loop.method.eval(), batch.views["global"][0]
    torch.manual_seed(2)
    output = method.loss(batch, CLOCK)
    torch.manual_seed(2)
    noise = torch.randn(16, 128)
    mean, log_v = (value.detach() for value in method.posterior(images))
    again = method.decoder(mean + (log_v / 2).exp() * noise).detach().double().numpy()
    x = ((images - method.encoder.mean) / method.encoder.std).double().numpy()
    v = math.exp(method.spread.log_variance.item())
    total = 0.0
    for b in range(16):
        total -= stats.norm.logpdf(x[b], again[b], math.sqrt(v)).sum()
        m, s2 = mean[b].double().numpy(), np.exp(log_v[b].double().numpy())
        total += 3.0 * sum(0.5 * (m[j] ** 2 + s2[j] - 1 - math.log(s2[j])) for j in range(128))
    assert output.loss.item() == pytest.approx(total / 16, rel=1e-5)
    metrics = output.metrics
    assert output.loss.item() == pytest.approx((metrics["misfit"] + 3 * metrics["kl"]).item(), rel=1e-5)


def test_the_gradient_passes_the_draw(digits):
    """d/d mu and d/d log s^2 of the method's one draw, by hand: the decoder is the identity, so d misfit / d z = (z - x) / v."""
    mean, log_v = torch.tensor([[0.3]], requires_grad=True), torch.tensor([[-0.5]], requires_grad=True)
    x, v = 1.0, 0.25
    method = one_pixel_method(digits, lambda images: (mean, log_v))
    method.spread.log_variance.data.fill_(math.log(v))
    torch.manual_seed(3)
    method.loss(Batch({"global": torch.full((1, 1, 1, 1, 1), x)}, {}, torch.arange(1)), CLOCK).loss.backward()
    torch.manual_seed(3)
    noise = torch.randn(1, 1).item()
    s = math.exp(-0.25)
    slope = (0.3 + s * noise - x) / v
    assert mean.grad.item() == pytest.approx(slope + 0.3, abs=1e-5)
    assert log_v.grad.item() == pytest.approx(slope * s * noise / 2 + (math.exp(-0.5) - 1) / 2, abs=1e-5)


def test_beta_warms_up_where_it_is_told_to(digits):
    loop, _ = ready(digits, beta=2.0, beta_warmup_fraction=0.5)
    assert [loop.method.beta(Clock(step, 8, 0)) for step in (0, 2, 4, 7)] == [0.0, 1.0, 2.0, 2.0]
    loop, _ = ready(digits)
    assert loop.method.beta(CLOCK) == 1.0


def test_the_variance_is_learnt_faster_or_fixed(digits):
    loop, _ = ready(digits)
    spread = loop.method.spread.log_variance
    [group] = [g for g in loop.optimizers["main"][0].param_groups if any(p is spread for p in g["params"])]
    assert group["lr_factor"] == 10
    loop.run_step(0)
    assert spread.item() != 0
    loop, _ = ready(digits, variance=0.5)
    spread = loop.method.spread.log_variance
    assert all(p is not spread for p in trained(loop.optimizers["main"][0]))
    loop.run_step(0)
    assert spread.item() == pytest.approx(math.log(0.5))


def test_bernoulli_is_of_pixels(digits):
    loop, batch = ready(digits, likelihood="bernoulli")
    method, images = loop.method.eval(), batch.views["global"][0]
    torch.manual_seed(2)
    output = method.loss(batch, CLOCK)
    torch.manual_seed(2)
    noise = torch.randn(16, 128)
    mean, log_v = method.posterior(images)
    p = method.decoder(mean + (log_v / 2).exp() * noise).sigmoid().detach().double().numpy()
    x = images.double().numpy()
    oracle = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum() / 16
    assert output.metrics["misfit"].item() == pytest.approx(oracle, rel=1e-5)
    loop.run_step(0)


def test_a_short_training_raises_the_bound_and_mu_is_a_stage(digits):
    loop, batch = ready(digits)
    losses = [loop.run_step(step).loss.item() for step in range(8)]
    assert losses[-1] < losses[0]
    method = loop.method.eval()
    images = batch.views["global"][0]
    torch.testing.assert_close(method.stages(images)["mu"], method.posterior(images)[0])


def test_pictures_are_reconstructions_and_samples(digits):
    loop, batch = ready(digits)
    pictures = loop.method.eval().pictures(batch)
    assert torch.equal(pictures["reconstructions"][::2], batch.views["global"][0][:8])
    assert pictures["samples"].shape == (64, 1, 16, 16)
    for images in pictures.values():
        assert images.min() >= 0
        assert images.max() <= 1


def test_what_would_be_ignored_is_refused():
    with pytest.raises(InputError, match=r"variance=0\.5 is read with likelihood='gaussian'"):
        method_config("vae", {"likelihood": "bernoulli", "variance": 0.5})
    with pytest.raises(InputError, match="beta=-1"):
        method_config("vae", {"beta": -1})
