"""Bounds on mutual information against loops and closed forms, and a Gaussian whose information is known. Hjelm et al. 2019, eqs. 2 to 5."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.mutual_information import mutual_information_loss, place_scores

MEASURES = ("jsd", "info_nce", "dv")


def oracle(whole: np.ndarray, places: np.ndarray, measure: str) -> float:
    b, _, k = places.shape

    def u(i: int, j: int, place: int) -> float:
        return float(whole[i] @ places[j, :, place])

    true = [u(i, i, place) for i in range(b) for place in range(k)]
    false = [u(i, j, place) for i in range(b) for j in range(b) if i != j for place in range(k)]
    if measure == "jsd":
        joint = np.mean([math.log(2) - math.log(1 + math.exp(-s)) for s in true])
        return float(np.mean([math.log(1 + math.exp(s)) - math.log(2) for s in false]) - joint)
    if measure == "dv":
        return float(math.log(np.mean(np.exp(false))) - np.mean(true))
    total = 0.0
    for i in range(b):
        others = sum(math.exp(u(i, j, place)) for j in range(b) if j != i for place in range(k))
        total += sum(math.log(math.exp(u(i, i, place)) + others) - u(i, i, place) for place in range(k))
    return total / (b * k)


@pytest.mark.parametrize("measure", MEASURES)
def test_equals_the_loops(measure):
    random = np.random.default_rng(0)
    whole, places = random.normal(size=(4, 3)), random.normal(size=(4, 3, 5))
    found = mutual_information_loss(*place_scores(torch.tensor(whole), torch.tensor(places)), measure).item()
    assert found == pytest.approx(oracle(whole, places, measure), rel=1e-12)


@pytest.mark.parametrize(("measure", "value"), [("jsd", 0), ("info_nce", math.log(1 + 7 * 9)), ("dv", 0)])
def test_closed_forms_at_equal_scores(measure, value):
    found = mutual_information_loss(*place_scores(torch.zeros(8, 4), torch.randn(8, 4, 9)), measure).item()
    assert found == pytest.approx(value, abs=1e-6)


def test_places_of_the_same_image_are_never_negatives():
    whole, places = torch.eye(3), torch.zeros(3, 3, 4)
    places[0, 0] = torch.tensor([0.0, 50.0, 50.0, 50.0])
    positive, negative = place_scores(whole, places)
    assert positive.shape == (3, 4)
    assert negative.shape == (3, 2, 4)
    assert negative.max() == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_a_constant_on_all_scores_moves_no_softmax_and_large_scores_stay_finite(measure):
    positive, negative = torch.randn(5, 2), torch.randn(5, 4, 2)
    here = mutual_information_loss(positive, negative, measure)
    moved = mutual_information_loss(positive + 3, negative + 3, measure)
    if measure == "jsd":
        assert moved > here + 0.1
    else:
        torch.testing.assert_close(moved, here)
    assert mutual_information_loss(200 * positive, 200 * negative, measure).isfinite()


def gaussian(correlation: float, count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """The best scores, log p(x, y) / p(x) p(y), of pairs of normal numbers with a known correlation."""
    random = np.random.default_rng(0)
    x = random.normal(size=count)
    y = correlation * x + math.sqrt(1 - correlation**2) * random.normal(size=count)
    r2 = correlation**2
    scores = -0.5 * math.log(1 - r2) - (r2 * (x[:, None] ** 2 + y**2) - 2 * correlation * x[:, None] * y) / (2 * (1 - r2))
    scores = torch.tensor(scores)
    off = ~torch.eye(count, dtype=torch.bool)
    return scores.diagonal().unsqueeze(1), scores[off].view(count, count - 1, 1)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_donsker_varadhan_is_the_known_information_of_a_gaussian(correlation):
    truth = -0.5 * math.log(1 - correlation**2)
    positive, negative = gaussian(correlation)
    assert -mutual_information_loss(positive, negative, "dv").item() == pytest.approx(truth, abs=0.06)
    for scale in (0.5, 1.5):  # any other score is below: it is a lower bound
        assert -mutual_information_loss(scale * positive, scale * negative, "dv").item() < truth + 0.06
    bound = math.log(len(positive)) - mutual_information_loss(positive, negative, "info_nce").item()
    assert bound == pytest.approx(truth, abs=0.06)
