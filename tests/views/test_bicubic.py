"""Bicubic crops equal torchvision's antialiased ones; small views stay bilinear to the bit; padding is px of the view."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.views import ViewPlan, ViewRecipe, make_views, one_view
from ssl_pipelines.views.geometry import resize_matrix
from ssl_pipelines.views.plan import bicubic

BICUBIC = (
    "simclr",
    "simclr_v2",
    "simclr_v2_distill",
    "byol",
    "barlow_twins",
    "vicreg",
    "dino",
    "ibot",
    "mae",
    "convmae",
    "local_mim",
    "beit",
)
BILINEAR = ("moco_v2", "moco_v3", "simsiam", "swav", "deepcluster_v2", "simmim", "pirl")


@pytest.mark.parametrize("box", [(0, 0, 33, 33), (3, 5, 20, 11), (10, 2, 8, 30)])
@pytest.mark.parametrize("size", [8, 16, 33, 70])
def test_crop_and_resize_equal_torchvisions(box: tuple[int, int, int, int], size: int) -> None:
    x = torch.rand(1, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    top, left, height, width = (torch.tensor([float(side)]) for side in box)
    down, across = resize_matrix(top, height, 33, size, cubic=True)[0], resize_matrix(left, width, 33, size, cubic=True)[0]
    theirs = tv.resized_crop(x, *box, size=[size, size], interpolation=InterpolationMode.BICUBIC, antialias=True)
    torch.testing.assert_close(down @ x @ across.T, theirs, rtol=0, atol=1e-4)


def views(plan: ViewPlan, side: int) -> torch.Tensor:
    images = torch.randint(0, 256, (6, side, side, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return make_views(images, torch.arange(6), plan, 0, 0, slice(0, 6), 6).views["global"]


@pytest.mark.parametrize(("size", "side"), [(32, 32), (64, 64), (32, 80)])
def test_small_views_are_bilinear_to_the_bit(size: int, side: int) -> None:
    plan = one_view(ViewRecipe()).resolved(size)
    assert torch.equal(views(bicubic(plan), side), views(plan, side))


def test_large_views_are_bicubic_and_within_the_range_of_colors() -> None:
    plan = one_view(ViewRecipe()).resolved(96)
    sharp, soft = views(bicubic(plan), 96), views(plan, 96)
    assert not torch.equal(sharp, soft)
    assert torch.equal(sharp, views(plan.model_copy(update={"interpolation": "bicubic"}), 96))
    assert sharp.min() >= 0
    assert sharp.max() <= 1
    assert (sharp - soft).abs().mean() < 0.1, "the same crops"


@pytest.mark.parametrize("name", [*BICUBIC, *BILINEAR])
def test_the_methods_whose_papers_resize_bicubically(name: str) -> None:
    plan = method_class(name).Config().views
    assert plan.interpolation == ("bicubic_large" if name in BICUBIC else "bilinear")


def test_padding_is_pixels_of_the_view() -> None:
    """A store twice as large as the view: a shift of p px of the view is one of 2 p px of the store."""
    plan = one_view(ViewRecipe(crop="padded", padding=3, flip=0.0)).resolved(16)
    images = torch.full((512, 32, 32, 1), 255, dtype=torch.uint8)
    batch = make_views(images, torch.arange(512), plan, 0, 0, slice(0, 512), 512)
    box = batch.targets["global_box"][0]
    assert set(box[:, 0].tolist()) == {float(k) for k in range(-6, 7)}
    white = (batch.views["global"][0, :, 0] > 0.5).sum((1, 2))  # of the blurred border the inner pixel
    assert int(white.min()) == (16 - 3) ** 2
