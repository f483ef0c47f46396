"""Lower bounds on the mutual information of whole images and their places, from scores of matching and mismatched pairs."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank
from ssl_pipelines.losses.precision import full_precision

Measure = Literal["jsd", "info_nce", "dv"]


@full_precision
def place_scores(whole: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """<whole_i, place_jk>: (B, D), (B, D, K) -> positive (B, K), of the same image; negative (B, N - 1, K), of all other images of all ranks."""
    scores = torch.einsum("id,jdk->ijk", whole, gather_rows(places))  # (B, N, K)
    b, n, k = scores.shape
    own = torch.arange(b, device=whole.device) + rank() * b
    positive = scores[torch.arange(b, device=whole.device), own]
    others = torch.arange(n, device=whole.device) != own.unsqueeze(1)  # (B, N)
    return positive, scores[others].view(b, n - 1, k)


@full_precision
def mutual_information_loss(positive: Tensor, negative: Tensor, measure: Measure) -> Tensor:
    """Minus an estimate of the mutual information, up to a constant.   scores (B, K), (B, N - 1, K) -> ().

    Hjelm et al. 2019 (DIM), arXiv:1808.06670, eqs. 4 (jsd, with the log 2 of the authors' code: 0 at equal scores), 5 (info_nce: a
    place of the image against all places of the others) and 2 (dv). No other place of the same image is a negative."""
    if measure == "jsd":
        return (F.softplus(-positive) - math.log(2)).mean() + (F.softplus(negative) - math.log(2)).mean()
    if measure == "info_nce":
        return (torch.logaddexp(positive, negative.flatten(1).logsumexp(1, keepdim=True)) - positive).mean()
    # One value for each rank: the logarithm is taken of the mean over all ranks.
    everywhere = gather_rows(negative.logsumexp((0, 1, 2)).view(1))
    return everywhere.logsumexp(0) - math.log(negative.numel() * len(everywhere)) - positive.mean()
