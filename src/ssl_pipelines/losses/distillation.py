"""Distillation of a classifier: the student answers as the teacher does, softened."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-mean_b sum_k softmax(t_b / T)_k log softmax(s_b / T)_k.   logits s, t: (B, K) -> (); no gradient enters t.

    Its smallest value is the mean entropy of the softened teacher. Hinton et al. 2015, arXiv:1503.02531; Chen et al. 2020b,
    arXiv:2006.10029, eq. 2: without labels, the temperature on both sides, and no factor T^2."""
    return -((teacher.detach() / temperature).softmax(1) * F.log_softmax(student / temperature, dim=1)).sum(1).mean()
