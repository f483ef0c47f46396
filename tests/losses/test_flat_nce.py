"""FlatNCE: its value is 1, its gradient is compared with the decoupled loss in float64 and with InfoNCE's. Chen et al. 2021."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.flat_nce import flat_nce
from ssl_pipelines.losses.nt_xent import nt_xent

T = 0.2


def decoupled_oracle(z1: np.ndarray, z2: np.ndarray) -> float:
    """mean_i [ log sum_- exp(s_ij / t) - s+ / t ], whose gradient FlatNCE's is."""
    rows = [row / math.sqrt(row @ row) for row in (*z1, *z2)]
    n, total = len(z1), 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        total += math.log(sum(math.exp(rows[i] @ rows[k] / T) for k in range(2 * n) if k not in (i, j))) - rows[i] @ rows[j] / T
    return total / (2 * n)


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(0).normal(size=(2, 4, 3)))


def test_the_value_is_one_and_the_gradient_is_the_decoupled_losss(views):
    z1, z2 = (torch.tensor(z, requires_grad=True) for z in views)
    loss = flat_nce(z1, z2, T)
    loss.backward()
    assert loss.item() == 1
    for place in np.ndindex(4, 3):
        up, down = views[0].copy(), views[0].copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        slope = (decoupled_oracle(up, views[1]) - decoupled_oracle(down, views[1])) / 2e-6
        assert z1.grad[place].item() == pytest.approx(slope, abs=1e-6)


def test_at_two_images_infonces_gradient_is_flats_times_one_minus_p():
    """Two images at right angles: p+ is the same in every row, so the identity of the rows holds for their sum."""
    z = torch.eye(2, dtype=torch.float64)
    tilted = torch.nn.functional.normalize(z + 0.3, dim=1)
    grads = []
    for loss in (nt_xent, flat_nce):
        z1, z2 = z.clone().requires_grad_(), tilted.clone().requires_grad_()
        grads.append(torch.autograd.grad(loss(z1, z2, T), z1)[0])
    rows = torch.cat([z, tilted])
    s = rows @ rows.T / T
    p = [(s[i, (i + 2) % 4].exp() / (s[i].exp().sum() - s[i, i].exp())).item() for i in range(4)]
    # rows 0, 1 and rows 2, 3 are mirror images: two values of p
    z1, z2 = z.clone().requires_grad_(), tilted.clone().requires_grad_()
    a, b = torch.nn.functional.normalize(z1, dim=1), torch.nn.functional.normalize(z2, dim=1)
    both = torch.cat([a, b])
    scores = both @ both.T / T
    per_row = []
    for i in range(4):
        negatives = torch.stack([scores[i, k] for k in range(4) if k not in (i, (i + 2) % 4)])
        per_row.append(torch.autograd.grad(negatives.logsumexp(0) - scores[i, (i + 2) % 4], z1, retain_graph=True)[0])
    torch.testing.assert_close(grads[1], sum(per_row) / 4)
    torch.testing.assert_close(grads[0], sum((1 - p[i]) * per_row[i] for i in range(4)) / 4)


def test_where_float32_takes_infonces_gradient_flats_is_there():
    z1, z2 = (torch.eye(2).requires_grad_() for _ in range(2))
    tilt = torch.tensor([[1.0, 1e-2], [1e-2, 1.0]], requires_grad=True)
    assert torch.autograd.grad(nt_xent(tilt, z2, 0.02), tilt)[0].abs().max() < 1e-15
    assert torch.autograd.grad(flat_nce(tilt, z2, 0.02), tilt)[0].abs().max() > 0.1
    assert flat_nce(z1, z2, 0.02).item() == 1


def test_views_that_are_far_apart_do_not_overflow_in_float32():
    z1 = torch.eye(2).requires_grad_()
    loss = flat_nce(z1, torch.tensor([[-1.0, 0.1], [0.1, -1.0]]), 0.01)  # v is beyond 100, exp(v) beyond float32
    assert loss.item() == 1
    assert torch.autograd.grad(loss, z1)[0].isfinite().all()


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match="2 images"):
        flat_nce(torch.ones(1, 3), torch.ones(1, 3), T)
