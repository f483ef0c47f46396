"""How much of its space an embedding uses: 0 or 1 where it collapsed, whatever the labels are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def effective_rank(z: Tensor, eps: float = 1e-7) -> Tensor:
    """RankMe: exp(-sum_k p_k log p_k), p_k = s_k / sum_j s_j + eps, s singular values.   (n, D) -> () float64 in [0, min(n, D)].

    Garrido et al. 2023, arXiv:2210.02885, eq. 1: z is not centered and s not squared. All zero: 0. Not finite: nan."""
    z = z.detach().to("cpu", torch.float64)
    if not z.isfinite().all():
        return torch.tensor(torch.nan, dtype=torch.float64)
    s = torch.linalg.svdvals(z)
    if s.sum() == 0:
        return torch.zeros((), dtype=torch.float64)
    p = s / s.sum() + eps
    entropy: Tensor = -(p * p.log()).sum()
    return entropy.exp()


def embedding_std(z: Tensor) -> Tensor:
    """sqrt(D) mean_j std_i (z_ij / |z_i|).   (n, D) -> () in [0, 1]: 1 for directions spread evenly, 0 where all are the same.

    Chen & He 2021, arXiv:2011.10566, figure 2, times sqrt(D) so that widths compare. Population std: one row gives 0."""
    unit = F.normalize(z.detach().float(), dim=1)
    spread: Tensor = unit.std(dim=0, correction=0).mean()
    return spread * float(unit.shape[1] ** 0.5)
