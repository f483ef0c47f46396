"""Self-distillation of hidden patches."""

from __future__ import annotations

from torch import Tensor

from ssl_pipelines.losses.precision import full_precision


@full_precision
def masked_distillation(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """mean over views and images of sum_t m_t H(p_t, softmax(s_t / temperature)) / max(sum_t m_t, 1).

    student logits (V, B, T, K), teacher probabilities p (V, B, T, K), mask (V, B, T) bool -> (). A view predicts its own patches; an image
    without a hidden one counts 0 in the mean. No gradient enters p. Zhou et al. 2022 (iBOT), arXiv:2111.07832, eq. 2 with the averages
    of the authors' code."""
    share = mask.to(student) / mask.sum(2, keepdim=True).clamp(min=1)  # (V, B, T)
    costs = -(teacher[mask].detach() * (student[mask] / temperature).log_softmax(1)).sum(1)  # (M,)
    return (costs * share[mask]).sum() / (mask.shape[0] * mask.shape[1])
