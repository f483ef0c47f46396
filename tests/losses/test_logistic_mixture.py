"""The discretized logistic mixture: against its equations in NumPy, and a distribution that sums to one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.logistic_mixture import draw_logistic_mixture, logistic_mixture_log_prob, mixture_channels


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(parameters: np.ndarray, pixel: np.ndarray, levels: int, k: int) -> float:
    """log p of one pixel from Salimans et al. 2017, equations 2 and 3, with differences of sigmoids."""
    colors = len(pixel)
    rows = parameters.reshape(-1, k)
    logits, means, scales, coefficients = np.split(rows, [1, 1 + colors, 1 + 2 * colors])
    weights = np.exp(logits[0]) / np.exp(logits[0]).sum()
    x, half, total = 2 * pixel / (levels - 1) - 1, 1 / (levels - 1), 0.0
    for component in range(k):
        c, mass = np.tanh(coefficients[:, component]), weights[component]
        for color in range(colors):
            mean, scale = means[color, component], np.exp(max(scales[color, component], -7))
            mean += {0: 0, 1: c[0] * x[0] if colors > 1 else 0, 2: c[1] * x[0] + c[2] * x[1] if colors > 2 else 0}[color]
            upper = 1.0 if pixel[color] == levels - 1 else sigmoid((x[color] + half - mean) / scale)
            lower = 0.0 if pixel[color] == 0 else sigmoid((x[color] - half - mean) / scale)
            mass *= upper - lower
        total += mass
    return float(np.log(total))


@pytest.mark.parametrize("colors", [1, 3])
def test_equals_its_equations(colors):
    random, k, levels = np.random.default_rng(0), 4, 256
    parameters = random.normal(size=(6, mixture_channels(colors, k)))
    pixels = random.integers(0, levels, (6, colors))
    pixels[0], pixels[1] = 0, levels - 1
    found = logistic_mixture_log_prob(torch.tensor(parameters), torch.tensor(pixels), levels)
    wanted = [by_hand(row, pixel, levels, k) for row, pixel in zip(parameters, pixels)]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize(("colors", "levels"), [(1, 256), (1, 2), (3, 6)])
def test_all_levels_together_have_probability_one(colors, levels):
    """Also where the scale is far smaller than a bin, in float32: no approximation is hidden in it."""
    torch.manual_seed(0)
    every = torch.tensor(list(itertools.product(range(levels), repeat=colors)))
    for scale in (0.0, -7.0, -30.0):
        parameters = torch.randn(mixture_channels(colors, 3))
        parameters.view(-1, 3)[1 + colors : 1 + 2 * colors] += scale
        total = logistic_mixture_log_prob(parameters.expand(len(every), -1), every, levels).double().exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-5)


def test_maps_are_taken_place_by_place():
    parameters, pixels = torch.randn(2, mixture_channels(3, 2), 4, 5), torch.randint(0, 256, (2, 3, 4, 5))
    found = logistic_mixture_log_prob(parameters, pixels, 256)
    assert found.shape == (2, 4, 5)
    torch.testing.assert_close(found[1, 2, 3], logistic_mixture_log_prob(parameters[1:, :, 2, 3], pixels[1:, :, 2, 3], 256)[0])


@pytest.mark.parametrize("colors", [1, 3])
def test_draws_follow_the_probabilities(colors):
    torch.manual_seed(0)
    levels, n = 3, 40_000
    parameters = torch.randn(mixture_channels(colors, 2)) * 0.7
    drawn = draw_logistic_mixture(parameters.expand(n, -1), colors, levels)
    assert drawn.shape == (n, colors)
    every = torch.tensor(list(itertools.product(range(levels), repeat=colors)))
    wanted = logistic_mixture_log_prob(parameters.expand(len(every), -1), every, levels).exp()
    share = torch.stack([(drawn == pixel).all(1).float().mean() for pixel in every])
    assert ((share - wanted).abs() < 4 * (wanted * (1 - wanted) / n).sqrt() + 1e-4).all()


def test_extreme_numbers_have_finite_values_and_gradients():
    parameters = (50 * torch.randn(64, mixture_channels(3, 5))).requires_grad_()
    value = logistic_mixture_log_prob(parameters, torch.randint(0, 256, (64, 3)), 256).sum()
    value.backward()
    assert value.isfinite()
    assert parameters.grad.isfinite().all()
