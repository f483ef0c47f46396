"""The invariant and spreading loss against loops in float64, and its closed forms. Ye et al. 2019."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.inva_spread import inva_spread, inva_spread_released

T = 0.3


def unit(z: np.ndarray) -> list[np.ndarray]:
    return [row / math.sqrt(row @ row) for row in z]


def oracle(plain: np.ndarray, augmented: np.ndarray, t: float = T) -> float:
    f, g = unit(plain), unit(augmented)
    n, total = len(f), 0.0
    for i in range(n):
        total -= math.log(math.exp(f[i] @ g[i] / t) / sum(math.exp(f[k] @ g[i] / t) for k in range(n)))
        for j in range(n):
            if j != i:
                p = math.exp(f[i] @ f[j] / t) / sum(math.exp(f[k] @ f[j] / t) for k in range(n))
                total -= math.log(1 - p)
    return total / n


def oracle_released(z1: np.ndarray, z2: np.ndarray, keys: tuple[np.ndarray, np.ndarray] | None = None, t: float = T) -> float:
    rows, others = unit(np.concatenate([z1, z2])), unit(np.concatenate(keys or (z1, z2)))
    n, total = len(z1), 0.0
    for a in range(2 * n):
        p = {k: math.exp(rows[a] @ others[k] / t) for k in range(2 * n) if k != a}
        z = sum(p.values())
        for k, e in p.items():
            total -= math.log(e / z) if k == (a + n) % (2 * n) else math.log(1 - e / z)
    return total / (2 * n)


def views(rows: int = 5, dim: int = 4) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(rows).normal(size=(2, rows, dim)))


@pytest.mark.parametrize("rows", [2, 5])
@pytest.mark.parametrize(("loss", "expected"), [(inva_spread, oracle), (inva_spread_released, oracle_released)])
def test_equals_the_loops(rows, loss, expected):
    z1, z2 = views(rows)
    assert loss(torch.tensor(z1), torch.tensor(z2), T).item() == pytest.approx(expected(z1, z2), rel=1e-10)


def test_equal_embeddings_cost_what_the_card_says():
    same = torch.ones(128, 8, dtype=torch.float64)
    assert inva_spread(same, same, 0.1).item() == pytest.approx(math.log(128) - 127 * math.log(1 - 1 / 128), rel=1e-10)
    assert inva_spread(same, same, 0.1).item() == pytest.approx(5.848, abs=1e-3)
    assert inva_spread_released(same, same, 0.1).item() == pytest.approx(math.log(255) - 254 * math.log(1 - 1 / 255), rel=1e-10)
    assert inva_spread_released(same, same, 0.1).item() == pytest.approx(6.539, abs=1e-3)


def test_orthonormal_embeddings_cost_what_the_card_says():
    eye = torch.eye(128)
    assert inva_spread(eye, eye, 0.1).item() == pytest.approx(0.01148, abs=1e-5)
    assert inva_spread_released(eye, eye, 0.1).item() == pytest.approx(0.02287, abs=1e-5)


def test_a_common_rotation_changes_nothing_but_the_views_have_their_parts():
    z1, z2 = (torch.tensor(z) for z in views())
    turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    assert inva_spread(z1 @ turn, z2 @ turn, T).item() == pytest.approx(inva_spread(z1, z2, T).item(), rel=1e-10)
    assert inva_spread(z2, z1, T).item() != pytest.approx(inva_spread(z1, z2, T).item(), rel=1e-5)


def test_an_image_taken_for_another_is_finite_in_float32():
    """Two images that are the same: P(i|x_j) is nearly 1/2 each; a certain confusion must not become log 0."""
    z1 = torch.tensor([[1.0, 0.0], [1.0, 1e-4], [-1.0, 0.0]], requires_grad=True)
    z2 = torch.tensor([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    for loss in (inva_spread, inva_spread_released):
        value = loss(z1, z2, 0.01)
        assert value.isfinite()
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(value, [z1, z2]))
    confused = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    found = inva_spread_released(*(torch.tensor(z, dtype=torch.float32) for z in confused), 0.05)
    # each row sees the other image's view at cosine 1 and the other two at 0: -log P(pos) and -log(1 - P) of a P of nearly 1
    rest = math.log(math.exp(20) + 2)
    expected = rest + (rest - math.log(2)) - math.log(1 - 1 / (math.exp(20) + 2))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_one_image_has_nothing_to_spread_from():
    z1, z2 = (torch.tensor(z, requires_grad=True) for z in views(1))
    for loss in (inva_spread, inva_spread_released):
        value = loss(z1, z2, T)
        value.backward()
        assert value.item() == 0
        assert z1.grad.isfinite().all()


def numerical_gradient(function, z: np.ndarray) -> np.ndarray:
    slopes = np.zeros_like(z)
    for place in np.ndindex(*z.shape):
        up, down = z.copy(), z.copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        slopes[place] = (function(up) - function(down)) / 2e-6
    return slopes


def test_gradients_equal_finite_differences():
    z1, z2 = views(3)
    tensors = [torch.tensor(z, requires_grad=True) for z in (z1, z2)]
    inva_spread(*tensors, T).backward()
    assert tensors[0].grad.numpy() == pytest.approx(numerical_gradient(lambda z: oracle(z, z2), z1), abs=1e-6)
    assert tensors[1].grad.numpy() == pytest.approx(numerical_gradient(lambda z: oracle(z1, z), z2), abs=1e-6)


def test_the_released_form_moves_a_row_only_as_the_one_that_asks():
    z1, z2 = views(3)
    tensors = [torch.tensor(z, requires_grad=True) for z in (z1, z2)]
    inva_spread_released(*tensors, T).backward()
    expected = numerical_gradient(lambda z: oracle_released(z, z2, keys=(z1, z2)), z1)
    assert tensors[0].grad.numpy() == pytest.approx(expected, abs=1e-6)
