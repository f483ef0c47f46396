"""Under autocast the losses compute as they do without it: value and gradient of the same inputs."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from ssl_pipelines.losses.amdim import amdim_loss
from ssl_pipelines.losses.dino import batch_center, dino
from ssl_pipelines.losses.grid_nce import grid_nce
from ssl_pipelines.losses.local_aggregation import local_aggregation
from ssl_pipelines.losses.mutual_information import mutual_information_loss, place_scores
from ssl_pipelines.losses.nce import nce, softmax_nce
from ssl_pipelines.losses.pixels import pixel_agreement, pixel_contrast, propagated
from ssl_pipelines.losses.swapped_prediction import swapped_prediction
from ssl_pipelines.networks.scores import row_scores

B, D, K = 8, 64, 5


def information(measure, whole, places):
    return mutual_information_loss(*place_scores(whole, places), measure)


def diagonal(x, y):
    return torch.eye(K, dtype=torch.bool).expand(B, K, K)


PLACES = ((B, D, K), (B, D, K))
CASES = {
    "dim_jsd": (partial(information, "jsd"), ((B, D), (B, D, K))),
    "dim_info_nce": (partial(information, "info_nce"), ((B, D), (B, D, K))),
    "dim_dv": (partial(information, "dv"), ((B, D), (B, D, K))),
    "amdim": (lambda x, y: amdim_loss(x, y, 20.0, 0.04), ((B, D), (B, D, K))),
    "cpc": (lambda x, y: grid_nce(x, y, 2)[0], ((B, D, 3, 5), (B, D, 5, 5))),
    "pixel_contrast": (lambda x, y: pixel_contrast(x, y, diagonal(x, y), 0.3), PLACES),
    "pixel_agreement": (lambda x, y: pixel_agreement(propagated(x, y, 2.0), y, diagonal(x, y)), PLACES),
    "nce": (lambda x, y: nce(x[:, 0], y, torch.tensor(3.0), 100, 0.07), ((B, 1), (B, 20))),
    "softmax_nce": (lambda x, y: softmax_nce(x[:, 0], y, 0.07), ((B, 1), (B, 20))),
    "local_aggregation": (lambda x, y: local_aggregation(x + y, torch.arange(D) < 9, 0.07), ((B, D), (B, D))),
    "swav": (lambda x, y: swapped_prediction(x.softmax(2), x + y, 0.1), ((2, B, D), (2, B, D))),
    "dino": (lambda x, y: dino(x, y, torch.zeros(D), 0.1, 0.04) + batch_center(y).sum(), ((2, B, D), (2, B, D))),
    "bank": (lambda x, y: row_scores(x, y).logsumexp(1).sum(), ((B, D), (30, D))),
    "own_rows": (lambda x, y: row_scores(x, y).logsumexp(1).sum(), ((B, D), (B, 7, D))),
}


@pytest.mark.parametrize("name", CASES)
def test_autocast_changes_nothing(name):
    loss, shapes = CASES[name]
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randn(shape, generator=random) * 3 for shape in shapes)

    def computed(half: bool) -> tuple[torch.Tensor, torch.Tensor]:
        x = first.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            value = loss(x, second)
        value.backward()
        return value.detach(), x.grad

    for plain, cast in zip(computed(False), computed(True), strict=True):
        assert cast.dtype == torch.float32
        assert torch.equal(cast, plain)


@pytest.mark.parametrize("name", ["dim_info_nce", "dim_jsd", "amdim", "cpc", "bank"])
def test_half_inputs_are_raised_and_doubles_stay(name):
    loss, shapes = CASES[name]
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(shape, generator=random) for shape in shapes)
    found = loss(x.bfloat16(), y.bfloat16())
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(x.bfloat16().float(), y.bfloat16().float()))
    assert loss(x.double(), y.double()).dtype == torch.float64
