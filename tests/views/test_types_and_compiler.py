"""The engine in half precision, and as one graph of torch.compile."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.views.draw import draw
from ssl_pipelines.views.engine import render
from ssl_pipelines.views.plan import ViewRecipe

COLORS = {"jitter": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.2}
ALL = ViewRecipe(**COLORS, blur=0.5, noise=0.3, noise_std=0.05, erase=0.3, rotation=10)
SIZES = pytest.mark.parametrize("size", [25, 39])  # shrunk by matrices; spread by sampling
CHANNELS = pytest.mark.parametrize("channels", [1, 3])


def drawn(recipe: ViewRecipe, size: int, channels: int):
    random = torch.Generator().manual_seed(0)
    source = torch.rand(24, channels, 39, 39, generator=random)
    return source, draw(recipe, 24, 39, 39, random, size=size, channels=channels)


@SIZES
@CHANNELS
def test_bfloat16_is_off_by_its_own_rounding(size, channels):
    source, numbers = drawn(ALL, size, channels)
    exact, half = render(source, numbers, ALL, size), render(source.bfloat16(), numbers, ALL, size)
    assert half.dtype is torch.bfloat16
    error = (half.float() - exact).abs()
    assert error.mean() < 0.5 / 255
    assert error.max() < 5 / 255  # a handful of roundings of 1 / 256


@SIZES
@CHANNELS
def test_one_graph_gives_the_same_views(size, channels):
    recipe = ALL.model_copy(update={"solarize": 0.3})
    source, numbers = drawn(recipe, size, channels)
    compiled = torch.compile(lambda source: render(source, numbers, recipe, size), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(source), render(source, numbers, recipe, size), rtol=0, atol=1e-6)
