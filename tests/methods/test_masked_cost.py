"""What hiding patches saves: operations counted, no clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from small_runs import small_config, small_loop
from ssl_pipelines.methods.base import Clock

CLOCK = Clock(0, 8, 0)
IMAGES, DEPTH, DIM = 16, 2, 192


def blocks_cost(tokens: int) -> int:
    """Multiplications and additions of a transformer's products: 24 n d^2 + 4 n^2 d a block and image."""
    return IMAGES * DEPTH * (24 * tokens * DIM**2 + 4 * tokens**2 * DIM)


def counted(function: Callable, *arguments) -> tuple[int, object]:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # fused attention would go uncounted on CPU
        result = function(*arguments)
    return counter.get_total_flops(), result


def cost_within(name: str, store, part: str, **own) -> int:
    """Of the encoder's function `part`, as the method's loss calls it."""
    loop = small_loop(small_config(name, methods={name: own}), store)
    [batch], costs, inner = loop.feed.batches(0, 8), [], getattr(loop.method.encoder, part)

    def watched(*arguments):
        cost, result = counted(inner, *arguments)
        costs.append(cost)
        return result

    setattr(loop.method.encoder, part, watched)
    loop.method.loss(batch, CLOCK)
    [cost] = costs
    return cost


@pytest.mark.parametrize("name", ["mae", "deep_mim", "local_mim"])
@pytest.mark.parametrize(("fraction", "visible"), [(0.75, 4), (0.5, 8), (0.25, 12)])
def test_the_encoder_costs_what_the_visible_patches_and_the_class_token_cost(digits, name, fraction, visible):
    assert cost_within(name, digits, "encode_tokens", mask_fraction=fraction) == blocks_cost(1 + visible)


@pytest.mark.parametrize(("fraction", "visible"), [(0.75, 4), (0.5, 8)])
def test_convmaes_transformer_costs_what_the_visible_patches_cost(digits, fraction, visible):
    assert cost_within("convmae", digits, "transform", mask_fraction=fraction) == blocks_cost(visible)


def test_simmims_encoder_costs_the_same_whatever_is_hidden(digits):
    few, many = (cost_within("simmim", digits, "encode_tokens", mask_fraction=fraction) for fraction in (0.25, 0.75))
    assert few == many == blocks_cost(1 + 16)


def test_a_quarter_of_the_patches_costs_less_than_a_third(photos):
    seen, all_but_one = (cost_within("mae", photos, "encode_tokens", mask_fraction=fraction) for fraction in (0.75, 1 / 64))
    assert seen / all_but_one < 1 / 3  # 32 px: 16 of 64 patches
