"""Block-wise masks against the rule played one image at a time, as the paper's algorithm 1 has it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from ssl_pipelines.views.block_masks import block_masks


def by_the_rule(target: float, side: int, least: int, dice: random.Random) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """One mask, and the (height, width) of its rectangles."""
    mask, rectangles = np.zeros((side, side), dtype=bool), []
    while mask.sum() < target:
        missing, before = target - mask.sum(), mask.sum()
        for _ in range(10):
            area, ratio = dice.uniform(least, missing), math.exp(dice.uniform(math.log(0.3), math.log(1 / 0.3)))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h >= side or w >= side:
                continue
            top, left = dice.randint(0, side - h), dice.randint(0, side - w)
            added = h * w - mask[top : top + h, left : left + w].sum()
            if 0 < added <= missing:
                mask[top : top + h, left : left + w] = True
                rectangles.append((h, w))
                break
        if mask.sum() == before:
            break
    return mask, rectangles


def drawn(count: int, target: float, side: int, least: int, seed: int = 0) -> torch.Tensor:
    return block_masks(torch.full((count,), float(target)), side, side, least, random=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("side", "target", "least", "exact"), [(14, 75, 16, 0.68), (8, 25, 4, 0.96), (8, 25, 16, 0.66)])
def test_counts_are_those_of_the_rule(side, target, least, exact):
    """`exact`: how often the authors' code hides the whole target."""
    dice, count = random.Random(0), 1500
    oracle = np.array([by_the_rule(target, side, least, dice)[0].sum() for _ in range(count)])
    ours = drawn(count, target, side, least).sum((1, 2)).numpy()
    assert ours.max() <= target
    assert ours.min() > 0
    error = 4 * math.sqrt(0.25 / count)
    assert (ours == target).mean() == pytest.approx((oracle == target).mean(), abs=math.sqrt(2) * error)
    assert (ours == target).mean() == pytest.approx(exact, abs=error)
    spread = math.hypot(ours.std(), oracle.std()) / math.sqrt(count)
    assert ours.mean() == pytest.approx(oracle.mean(), abs=4 * spread)


def test_rectangles_have_the_shapes_and_places_of_the_rule():
    """A target that one rectangle meets: what is hidden is that rectangle."""
    side, target, count, dice = 20, 24, 3000, random.Random(0)
    masks = drawn(count, target, side, target)
    heights, widths = masks.any(2).sum(1), masks.any(1).sum(1)
    alone = masks.sum((1, 2)) == heights * widths  # one rectangle, or several that form one
    found = [by_the_rule(target, side, target, dice) for _ in range(count)]
    oracle = [mask for mask, rectangles in found if mask.sum() == mask.any(1).sum() * mask.any(0).sum()]
    for ours, theirs in (
        (heights[alone], [mask.any(1).sum() for mask in oracle]),
        (widths[alone], [mask.any(0).sum() for mask in oracle]),
        (masks[alone].any(2).int().argmax(1), [mask.any(1).argmax() for mask in oracle]),
    ):
        first, second = ours.double().numpy(), np.array(theirs, dtype=float)
        spread = math.hypot(first.std() / math.sqrt(len(first)), second.std() / math.sqrt(len(second)))
        assert first.mean() == pytest.approx(second.mean(), abs=4 * spread)
        assert first.std() == pytest.approx(second.std(), rel=0.1)
    ratio = heights[alone] / widths[alone]
    low, high = min(h / w for _, all_of_them in found for h, w in all_of_them), max(h / w for _, a in found for h, w in a)
    assert ratio.min() >= min(low, 0.3 * 0.7)
    assert ratio.max() <= max(high, 1 / (0.3 * 0.7))
    assert 0.35 < (ratio > 1).double().mean() < 0.65


def test_an_image_is_never_whole_and_hides_something_where_it_shall():
    masks = block_masks(torch.tensor([0.0, 0.9, 1.0, 6.0, 6.4] * 200), 4, 4, 1, random=torch.Generator().manual_seed(1))
    count = masks.sum((1, 2)).view(200, 5)
    assert (count[:, :2] == 0).all()
    assert (count[:, 2] == 1).all()
    assert (count[:, 3:] > 0).all()
    assert (count[:, 3:] <= 6).all()


def test_rows_of_the_grid_come_first():
    """A grid that is wider than high holds what a square of its height does not."""
    masks = block_masks(torch.full((500,), 8), 3, 12, 8, random=torch.Generator().manual_seed(0))
    assert masks.shape == (500, 3, 12)
    assert masks.any(1).sum(1).max() > 3
    assert masks.any(1)[:, 11].any()


def test_what_was_drawn_repeats():
    assert torch.equal(drawn(50, 25, 8, 4, seed=3), drawn(50, 25, 8, 4, seed=3))
    assert not torch.equal(drawn(50, 25, 8, 4, seed=3), drawn(50, 25, 8, 4, seed=4))
