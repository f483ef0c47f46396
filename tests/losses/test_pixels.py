"""Positions and losses of places against double loops. Xie et al. 2021, eqs. 1 to 5."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.pixels import matching_places, pixel_agreement, pixel_contrast, propagated


def box(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def matching_in_loops(first: np.ndarray, second: np.ndarray, side: int, threshold: float) -> np.ndarray:
    found = np.zeros((len(first), side**2, side**2), bool)
    for b, pair in enumerate(zip(first, second, strict=True)):
        places, diagonals = [], []
        for top, left, height, width, mirrored in pair:
            points = []
            for row in range(side):
                for column in range(side):
                    where = side - 1 - column if mirrored else column  # the column of the photograph
                    points.append((top + (row + 0.5) * height / side, left + (where + 0.5) * width / side))
            places.append(points)
            diagonals.append(math.sqrt((height / side) ** 2 + (width / side) ** 2))
        for i, (y, x) in enumerate(places[0]):
            for j, (v, u) in enumerate(places[1]):
                found[b, i, j] = math.sqrt((y - v) ** 2 + (x - u) ** 2) / max(diagonals) < threshold
    return found


def random_boxes(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    sides = random.uniform(10, 30, (count, 2))
    return np.column_stack([random.uniform(0, 32 - sides), sides, random.integers(0, 2, count)])


@pytest.mark.parametrize("threshold", [0.3, 0.7, 1.5])
def test_matching_places_equal_the_double_loop(threshold):
    first, second = random_boxes(20, 0), random_boxes(20, 1)
    found = matching_places(torch.tensor(first), torch.tensor(second), 4, threshold).numpy()
    assert (found == matching_in_loops(first, second, 4, threshold)).all()
    assert found.any()
    assert not found.all()


def test_equal_crops_match_themselves_alone_at_the_papers_threshold():
    """A neighbor is 1 / sqrt(2) = 0.707 of the diagonal away, just outside 0.7."""
    here = box(3, 5, 16, 16, 0)
    assert torch.equal(matching_places(here, here, 4, 0.7)[0], torch.eye(16, dtype=torch.bool))
    assert matching_places(here, here, 4, 0.71)[0].sum() > 16


def test_a_mirrored_copy_matches_its_mirror():
    match = matching_places(box(3, 5, 16, 16, 0), box(3, 5, 16, 16, 1), 4, 0.7)[0]
    mirror = torch.arange(16).view(4, 4).flip(1).flatten()
    assert torch.equal(match, torch.eye(16, dtype=torch.bool)[mirror])


def test_crops_that_do_not_meet_match_nowhere():
    assert not matching_places(box(0, 0, 8, 8, 0), box(20, 20, 8, 8, 0), 4, 0.7).any()


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def sample(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    positives = random.random((4, 9, 9)) < 0.15
    positives[1] = False  # no overlap
    positives[2, 3] = False  # a place without a positive
    return random.normal(size=(4, 5, 9)), random.normal(size=(4, 5, 9)), positives


def test_pixel_contrast_equals_the_double_loop():
    queries, keys, positives = sample()
    q, k = unit(queries), unit(keys)
    images = []
    for b in range(4):
        places = []
        for i in range(9):
            if positives[b, i].any():
                e = [math.exp(q[b, :, i] @ k[b, :, j] / 0.3) for j in range(9)]
                places.append(-math.log(sum(e[j] for j in range(9) if positives[b, i, j]) / sum(e)))
        if places:
            images.append(np.mean(places))
    assert len(images) == 3
    found = pixel_contrast(torch.tensor(queries), torch.tensor(keys), torch.tensor(positives), 0.3).item()
    assert found == pytest.approx(np.mean(images), rel=1e-12)


def test_pixel_agreement_equals_the_double_loop():
    queries, keys, positives = sample(1)
    q, k = unit(queries), unit(keys)
    images = []
    for b in range(4):
        cosines = [q[b, :, i] @ k[b, :, j] for i in range(9) for j in range(9) if positives[b, i, j]]
        if cosines:
            images.append(-np.mean(cosines))
    found = pixel_agreement(torch.tensor(queries), torch.tensor(keys), torch.tensor(positives)).item()
    assert found == pytest.approx(np.mean(images), rel=1e-12)


def test_propagation_equals_the_double_loop():
    x, g, _ = sample(2)
    found = propagated(torch.tensor(x), torch.tensor(g), 2.0).numpy()
    u, v = unit(x), unit(g)
    for b in range(4):
        for i in range(9):
            expected = sum(max(u[b, :, i] @ u[b, :, j], 0) ** 2 * v[b, :, j] for j in range(9))
            np.testing.assert_allclose(found[b, :, i], expected, rtol=1e-10)


def test_negatives_are_of_the_same_image_alone():
    queries, keys, positives = (torch.tensor(x) for x in sample())
    here = pixel_contrast(queries[:1], keys[:1], positives[:1], 0.3)
    both = pixel_contrast(queries[[0, 2]], keys[[0, 2]], positives[[0, 2]], 0.3)
    other = pixel_contrast(queries[2:3], keys[2:3], positives[2:3], 0.3)
    torch.testing.assert_close(both, (here + other) / 2)


def test_no_overlap_at_all_costs_nothing_and_has_finite_gradients():
    queries = torch.randn(3, 5, 9, requires_grad=True)
    keys, none = torch.randn(3, 5, 9), torch.zeros(3, 9, 9, dtype=torch.bool)
    for loss in (pixel_contrast(queries, keys, none, 0.3), pixel_agreement(queries, keys, none)):
        loss.backward()
        assert loss.item() == 0
        assert (queries.grad == 0).all()
