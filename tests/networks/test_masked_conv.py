"""The masked convolution block against loops, and what reaches what."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.networks.masked_conv import MaskedConvBlock

H, W, D = 5, 4, 3


def block(kernel: int = 3) -> MaskedConvBlock:
    torch.manual_seed(0)
    return MaskedConvBlock(D, kernel).double()


def hidden_places() -> torch.Tensor:
    return torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1]], dtype=torch.float64)


def by_loops(net: MaskedConvBlock, x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Gao et al. 2022: the depthwise convolution of what is kept, place by place."""
    weights = {key: value.detach().numpy() for key, value in net.named_parameters()}

    def norm(v: np.ndarray, name: str) -> np.ndarray:
        return (v - v.mean()) / math.sqrt(v.var() + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(v: np.ndarray, name: str) -> np.ndarray:
        return weights[f"{name}.weight"] @ v + weights[f"{name}.bias"]

    out, reach = np.zeros_like(x), weights["conv.weight"].shape[2] // 2
    for y in range(H):
        for c in range(W):
            total = weights["conv.bias"].copy()
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if 0 <= y + dy < H and 0 <= c + dx < W and keep[y + dy, c + dx]:
                        inner = linear(norm(x[y + dy, c + dx], "norm1"), "into")
                        total += weights["conv.weight"][:, 0, dy + reach, dx + reach] * inner
            middle = x[y, c] + linear(total, "out")
            inner = linear(norm(middle, "norm2"), "mlp.0")
            inner = np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in inner])
            out[y, c] = middle + linear(inner, "mlp.2")
    return out


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_block_is_that_of_the_loops(kernel):
    net, x, keep = block(kernel), torch.randn(2, H, W, D, dtype=torch.float64), 1 - hidden_places()
    found = net(x, keep.view(1, H, W, 1)).detach().numpy()
    for b in range(2):
        np.testing.assert_allclose(found[b], by_loops(net, x[b].numpy(), keep.numpy()), rtol=1e-9)


def test_no_visible_place_feels_a_hidden_one_and_hidden_ones_feel_themselves_alone():
    """The whole Jacobian, exactly: zeros, not small numbers."""
    net, mask = block(), hidden_places().view(-1)
    keep = (1 - hidden_places()).view(1, H, W, 1)
    jacobian = torch.autograd.functional.jacobian(lambda x: net(net(x, keep), keep), torch.randn(1, H, W, D, dtype=torch.float64))
    reached = jacobian.view(H * W, D, H * W, D).abs().amax((1, 3)) > 0  # (place out, place in)
    for out in range(H * W):
        for place in range(H * W):
            if mask[place] and place != out:
                assert not reached[out, place], (out, place)
        assert reached[out, out]
    assert reached[mask == 1][:, mask == 0].any(), "what is visible reaches hidden places"


def test_where_nothing_is_hidden_it_is_the_plain_block():
    net, x = block(), torch.randn(2, H, W, D, dtype=torch.float64)
    assert torch.equal(net(x, torch.ones(2, H, W, 1, dtype=torch.float64)), net(x))
