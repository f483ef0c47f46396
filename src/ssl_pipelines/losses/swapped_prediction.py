"""One view's assignment, predicted from every other view."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.precision import full_precision


@full_precision
def swapped_prediction(codes: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """mean_a mean_{v != a} mean_b -sum_k q_abk log softmax_k(s_vb / t).   codes (A, B, K), scores (V, B, K), A <= V, V >= 2 -> ().

    View a of the codes is view a of the scores, and no view predicts its own. No gradient enters the codes.
    Caron et al. 2020 (SwAV), arXiv:2006.09882, eqs. 1 and 2, and section 3.2 for more than two views."""
    log_p = F.log_softmax(scores / temperature, dim=2)
    cost = -codes.detach().to(log_p).flatten(1) @ log_p.flatten(1).T / codes.shape[1]  # (A, V)
    own = torch.eye(*cost.shape, dtype=torch.bool, device=cost.device)
    return cost[~own].mean()
