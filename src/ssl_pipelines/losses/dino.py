"""Self-distillation: the student's distribution over prototypes follows the teacher's of another view."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.precision import full_precision
from ssl_pipelines.losses.swapped_prediction import swapped_prediction


def dino(student: Tensor, teacher: Tensor, center: Tensor, student_temperature: float, teacher_temperature: float) -> Tensor:
    """mean over pairs q != v of mean_b H(softmax((g_q - c) / t_t), softmax(s_v / t_s)).   student (V, B, K), teacher (A, B, K), (K,) -> ().

    The teacher's views are the first of the student's. Its logits are centered, which keeps any one prototype from taking all, and
    sharpened, which keeps them from sharing alike. Caron et al. 2021, arXiv:2104.14294, eqs. 1 to 3."""
    return swapped_prediction(teacher_probabilities(teacher, center, teacher_temperature), student, student_temperature)


@torch.no_grad()
@full_precision
def teacher_probabilities(teacher: Tensor, center: Tensor, temperature: float) -> Tensor:
    """softmax((g - c) / t) over the last axis."""
    return ((teacher - center.to(teacher)) / temperature).softmax(-1)


@torch.no_grad()
@full_precision
def batch_center(teacher: Tensor) -> Tensor:
    """(A, B, K) -> (K,): the mean of the teacher's logits over views, images and ranks, which the center follows (eq. 4)."""
    mean: Tensor = all_reduce_mean(teacher.mean((0, 1)))
    return mean
