"""Contrast with all rows of one's own group, against its equation in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import all_reduce_mean, local_rows, world_size
from ssl_pipelines.losses.supervised_contrast import supervised_contrast

GROUPS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])


def rows() -> torch.Tensor:
    return torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def oracle(z: np.ndarray, groups: list[int], t: float) -> float:
    unit, total = z / np.sqrt((z**2).sum(1, keepdims=True)), 0.0
    for i in range(len(z)):
        everyone = sum(math.exp(unit[i] @ unit[j] / t) for j in range(len(z)) if j != i)
        positives = [p for p in range(len(z)) if p != i and groups[p] == groups[i]]
        total -= sum(math.log(math.exp(unit[i] @ unit[p] / t) / everyone) for p in positives) / len(positives)
    return total / len(z)


@pytest.mark.parametrize("temperature", [0.07, 0.3])
def test_it_equals_its_equation(temperature):
    found = supervised_contrast(rows(), GROUPS, temperature)
    assert found.item() == pytest.approx(oracle(rows().numpy(), GROUPS.tolist(), temperature), rel=1e-10)


def test_groups_may_differ_in_size():
    groups = torch.tensor([5, 5, 5, 5, 5, 9, 9, 9, 9, 9, 7, 7])
    found = supervised_contrast(rows(), groups, 0.3)
    assert found.item() == pytest.approx(oracle(rows().numpy(), groups.tolist(), 0.3), rel=1e-10)


def test_one_image_alone_costs_the_logarithm_of_its_three_others():
    assert supervised_contrast(torch.ones(4, 3), torch.zeros(4, dtype=torch.int64), 0.3).item() == pytest.approx(math.log(3))


def test_it_is_least_where_groups_are_points_far_apart():
    corners = torch.eye(3, dtype=torch.float64)[GROUPS]
    assert supervised_contrast(corners, GROUPS, 0.05).item() == pytest.approx(math.log(3), abs=1e-6)
    assert supervised_contrast(corners.roll(1, 0)[GROUPS.argsort()], GROUPS, 0.05).item() > 5


def value_and_gradient() -> dict[str, torch.Tensor]:
    mine = local_rows(12)
    z = rows()[mine].requires_grad_()
    value = supervised_contrast(z, GROUPS[mine], 0.3)
    value.backward()
    return {"value": all_reduce_mean(value.detach()), "gradient": z.grad / world_size()}


def test_two_ranks_equal_one_process(tmp_path):
    alone = value_and_gradient()
    first, second = on_ranks(value_and_gradient, tmp_path / "ranks")
    torch.testing.assert_close(first["value"], alone["value"], rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.cat([first["gradient"], second["gradient"]]), alone["gradient"], rtol=1e-9, atol=1e-12)
    assert alone["gradient"].abs().max() > 1e-3
