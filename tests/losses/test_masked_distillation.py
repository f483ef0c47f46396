"""Distillation of hidden patches against loops over views, images and patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.masked_distillation import masked_distillation


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    student, teacher = random.normal(size=(2, 2, 3, 4, 5))
    mask = random.uniform(size=(2, 3, 4)) < 0.5
    mask[0, 1] = False
    return student, np.apply_along_axis(softmax, 3, teacher), mask


def test_it_is_the_mean_over_views_and_images_of_the_mean_over_hidden_patches():
    student, p, mask = drawn()
    total = 0.0
    for v in range(2):
        for b in range(3):
            costs = [-(p[v, b, t] * np.log(softmax(student[v, b, t] / 0.3))).sum() for t in range(4) if mask[v, b, t]]
            total += sum(costs) / max(len(costs), 1)
    found = masked_distillation(*(torch.tensor(value) for value in (student, p, mask)), 0.3)
    assert found.item() == pytest.approx(total / 6, rel=1e-10)


def test_visible_patches_and_the_teacher_have_no_gradient():
    student, p, mask = (torch.tensor(value) for value in drawn())
    student.requires_grad_()
    p.requires_grad_()
    masked_distillation(student, p, mask, 0.3).backward()
    assert p.grad is None
    assert (student.grad[~mask] == 0).all()
    assert (student.grad[mask] != 0).all()


def test_without_a_hidden_patch_it_is_zero_and_can_be_differentiated():
    student = torch.randn(2, 3, 4, 5, requires_grad=True)
    loss = masked_distillation(student, torch.full((2, 3, 4, 5), 0.2), torch.zeros(2, 3, 4, dtype=torch.bool), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert (student.grad == 0).all()
