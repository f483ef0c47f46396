"""The evidence lower bound's terms against NumPy, SciPy, torch.distributions and numeric integrals. Kingma & Welling 2014."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from ssl_pipelines.losses.elbo import bernoulli_nll, gaussian_nll, standard_normal_kl


def f64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_gaussian_nll_is_minus_the_log_density():
    rng = np.random.default_rng(0)
    mean, x, log_v = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), 0.7
    found = gaussian_nll(torch.tensor(mean), torch.tensor(x), torch.tensor(log_v, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), -stats.norm.logpdf(x, mean, math.exp(log_v / 2)), rtol=1e-12)


def test_bernoulli_nll_is_minus_the_log_probability():
    logits, x = np.array([-3.0, 0.2, 5.0]), np.array([0.0, 1.0, 1.0])
    p = 1 / (1 + np.exp(-logits))
    oracle = -(x * np.log(p) + (1 - x) * np.log(1 - p))
    np.testing.assert_allclose(bernoulli_nll(torch.tensor(logits), torch.tensor(x)).numpy(), oracle, rtol=1e-9)


def test_kl_equals_torch_distributions_and_an_integral():
    mean, log_v = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    found = standard_normal_kl(mean, log_v)
    q, p = torch.distributions.Normal(mean, (log_v / 2).exp()), torch.distributions.Normal(f64(0.0), f64(1.0))
    torch.testing.assert_close(found, torch.distributions.kl_divergence(q, p))
    m, s = mean[0, 0].item(), math.exp(log_v[0, 0].item() / 2)

    def integrand(z: float) -> float:
        return stats.norm.pdf(z, m, s) * (stats.norm.logpdf(z, m, s) - stats.norm.logpdf(z))

    assert found[0, 0].item() == pytest.approx(integrate.quad(integrand, m - 12 * s, m + 12 * s)[0], rel=1e-8)
    assert standard_normal_kl(f64(0.0), f64(0.0)).item() == 0


def test_half_precision_is_raised():
    assert standard_normal_kl(torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32


# E_q by Gauss-Hermite quadrature: exact for polynomials, and the terms of the bound are the code's own.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def bound(nll, mean: float, std: float) -> float:
    """The ELBO of one x, nats. `nll`: latents (Q,) -> -log p(x|z) (Q,)."""
    z = torch.tensor(mean + std * NODES)
    misfit = (torch.tensor(WEIGHTS) * nll(z)).sum()
    return -(misfit + standard_normal_kl(f64(mean), f64(2 * math.log(std))).sum()).item()


def evidence(log_likelihood) -> float:
    """log of the integral of p(x|z) N(z; 0, 1) over z."""
    return math.log(integrate.quad(lambda z: math.exp(log_likelihood(z)) * stats.norm.pdf(z), -12, 12, limit=400)[0])


W, B, V, X = 1.3, -0.4, 0.5, 1.1  # p(x|z) = N(W z + B, V)
POSTERIOR_VARIANCE = 1 / (1 + W * W / V)
POSTERIOR = (POSTERIOR_VARIANCE * W * (X - B) / V, math.sqrt(POSTERIOR_VARIANCE))


def linear_nll(z: torch.Tensor) -> torch.Tensor:
    return gaussian_nll(W * z + B, torch.full_like(z, X), f64(math.log(V)))


def log_p(z: float) -> float:
    return float(stats.norm.logpdf(X, W * z + B, math.sqrt(V)))


def test_the_bound_is_the_evidence_where_the_posterior_is_exact():
    assert evidence(log_p) == pytest.approx(stats.norm.logpdf(X, B, math.sqrt(W * W + V)), rel=1e-9)  # the integral itself
    assert bound(linear_nll, *POSTERIOR) == pytest.approx(evidence(log_p), rel=1e-9)


@pytest.mark.parametrize(("shift", "stretch"), [(0.3, 1.0), (0.0, 2.0), (0.0, 0.5), (-1.0, 1.5)])
def test_elsewhere_it_is_below_by_the_divergence_from_the_posterior(shift, stretch):
    mean, std = POSTERIOR
    q = (mean + shift, std * stretch)
    gap = evidence(log_p) - bound(linear_nll, *q)
    there, here = (torch.distributions.Normal(f64(m), f64(s)) for m, s in (POSTERIOR, q))
    assert gap > 1e-3
    assert gap == pytest.approx(torch.distributions.kl_divergence(here, there).item(), rel=1e-6)


def test_no_gaussian_reaches_the_evidence_of_a_curved_decoder():
    """p(x = 1 | z) = sigmoid(4 z - 2): the posterior is no Gaussian, so the best of a grid stays below, by little."""

    def nll(z: torch.Tensor) -> torch.Tensor:
        return bernoulli_nll(4 * z - 2, torch.ones_like(z))

    true = evidence(lambda z: -math.log1p(math.exp(-(4 * z - 2))))
    best = max(bound(nll, m, s) for m in np.linspace(0, 2, 21) for s in np.linspace(0.3, 1.2, 19))
    assert -0.1 < best - true < -1e-3


def test_a_linear_vae_reaches_probabilistic_pca():
    """x of 3 dimensions, z of 1: with the exact posterior the bound is log N(x; b, w w^T + v I). Lucas et al. 2019, arXiv:1911.02469."""
    w, b, x, v = np.array([0.8, -0.5, 1.4]), np.array([0.1, 0.2, -0.3]), np.array([0.9, -0.2, 1.5]), 0.3
    variance = 1 / (1 + w @ w / v)

    def nll(z: torch.Tensor) -> torch.Tensor:
        mean = torch.outer(z, torch.tensor(w)) + torch.tensor(b)
        return gaussian_nll(mean, torch.tensor(x).expand_as(mean), f64(math.log(v))).sum(1)

    closed = stats.multivariate_normal.logpdf(x, b, np.outer(w, w) + v * np.eye(3))
    assert bound(nll, variance * (w @ (x - b)) / v, math.sqrt(variance)) == pytest.approx(closed, rel=1e-9)
