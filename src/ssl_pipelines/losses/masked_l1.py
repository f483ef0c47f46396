"""SimMIM's loss on hidden pixels."""

from __future__ import annotations

from torch import Tensor


def masked_l1(prediction: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean |prediction - target| over the hidden pixels of the batch and all channels.   (B, C, H, W) twice, (B, 1, H, W) -> ().

    Xie et al. 2022, arXiv:2111.09886, section 3.5. Every image hides as many pixels, so ranks may be averaged."""
    return ((prediction - target).abs() * hidden).sum() / (hidden.sum() * prediction.shape[1])
