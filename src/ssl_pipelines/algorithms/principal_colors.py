"""Feature maps as pictures."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_colors(maps: Tensor) -> Tensor:
    """(B, D, h, w) -> (B, 3, h, w) in [0, 1]: the three leading principal components over all places as red, green and blue.

    One scale for all three, so that a component of little variance stays gray; 0.5 is the mean. A component's largest weight is
    positive, so that equal maps have equal colors. Oquab et al. 2023, arXiv:2304.07193, figure 1, show features so."""
    rows = maps.permute(0, 2, 3, 1).flatten(0, 2).to("cpu", torch.float64)  # (B h w, D); not every device has it
    rows = rows - rows.mean(0)
    directions = torch.linalg.eigh(rows.T @ rows).eigenvectors.flip(1)[:, :3]  # (D, 3)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))  # (1, 3)
    values = rows @ (directions * largest.sign())
    spread = values[:, :1].std().clamp(min=torch.finfo(values.dtype).tiny)
    colors = (0.5 + values / (4 * spread)).clamp(0, 1)  # two standard deviations to either side
    if colors.shape[1] < 3:
        colors = torch.nn.functional.pad(colors, (0, 3 - colors.shape[1]), value=0.5)
    return colors.to(maps).unflatten(0, (len(maps), *maps.shape[2:])).permute(0, 3, 1, 2)
