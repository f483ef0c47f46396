"""The squared error of a prediction inside holes."""

from __future__ import annotations

from torch import Tensor

from ssl_pipelines.losses.precision import full_precision


@full_precision
def hole_error(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """sum w (x - y)^2 over the values that count, by their number, an image at a time; then the mean over images.

    (B, C, H, W), (B, C, H, W), weight (B, 1, H, W) with 0 where nothing is predicted -> (). A mean over the whole image would shrink with
    the hole. Pathak et al. 2016, arXiv:1604.07379, eq. 1."""
    error = (prediction - target).square().mean(1, keepdim=True) * weight  # (B, 1, H, W)
    count = (weight > 0).sum((1, 2, 3)).clamp(min=1)
    return (error.sum((1, 2, 3)) / count).mean()
