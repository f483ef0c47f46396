"""The density of pixels between 0 and 1 that DALL-E's autoencoder is trained by."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.precision import full_precision

NARROWEST = math.exp(-5.0)  # of the scale b: below it a gray level of 8 bits is many scales wide


def squeezed(pixels: Tensor, margin: float) -> Tensor:
    """[0, 1] -> [margin, 1 - margin], where a logit is finite. Ramesh et al. 2021, arXiv:2102.12092, appendix A.3."""
    return (1 - 2 * margin) * pixels + margin


def released(values: Tensor, margin: float) -> Tensor:
    """The inverse of `squeezed`, clamped to [0, 1]."""
    return ((values - margin) / (1 - 2 * margin)).clamp(0, 1)


@full_precision
def logit_laplace(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log of exp(-|logit x - m| / b) / (2 b x (1 - x)), elementwise: the density of x = sigmoid(y), y Laplace with m and b = exp(log_scale).

    x in (0, 1). Ramesh et al. 2021, arXiv:2102.12092, appendix A.3. Differs: b is at least exp(-5), without which what is flat in all
    images (the paper of digits) has a density without bound."""
    log_scale = log_scale.clamp(min=math.log(NARROWEST))
    logit = torch.logit(x)
    # log x (1 - x) = log sigmoid(y) + log sigmoid(-y)
    return -(logit - mean).abs() * (-log_scale).exp() - math.log(2) - log_scale - F.logsigmoid(logit) - F.logsigmoid(-logit)
