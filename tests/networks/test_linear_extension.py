"""A map carried from a block, against matrix products in NumPy and the equations that it comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from ssl_pipelines.networks.linear_extension import LinearExtension
from ssl_pipelines.views.quarter_blocks import hidden_places, quarter_corners

SIDE, DIM = 4, 3
EVERY = [(top, left) for top in range(SIDE + 1) for left in range(SIDE + 1)]


def ready(*, unit_steps: bool, scale: float = 0.3) -> tuple[LinearExtension, np.ndarray, np.ndarray]:
    """An extension in float64, and its A and B."""
    a, b = scale * np.random.default_rng(0).normal(size=(2, DIM, DIM))
    extension = LinearExtension(DIM, unit_steps=unit_steps).double()
    extension.load_state_dict({"across": torch.from_numpy(a), "down": torch.from_numpy(b)})
    return extension, a, b


def blocks(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, DIM, SIDE, SIDE)))


def moved(a: np.ndarray, dx: int, *, unit_steps: bool) -> np.ndarray:
    """The matrix that carries a feature by dx places, dx of either sign."""
    identity = np.eye(DIM)
    return np.linalg.matrix_power(identity + np.sign(dx) * a, abs(dx)) if unit_steps else identity + dx * a


@pytest.mark.parametrize("unit_steps", [True, False])
@pytest.mark.parametrize("corner", EVERY)
def test_every_place_is_a_matrix_product_of_its_source(corner, unit_steps):
    """Place by place: the source is the place of the block that lies half the map away along x, along y, or both."""
    extension, a, b = ready(unit_steps=unit_steps)
    [z] = blocks(1)
    found = extension(z.unsqueeze(0), torch.tensor([corner]))[0].detach().numpy()
    assert found.shape == (DIM, 2 * SIDE, 2 * SIDE)
    top, left = corner
    for y in range(2 * SIDE):
        for x in range(2 * SIDE):
            sources = [
                (y0, x0)
                for y0 in range(top, top + SIDE)
                for x0 in range(left, left + SIDE)
                if y - y0 in (-SIDE, 0, SIDE) and x - x0 in (-SIDE, 0, SIDE)
            ]
            assert len(sources) == 1
            [(y0, x0)] = sources
            start = z[:, y0 - top, x0 - left].numpy()
            wanted = moved(b, y - y0, unit_steps=unit_steps) @ moved(a, x - x0, unit_steps=unit_steps) @ start
            np.testing.assert_allclose(found[:, y, x], wanted, rtol=1e-12, atol=1e-12)


def test_images_of_a_batch_have_blocks_of_their_own():
    extension, *_ = ready(unit_steps=True)
    z, corners = blocks(len(EVERY)), torch.tensor(EVERY)
    together = extension(z, corners)
    for one, corner, found in zip(z, corners, together, strict=True):
        torch.testing.assert_close(extension(one.unsqueeze(0), corner.unsqueeze(0))[0], found)


def test_without_derivatives_the_block_is_repeated():
    extension = LinearExtension(DIM, unit_steps=True).double()
    z = blocks(1)
    for corner in EVERY:
        whole = extension(z, torch.tensor([corner]))
        assert torch.equal(whole, z.repeat(1, 1, 2, 2).roll(corner, (2, 3)))


def test_solutions_of_the_two_equations_are_met_to_second_order_in_the_step():
    """z = expm(x A + y B) z_0 with A and B that commute; unit steps over a map of finer and finer places."""
    m = np.random.default_rng(2).normal(size=(DIM, DIM))
    m /= np.linalg.norm(m, 2)
    a, b = m, 0.5 * m @ m - 0.4 * m  # polynomials of one matrix
    start = np.random.default_rng(3).normal(size=DIM)
    errors = []
    for side in (4, 8, 16):
        step = 1 / side  # the block is 1 wide
        y, x = np.meshgrid(np.arange(2 * side) * step, np.arange(2 * side) * step, indexing="ij")
        true = np.stack([[expm(x[i, j] * a + y[i, j] * b) @ start for j in range(2 * side)] for i in range(2 * side)])
        extension = LinearExtension(DIM, unit_steps=True).double()
        extension.load_state_dict({"across": torch.from_numpy(step * a), "down": torch.from_numpy(step * b)})
        z = torch.from_numpy(true[:side, :side]).permute(2, 0, 1).unsqueeze(0)
        found = extension(z, torch.zeros(1, 2, dtype=torch.int64))[0].permute(1, 2, 0).detach().numpy()
        errors.append(np.abs(found - true).max())
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)  # O(step^2) a step, 1 / step steps
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)
    assert errors[2] < 0.05 * np.abs(true).max()


@pytest.mark.parametrize("where", ["corners", "corners_and_center", "any"])
@pytest.mark.parametrize("side", [1, 3, 4])
def test_blocks_are_a_quarter_and_lie_in_the_map(where, side):
    corners = quarter_corners(side, where)
    assert len(corners) == {"corners": 4, "corners_and_center": 5, "any": (side + 1) ** 2}[where]
    assert corners.min() >= 0
    assert corners.max() <= side
    hidden = hidden_places(corners, side)
    assert hidden.shape == (len(corners), 2 * side, 2 * side)
    for (top, left), mask in zip(corners.tolist(), hidden, strict=True):
        assert mask.sum() == 3 * side * side
        assert (mask[top : top + side, left : left + side] == 0).all()


def test_small_derivatives_survive_autocast():
    torch.manual_seed(0)
    extension = LinearExtension(8, unit_steps=True)
    torch.nn.init.normal_(extension.across, std=1e-4)
    torch.nn.init.normal_(extension.down, std=1e-4)
    block, corners = torch.randn(2, 8, 4, 4), torch.zeros(2, 2, dtype=torch.int64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = extension(block.bfloat16(), corners)
    with torch.no_grad():
        torch.testing.assert_close(half, extension(block.bfloat16().float(), corners))
