"""What the eigenvalues of the features' covariance say: how fast they fall, and over how many directions the variance is spread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FIRST, LAST = 6, 100  # ranks of the eigenvalues that the exponent is fitted on, from 1
LEAST_POINTS = 3  # of a fit
NOTHING = 1e-12  # relative to the largest: float32 features leave no more in directions that they do not use


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """lambda_j ~ j^-alpha over the ranks first..last, and the share of the logarithms' variance that it explains there."""

    alpha: float
    r2: float
    first: int
    last: int


def covariance_eigenvalues(x: Tensor) -> Tensor:
    """(n, D) -> (D,) float64, descending: of the centered covariance over n - 1. At most n - 1 of them are above 0.   n >= 2."""
    centered = x.detach().to("cpu", torch.float64)
    centered = centered - centered.mean(0)
    return torch.linalg.eigvalsh(centered.T @ centered / (len(x) - 1)).flip(0).clamp(min=0)


def power_law(eigenvalues: Tensor, first: int = FIRST, last: int = LAST) -> PowerLaw | None:
    """alpha-ReQ: the exponent of descending eigenvalues (D,); None where fewer than 3 ranks are left to fit.

    Agrawal et al., NeurIPS 2022. Least squares of log lambda on log j, weighted by 1 / j (so the many small ones do not outweigh the
    few large ones); `r2` is without weights. Below `last` dimensions the range ends at D - 10, for the last eigenvalues of a
    sample fall off whatever the features are; and before those that are nothing but rounding."""
    d = len(eigenvalues)
    last = min(last if d >= last else d - 10, int((eigenvalues > NOTHING * eigenvalues[0]).sum()))
    if last - first + 1 < LEAST_POINTS:
        return None
    rank = torch.arange(first, last + 1, dtype=torch.float64)
    x, y, weight = rank.log(), eigenvalues[first - 1 : last].double().log(), 1 / rank
    weight = weight / weight.sum()
    x_mean, y_mean = weight @ x, weight @ y
    slope = (weight @ ((x - x_mean) * (y - y_mean))) / (weight @ (x - x_mean).square())
    rest = y - (y_mean + slope * (x - x_mean))
    spread = (y - y.mean()).square().sum()
    r2 = float(1 - rest.square().sum() / spread) if spread > 0 else 1.0  # equal eigenvalues: a line of slope 0 says all
    return PowerLaw(-float(slope), r2, first, last)


def participation_ratio(eigenvalues: Tensor) -> float:
    """(sum_j lambda_j)^2 / sum_j lambda_j^2: (D,) -> from 1 (one direction) to D (all alike); 0 where there is no variance.

    The effective dimension of Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement" (bioRxiv 214262)."""
    squares = eigenvalues.double().square().sum()
    return float(eigenvalues.double().sum().square() / squares) if squares > 0 else 0.0
