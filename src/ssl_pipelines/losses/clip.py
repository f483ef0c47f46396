"""CLIP's loss: symmetric cross entropy over the similarity matrix, at a scale that is learnt."""

from __future__ import annotations

from torch import Tensor

from ssl_pipelines.losses.info_nce import symmetric_info_nce


def clip(z1: Tensor, z2: Tensor, log_scale: Tensor) -> Tensor:
    """(CE of the rows + CE of the columns) / 2 of exp(log_scale) cos(z1_i, z2_j), targets on the diagonal.   (B, D), (B, D), () -> ().

    The columns are the rows of all ranks. log_scale is trained, and held below log 100 after each step, not in here: a clamp in the
    forward pass would leave it without a gradient at its bound. Radford et al. 2021, arXiv:2103.00020, figure 3, section 2.5."""
    return symmetric_info_nce(z1, z2, (-log_scale).exp())
