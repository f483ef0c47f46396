"""The views engine against torchvision, operation by operation, and its draws against torchvision's distributions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms.v2 import functional as tv

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.views import ViewGroup, ViewPlan, ViewRecipe, make_views, plain_view, two_views
from ssl_pipelines.views.draw import Draw, draw
from ssl_pipelines.views.engine import render
from ssl_pipelines.views.geometry import blur_matrix
from ssl_pipelines.views.plan import SIMCLR_SMALL
from ssl_pipelines.views.randomness import derive, generator

LEVEL = 1 / 255


def pictures(batch: int = 4, channels: int = 3, size: int = 33) -> torch.Tensor:
    return torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25


def still(batch: int, size: int) -> Draw:
    """The numbers of a view in which nothing happens."""
    one, zero, no = torch.ones(batch), torch.zeros(batch), torch.zeros(batch, dtype=torch.bool)
    box = torch.tensor([0.0, 0.0, size, size]).repeat(batch, 1)
    return Draw(
        box,
        no,
        one,
        one,
        one,
        zero,
        torch.arange(4).repeat(batch, 1),
        no,
        zero,
        no,
        zero,
        torch.zeros(batch, 4),
        torch.empty(batch, 0),
    )


BARE = ViewRecipe(crop="none", flip=0)
COLOR = ViewRecipe(crop="none", flip=0, jitter=1, grayscale=0.5)


def test_nothing_drawn_changes_nothing():
    x = pictures()
    torch.testing.assert_close(render(x, still(4, 33), COLOR, 33), x)


@pytest.mark.parametrize(("box", "size"), [((3, 5, 20, 17), 32), ((0, 0, 33, 33), 16), ((10, 2, 7, 30), 24), ((1, 1, 31, 32), 9)])
def test_crop_and_resize_equal_torchvisions_antialiased(box, size):
    x = pictures()
    drawn = replace(still(4, 33), box=torch.tensor([box], dtype=torch.float32).repeat(4, 1))
    theirs = tv.resized_crop(x, *box, size=[size, size], antialias=True)
    assert (render(x, drawn, BARE, size) - theirs).abs().max() < 1e-3 * LEVEL


def test_flip_is_per_image_and_exact():
    x = pictures()
    flip = torch.tensor([True, False, True, False])
    ours = render(x, replace(still(4, 33), flip=flip), BARE.model_copy(update={"flip": 0.5}), 33)
    torch.testing.assert_close(ours[flip], tv.horizontal_flip(x[flip]), rtol=0, atol=0)
    torch.testing.assert_close(ours[~flip], x[~flip], rtol=0, atol=0)


def test_padded_crops_show_zeros_outside():
    x = pictures(1)
    drawn = replace(still(1, 33), box=torch.tensor([[-4.0, 3.0, 33.0, 33.0]]))
    theirs = tv.crop(tv.pad(x, [4]), 0, 7, 33, 33)
    assert (render(x, drawn, ViewRecipe(crop="padded"), 33) - theirs).abs().max() < 1e-3 * LEVEL


@pytest.mark.parametrize(
    ("key", "theirs"),
    [("brightness", tv.adjust_brightness), ("contrast", tv.adjust_contrast), ("saturation", tv.adjust_saturation)],
)
def test_colors_equal_torchvisions_where_nothing_is_clamped(key, theirs):
    x, factors = pictures(), torch.tensor([0.7, 0.9, 1.1, 1.2])
    ours = render(x, replace(still(4, 33), **{key: factors}), COLOR, 33)
    for row, factor in enumerate(factors.tolist()):
        assert (ours[row] - theirs(x[row], factor)).abs().max() < 0.3 * LEVEL  # its luma weights have four digits


def test_grayscale():
    x = pictures()
    ours = render(x, replace(still(4, 33), gray=torch.ones(4, dtype=torch.bool)), COLOR, 33)
    assert (ours - tv.rgb_to_grayscale(x, num_output_channels=3)).abs().max() < 0.3 * LEVEL


def test_hue_turns_the_plane_of_i_and_q():
    x, hue = pictures(3), torch.tensor([0.07, -0.1, 0.02])
    ours = render(x, replace(still(3, 33), hue=hue), COLOR, 33).numpy()
    yiq = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    for row, turn in enumerate(hue.tolist()):
        c, s = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
        for i, j in np.ndindex(33, 33):
            y, in_phase, quadrature = yiq @ x[row, :, i, j].numpy().astype(np.float64)
            expected = np.linalg.solve(yiq, [y, c * in_phase + s * quadrature, c * quadrature - s * in_phase])
            assert np.abs(ours[row, :, i, j] - np.clip(expected, 0, 1)).max() < 1e-5


def test_hue_turns_the_way_torchvision_turns():
    x = torch.tensor([0.6, 0.4, 0.4]).view(1, 3, 1, 1).expand(1, 3, 8, 8)  # red: on to yellow, or back to magenta
    for hue in (0.08, -0.08):
        ours = render(x, replace(still(1, 8), hue=torch.tensor([hue])), COLOR, 8)
        theirs = tv.adjust_hue(x, hue)
        assert (ours[0, 1] - ours[0, 2]).sign().eq((theirs[0, 1] - theirs[0, 2]).sign()).all()


@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_blur_equals_torchvisions_with_the_same_kernel(sigma):
    x, size = pictures(size=40), 40
    recipe = ViewRecipe(crop="none", flip=0, blur=1)
    ours = render(x, replace(still(4, size), sigma=torch.full((4,), sigma)), recipe, size)
    reach = max(1, round(0.05 * size))
    theirs = tv.gaussian_blur(x, [2 * reach + 1] * 2, [sigma] * 2)
    assert (ours - theirs).abs().max() < 0.01 * LEVEL
    assert torch.equal(blur_matrix(torch.zeros(2), 9), torch.eye(9).expand(2, 9, 9))


def test_solarize():
    x = pictures()
    recipe = ViewRecipe(crop="none", flip=0, solarize=1)
    ours = render(x, replace(still(4, 33), solarize=torch.ones(4, dtype=torch.bool)), recipe, 33)
    torch.testing.assert_close(ours, tv.solarize(x, 0.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("degrees", [10.0, -25.0, 90.0])
def test_rotation_equals_torchvisions(degrees):
    x = pictures()
    recipe = ViewRecipe(crop="none", flip=0, rotation=180)
    ours = render(x, replace(still(4, 33), angle=torch.full((4,), degrees)), recipe, 33)
    theirs = tv.rotate(x, degrees, interpolation=tv.InterpolationMode.BILINEAR)
    # torchvision shades zeros in along the outline by a mask of its own; inside both are the same.
    covered = tv.rotate(torch.ones_like(x), degrees, interpolation=tv.InterpolationMode.BILINEAR) > 0.999
    assert covered.float().mean() > 0.7
    assert (ours - theirs).abs()[covered].max() < 0.01 * LEVEL


def test_noise_is_added_and_holes_are_filled():
    x = pictures()
    noise = torch.zeros(4, 3, 33, 33)
    noise[1, 2, 3, 4], noise[2] = 0.1, 5.0
    ours = render(x, replace(still(4, 33), noise=noise), ViewRecipe(crop="none", flip=0, noise=1), 33)
    torch.testing.assert_close(ours, (x + noise).clamp(0, 1))
    hole = torch.tensor([[0, 0, 0, 0], [2, 3, 4, 5], [30, 30, 3, 3], [0, 0, 33, 32]]).float()
    filled = render(x, replace(still(4, 33), hole=hole), ViewRecipe(crop="none", flip=0, erase=1, erase_value=0.25), 33)
    for row, box in enumerate(hole.int().tolist()):
        assert torch.equal(filled[row], tv.erase(x[row], *box, v=torch.tensor(0.25)))


def test_the_same_crops_at_another_size():
    plan = ViewPlan(
        groups={"global": ViewGroup(recipe=SIMCLR_SMALL, count=2), "tokenizer": ViewGroup(same_as="global", count=2, size=16)}
    )
    batch = make_views(uint8(4, 32, 3), torch.arange(4), plan.resolved(32), 0, 3, slice(0, 4), 4)
    assert torch.equal(batch.targets["global_box"], batch.targets["tokenizer_box"])
    large, small = batch.views["global"], batch.views["tokenizer"]
    assert small.shape == (2, 4, 3, 16, 16)
    halved = large.unflatten(3, (16, 2)).unflatten(5, (16, 2)).mean((4, 6))
    assert (small - halved).abs().mean() < 0.03
    assert (small - halved.flip(1)).abs().mean() > 0.1


def test_groups_that_repeat_nothing_are_refused():
    views = ViewGroup(recipe=SIMCLR_SMALL)
    for group in (
        {"same_as": "nothing"},
        {"same_as": "again"},
        {"same_as": "global", "count": 3},
        {"same_as": "global", "recipe": {"flip": 0}},
    ):
        with pytest.raises(InputError, match=r"groups\.again"):
            ViewPlan.of({"groups": {"global": views.model_dump(mode="json"), "again": group}}, "views")


def test_factors_are_uniform_and_probabilities_are_kept():
    drawn = draw(SIMCLR_SMALL, 8000, 32, 32, generator(3, "test"))
    jittered = drawn.brightness != 1
    assert jittered.float().mean().item() == pytest.approx(0.8, abs=0.02)
    uniform = np.random.default_rng(0).uniform(0.6, 1.4, 8000)
    for key in ("brightness", "contrast", "saturation"):
        assert ks_2samp(getattr(drawn, key)[jittered].numpy(), uniform).pvalue > 1e-3
    assert drawn.gray.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert drawn.flip.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert drawn.hue.abs().max() <= 0.1


def uint8(batch: int, size: int, channels: int) -> torch.Tensor:
    return (torch.rand(batch, size, size, channels, generator=torch.Generator().manual_seed(0)) * 255).byte()


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [17, 32])
def test_views_are_a_function_of_seed_and_step_and_rows_are_rows_of_the_whole_batch(channels, size):
    images, ids = uint8(8, size, channels), torch.arange(8)
    recipe = SIMCLR_SMALL.model_copy(update={"blur": 0.5, "solarize": 0.2})
    plan = two_views(recipe).resolved(size)
    whole = make_views(images, ids, plan, 5, 7, slice(0, 8), 8)
    again = make_views(images, ids, plan, 5, 7, slice(0, 8), 8)
    part = make_views(images[2:6], ids[2:6], plan, 5, 7, slice(2, 6), 8)
    later = make_views(images, ids, plan, 5, 8, slice(0, 8), 8)
    views = whole.views["global"]
    assert views.shape == (2, 8, channels, size, size)
    assert torch.equal(views, again.views["global"])
    torch.testing.assert_close(views[:, 2:6], part.views["global"], rtol=0, atol=1e-6)
    assert not torch.equal(views, later.views["global"])
    assert not torch.equal(views[0], views[1])
    assert views.min() >= 0
    assert views.max() <= 1 + 1e-6  # the weights of a blur add up to 1 but for rounding
    assert whole.targets["global_box"].shape == (2, 8, 5)


def test_groups_have_their_own_sizes():
    plan = ViewPlan(groups={"global": ViewGroup(count=2), "local": ViewGroup(count=3, size=8)}).resolved(16)
    batch = make_views(uint8(4, 16, 3), torch.arange(4), plan, 0, 0, slice(0, 4), 4)
    assert batch.views["global"].shape == (2, 4, 3, 16, 16)
    assert batch.views["local"].shape == (3, 4, 3, 8, 8)


def test_the_plain_view():
    images = uint8(3, 20, 3)
    assert torch.equal(plain_view(images, 20), images.permute(0, 3, 1, 2).float() / 255)
    theirs = tv.resize(images.permute(0, 3, 1, 2).float() / 255, [12, 12], antialias=True)
    assert (plain_view(images, 12) - theirs).abs().max() < 1e-3 * LEVEL


def test_seeds_differ_by_purpose_and_number():
    assert len({derive(0, "a"), derive(0, "b"), derive(1, "a"), derive(0, "a", 1), derive(0, "a", 2)}) == 5


def test_impossible_recipes_are_refused():
    for values in ({"scale": [0.5, 0.1]}, {"scale": [0.1, 2]}, {"flip": 1.5}, {"crop": "random"}):
        with pytest.raises(InputError, match=next(iter(values))):
            ViewRecipe.of(values, "recipe")


def test_a_shared_flip_mirrors_all_views_of_an_image_or_none():
    group = ViewGroup(recipe=ViewRecipe(crop="none", flip=0.5), count=3, shared_flip=True)
    again = ViewGroup(same_as="global", count=3, size=8)
    plan = ViewPlan(groups={"global": group, "small": again}).resolved(16)
    images = uint8(64, 16, 3)
    batch = make_views(images, torch.arange(64), plan, 0, 0, slice(0, 64), 64)
    flips = batch.targets["global_box"][..., 4]
    assert torch.equal(flips, flips[:1].expand(3, -1))
    assert 10 < flips[0].sum() < 54
    assert torch.equal(batch.targets["small_box"], batch.targets["global_box"])
    source = images.permute(0, 3, 1, 2).float() / 255
    for view in batch.views["global"]:
        torch.testing.assert_close(view, torch.where(flips[0].bool().view(-1, 1, 1, 1), source.flip(3), source))
