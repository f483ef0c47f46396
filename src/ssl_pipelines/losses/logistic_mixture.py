"""A mixture of logistic distributions cut into as many bins as a pixel has levels. Salimans et al., ICLR 2017, arXiv:1701.05517."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.precision import full_precision

LEAST_LOG_SCALE = -7.0
SERIES_BELOW = 1e-3


def mixture_channels(colors: int, components: int) -> int:
    """Numbers a pixel: a weight a component, a mean and a scale a color, and for three colors the three coefficients between them."""
    return components * (1 + 2 * colors + colors * (colors - 1) // 2)


def split_mixture(parameters: Tensor, colors: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, P, ...) -> weights before their softmax (B, K, ...), means and log scales (B, C, K, ...), coefficients (B, pairs, K, ...)."""
    pairs = colors * (colors - 1) // 2
    parts = parameters.unflatten(1, (1 + 2 * colors + pairs, -1))  # (B, parts, K, ...)
    logits, means, log_scales, coefficients = parts.split([1, colors, colors, pairs], dim=1)
    return logits.squeeze(1), means, log_scales.clamp(min=LEAST_LOG_SCALE), torch.tanh(coefficients)


def shifted_means(means: Tensor, coefficients: Tensor, x: Tensor) -> Tensor:
    """Each color's mean moved by the true values of the colors before it: of G by c0 r, of B by c1 r + c2 g.

    (B, C, K, ...), (B, pairs, K, ...), x (B, C, ...) in [-1, 1] -> (B, C, K, ...)."""
    moved, pair = [], 0
    for color in range(means.shape[1]):
        mean = means[:, color]
        for before in range(color):
            mean = mean + coefficients[:, pair] * x[:, before].unsqueeze(1)
            pair += 1
        moved.append(mean)
    return torch.stack(moved, dim=1)


@full_precision
def logistic_mixture_log_prob(parameters: Tensor, pixels: Tensor, levels: int) -> Tensor:
    """log p of whole pixels in nats.   (B, P, ...), pixels (B, C, ...) int64 in [0, levels) -> (B, ...).

    A level owns the bin of width 2 / (levels - 1) around it on [-1, 1], the outermost ones all that lies beyond; one component is
    drawn for all colors of a pixel. Salimans et al. 2017, equations 2 and 3.
    Differs from the authors' code: the mass of a bin is sig(a) sig(-b) (1 - exp(b - a)), exact in logarithms, where theirs falls back to
    the density at its middle: so the levels' probabilities sum to one."""
    logits, means, log_scales, coefficients = split_mixture(parameters, pixels.shape[1])
    x, half = 2 * pixels.to(parameters) / (levels - 1) - 1, 1 / (levels - 1)
    centered = x.unsqueeze(2) - shifted_means(means, coefficients, x)  # (B, C, K, ...)
    inverse = torch.exp(-log_scales)
    upper, lower = inverse * (centered + half), inverse * (centered - half)
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + _log_of_width(math.log(2 * half) - log_scales)
    level = pixels.unsqueeze(2)
    bins = torch.where(level == 0, F.logsigmoid(upper), torch.where(level == levels - 1, F.logsigmoid(-lower), inside))
    return torch.logsumexp(F.log_softmax(logits, dim=1) + bins.sum(1), dim=1)


def _log_of_width(log_width: Tensor) -> Tensor:
    """log(1 - exp(-d)) from log d; near 0 by its series, log d - d / 2."""
    width = log_width.exp()
    return torch.where(width < SERIES_BELOW, log_width - width / 2, torch.log(-torch.expm1(-width.clamp(min=SERIES_BELOW))))


def draw_logistic_mixture(parameters: Tensor, colors: int, levels: int) -> Tensor:
    """A pixel of each row, rounded to its levels: (B, P) -> (B, colors) int64. By torch's global generator."""
    logits, means, log_scales, coefficients = split_mixture(parameters, colors)
    chosen = torch.distributions.Categorical(logits=logits).sample().view(-1, 1, 1)  # (B, 1, 1)

    def of_chosen(values: Tensor) -> Tensor:
        return values.gather(2, chosen.expand(-1, values.shape[1], -1))  # (B, n, 1)

    means, log_scales, coefficients = of_chosen(means), of_chosen(log_scales), of_chosen(coefficients)
    noise = torch.rand_like(means).clamp(1e-5, 1 - 1e-5).logit() * log_scales.exp()
    x = torch.zeros_like(means[..., 0])  # (B, C)
    for color in range(colors):
        middle = shifted_means(means, coefficients, x)[:, color, 0]
        value = (middle + noise[:, color, 0]).clamp(-1, 1)
        x[:, color] = ((value + 1) / 2 * (levels - 1)).round() * 2 / (levels - 1) - 1
    return ((x + 1) / 2 * (levels - 1)).round().long()
