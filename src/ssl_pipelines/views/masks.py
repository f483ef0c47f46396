"""Which patches of an image are hidden: one function a scheme."""

from __future__ import annotations

from torch import Tensor


def random_masking(noise: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    """noise (B, T) -> visible places (B, keep), the inverse order (B, T), mask (B, T) with 1 where hidden; a mask an image.

    He et al. 2022 (MAE), arXiv:2111.06377, section 3."""
    order = noise.argsort(1)
    restore = order.argsort(1)
    return order[:, :keep], restore, (restore >= keep).float()
