"""Products with remembered rows. Autocast would round them to half precision, and a loss divides them by its temperature."""

from __future__ import annotations

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def row_scores(z: Tensor, rows: Tensor) -> Tensor:
    """<z_b, row_n>: (B, D), (N, D) or rows of its own for each b (B, M, D) -> (B, N) or (B, M), in float32, or the precision of z above."""
    with torch.autocast(z.device.type, enabled=False):
        z = z.float() if z.dtype in HALF else z
        rows = rows.to(z)
        return z @ rows.T if rows.dim() == 2 else torch.bmm(rows, z.unsqueeze(2)).squeeze(2)
