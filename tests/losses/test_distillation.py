"""Distillation: value, gradient in closed form, and its smallest value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.distillation import distillation


def softmax(row: np.ndarray) -> np.ndarray:
    e = np.exp(row - row.max())
    return e / e.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_equals_the_loops_and_the_closed_form_gradient(temperature):
    s, t = np.random.default_rng(0).normal(size=(2, 6, 5)) * 2
    student = torch.tensor(s, requires_grad=True)
    value = distillation(student, torch.tensor(t), temperature)
    p, q = (np.stack([softmax(row / temperature) for row in logits]) for logits in (s, t))
    assert value.item() == pytest.approx(np.mean([-(b * np.log(a)).sum() for a, b in zip(p, q, strict=True)]), rel=1e-12)
    value.backward()
    np.testing.assert_allclose(student.grad, (p - q) / temperature / len(s), rtol=1e-9, atol=1e-14)


def test_its_smallest_value_is_the_teachers_entropy():
    logits = torch.randn(8, 10, dtype=torch.float64)
    q = (logits / 2).softmax(1)
    entropy = -(q * q.log()).sum(1).mean()
    torch.testing.assert_close(distillation(logits + 3, logits, 2.0), entropy)
    assert distillation(torch.randn(8, 10, dtype=torch.float64), logits, 2.0) > entropy


def test_no_gradient_reaches_the_teacher():
    student, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    distillation(student, teacher, 1.0).backward()
    assert teacher.grad is None
