"""InfoNCE over a grid: the patch k rows below is told from all patches of all images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank
from ssl_pipelines.losses.precision import full_precision


@full_precision
def grid_nce(predicted: Tensor, targets: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cross entropy of <predicted, target> over all targets of all ranks, and the share of right guesses. -> (), ().

    `predicted` (B, D, H - k, W): at (r, c) what is guessed from rows 0 to r for (r + k, c); `targets` (B, D, H, W). Neither is
    normalized, and there is no temperature. van den Oord et al. 2018, arXiv:1807.03748, eq. 4, with negatives of grid and batch."""
    b, d, h, w = targets.shape
    queries = predicted.permute(0, 2, 3, 1).reshape(-1, d)  # (B (H - k) W, D)
    keys = gather_rows(targets.permute(0, 2, 3, 1).reshape(-1, d))  # (all B H W, D)
    image = torch.arange(b, device=targets.device).view(-1, 1, 1) + rank() * b
    row = torch.arange(k, h, device=targets.device).view(-1, 1)
    place = ((image * h + row) * w + torch.arange(w, device=targets.device)).flatten()
    logits = queries @ keys.T
    return F.cross_entropy(logits, place), (logits.argmax(1) == place).float().mean()
