"""The masked autoencoder's loss on patches of pixels."""

from __future__ import annotations

from torch import Tensor


def normalize_patches(patches: Tensor, eps: float = 1e-6) -> Tensor:
    """(B, T, P P C): each patch minus its mean, over the root of its unbiased variance + eps, all its values together.

    He et al. 2022, arXiv:2111.06377, section 3 ("normalized pixels"), constants of the authors' code. A flat patch becomes 0."""
    mean = patches.mean(-1, keepdim=True)
    var = patches.var(-1, keepdim=True)
    return (patches - mean) / (var + eps).sqrt()


def masked_patch_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of a patch, averaged over the masked patches.   (B, T, D), (B, T, D), mask (B, T) 1 = masked -> ()."""
    error = (prediction - target).square().mean(-1)  # (B, T)
    return (error * mask).sum() / mask.sum()
