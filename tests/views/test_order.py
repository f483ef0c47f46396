"""Transforms together: their order, where they clamp, and the view rebuilt from its target."""

from __future__ import annotations

import itertools

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from ssl_pipelines.views import ViewGroup, ViewPlan, ViewRecipe, make_views, plain_view
from ssl_pipelines.views.draw import Draw
from ssl_pipelines.views.engine import render

LEVEL = 1 / 255


def pictures(batch: int, channels: int, size: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    return low + (high - low) * torch.rand(batch, channels, size, size, generator=random)


def drawn(size: int, **values: float | bool | list[float]) -> Draw:
    """One image's numbers; what is not named does nothing."""
    still: dict[str, float | bool | list[float]] = {"box": [0.0, 0.0, size, size], "flip": False, "gray": False, "solarize": False}
    still |= {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "sigma": 0.0, "order": [0, 1, 2, 3]}
    still |= {"angle": 0.0, "hole": [0.0, 0.0, 0.0, 0.0], "noise": []}
    return Draw(**{key: torch.tensor([value]) for key, value in (still | values).items()})


EVERYTHING = ViewRecipe(jitter=1, grayscale=1, blur=1, solarize=1)


def test_brightness_contrast_saturation_then_blur_then_solarize():
    x = pictures(1, 3, 40, 0.3, 0.6)  # narrow: torchvision clamps between the steps, we do not
    ours = render(x, drawn(40, brightness=1.2, contrast=0.7, saturation=1.1, sigma=1.3, solarize=True), EVERYTHING, 40)
    theirs = tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(x, 1.2), 0.7), 1.1)
    theirs = tv.solarize(tv.gaussian_blur(theirs, [5, 5], [1.3, 1.3]), 0.5)
    near = (tv.solarize(theirs, 0.5) - 0.5).abs() < LEVEL  # a hair's breadth decides which side of the threshold
    assert near.float().mean() < 0.1
    assert (ours - theirs).abs()[~near].max() < 0.5 * LEVEL


@pytest.mark.parametrize("order", itertools.permutations(range(4)))
def test_colors_follow_the_drawn_order_as_torchvisions_do(order):
    x = pictures(1, 3, 9, 0.3, 0.6)
    ours = render(x, drawn(9, brightness=1.3, contrast=0.6, saturation=1.4, order=list(order)), EVERYTHING, 9)
    steps = {0: (tv.adjust_brightness, 1.3), 1: (tv.adjust_contrast, 0.6), 2: (tv.adjust_saturation, 1.4)}
    theirs = x
    for kind in order:
        if kind in steps:  # hue is drawn as 0
            adjust, factor = steps[kind]
            theirs = adjust(theirs, factor)
    assert (ours - theirs).abs().max() < 0.3 * LEVEL


def test_gray_comes_last_of_the_colors():
    x = pictures(1, 3, 9, 0.3, 0.6)
    numbers = {"brightness": 1.1, "saturation": 0.6, "hue": 0.1}
    colored = render(x, drawn(9, **numbers), EVERYTHING, 9)
    gray = render(x, drawn(9, gray=True, **numbers), EVERYTHING, 9)
    assert (gray - tv.rgb_to_grayscale(colored, num_output_channels=3)).abs().max() < 0.3 * LEVEL
    assert (colored[:, 0] - colored[:, 1]).abs().max() > 20 * LEVEL


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_colors_leave_no_pixel_outside_of_0_to_1(channels):
    x = pictures(1, channels, 9)
    bright = render(x, drawn(9, brightness=2.0), EVERYTHING, 9)
    torch.testing.assert_close(bright, (2 * x).clamp(0, 1))
    assert (bright == 1).float().mean() > 0.3


@pytest.mark.parametrize("channels", [1, 5])
def test_other_numbers_of_channels_have_brightness_and_contrast_alone(channels):
    x = pictures(1, channels, 9, 0.3, 0.6)
    numbers = {"brightness": 1.2, "contrast": 0.8}
    ours = render(x, drawn(9, **numbers), EVERYTHING, 9)
    torch.testing.assert_close(ours, 0.8 * 1.2 * x + 0.2 * (1.2 * x).mean(), rtol=0, atol=1e-6)
    if channels == 1:
        torch.testing.assert_close(ours, tv.adjust_contrast(tv.adjust_brightness(x, 1.2), 0.8), rtol=0, atol=1e-6)
    more = render(x, drawn(9, saturation=0.2, hue=0.1, gray=True, **numbers), EVERYTHING, 9)
    assert torch.equal(ours, more)


@pytest.mark.parametrize("size", [16, 24, 33, 48])
@pytest.mark.parametrize("flip", [False, True])
def test_padded_crops_fade_into_the_zeros_at_any_size(size, flip):
    x = pictures(1, 3, 33)
    ours = render(x, drawn(33, box=[-3.0, 4.0, 33.0, 33.0], flip=flip), ViewRecipe(crop="padded"), size)
    theirs = tv.resize(tv.crop(tv.pad(x, [4]), 1, 8, 33, 33), [size, size], antialias=True)
    assert (ours - (tv.horizontal_flip(theirs) if flip else theirs)).abs().max() < 1e-3 * LEVEL


@pytest.mark.parametrize(("channels", "source", "size"), [(3, 31, 24), (1, 20, 33), (5, 17, 17)])
def test_a_view_is_rebuilt_from_its_box(channels, source, size):
    """The target says what was drawn: its box and mirror give the same pixels by torchvision."""
    images = (pictures(6, channels, source) * 255).byte().permute(0, 2, 3, 1)
    plan = ViewPlan(groups={"global": ViewGroup(count=2), "local": ViewGroup(recipe=ViewRecipe(scale=(0.1, 0.3)), size=9)})
    batch = make_views(images, torch.arange(6), plan.model_copy(update={"size": size}).resolved(source), 1, 4, slice(0, 6), 6)
    mirrored = 0
    for name, views in batch.views.items():
        boxes = batch.targets[f"{name}_box"]
        assert boxes.shape == (*views.shape[:2], 5)
        for v, b in torch.cartesian_prod(torch.arange(len(views)), torch.arange(6)).tolist():
            top, left, height, width, mirror = boxes[v, b].int().tolist()
            side = views.shape[-1]
            x = tv.resized_crop(plain_view(images[b : b + 1], source), top, left, height, width, [side, side], antialias=True)
            x = tv.horizontal_flip(x) if mirror else x
            assert (views[v, b] - x[0]).abs().max() < 2e-3 * LEVEL, (name, v, b)
            mirrored += mirror
    assert 0 < mirrored < 18


@pytest.mark.parametrize(("height", "width", "size"), [(20, 20, 31), (21, 33, 16), (40, 15, 24)])
def test_the_plain_view_of_any_shape(height, width, size):
    images = (pictures(2, 3, 64)[:, :, :height, :width] * 255).byte().permute(0, 2, 3, 1)
    theirs = tv.resize(images.permute(0, 3, 1, 2).float() / 255, [size, size], antialias=True)
    assert (plain_view(images, size) - theirs).abs().max() < 1e-3 * LEVEL
