"""The mean enlargement of a plan's crops, against the integral over their areas."""

from __future__ import annotations

import math

import pytest

from ssl_pipelines.views import ViewGroup, ViewPlan, ViewRecipe, two_views
from ssl_pipelines.views.enlargement import mean_enlargement


def expected(low: float, high: float, size: int, side: int) -> float:
    """E[size / (side sqrt a)] for areas a ~ U(low, high)."""
    return size / side * 2 * (math.sqrt(high) - math.sqrt(low)) / (high - low)


@pytest.mark.parametrize(("size", "side"), [(224, 224), (224, 448), (224, 375)])
def test_resized_crops(size: int, side: int) -> None:
    plan = two_views(ViewRecipe(scale=(0.08, 1.0), ratio=(1.0, 1.0))).resolved(size)
    assert mean_enlargement(plan, side) == pytest.approx(expected(0.08, 1, size, side), rel=0.01)
    assert mean_enlargement(plan, side) == mean_enlargement(plan, side)


@pytest.mark.parametrize("crop", ["none", "padded"])
def test_whole_images_are_not_enlarged_at_their_own_size(crop: str) -> None:
    plan = two_views(ViewRecipe(crop=crop)).resolved(32)  # type: ignore[arg-type]
    assert mean_enlargement(plan, 32) == 1
    assert mean_enlargement(plan, 64) == 0.5


def test_groups_count_by_their_views_and_repeats_do_not() -> None:
    large, small = ViewRecipe(crop="none"), ViewRecipe(scale=(0.25, 0.25), ratio=(1.0, 1.0))
    groups = {"global": ViewGroup(recipe=large, count=2), "local": ViewGroup(recipe=small, count=6, size=32)}
    plan = ViewPlan(groups=groups | {"again": ViewGroup(same_as="global", count=2, size=4)}).resolved(64)
    assert mean_enlargement(plan, 64) == pytest.approx((2 * 1 + 6 * 1) / 8)
    assert mean_enlargement(plan, 32) == pytest.approx((2 * 2 + 6 * 2) / 8)
