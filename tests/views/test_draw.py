"""The numbers of a view: their distributions, and that they depend on the seed and the step alone."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest
from torchvision.transforms import RandomErasing, RandomResizedCrop

from ssl_pipelines.views import ViewRecipe, make_views, two_views
from ssl_pipelines.views.draw import Draw, draw
from ssl_pipelines.views.plan import SIMCLR_SMALL
from ssl_pipelines.views.randomness import generator

RARE = 1e-3  # a p-value below it does not happen; the seeds are fixed


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [(32, 32, (0.08, 1.0), (3 / 4, 4 / 3)), (23, 40, (0.3, 1.0), (3 / 4, 4 / 3)), (40, 23, (0.5, 1.0), (0.4, 1.0))],
)
def test_boxes_are_torchvisions_in_every_respect(height, width, scale, ratio):
    """Also oblong sources, where attempts fail and the center crop steps in."""
    ours = draw(ViewRecipe(scale=scale, ratio=ratio), 3000, height, width, generator(0, "boxes")).box.numpy()
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(3000)])
    for what, of in {
        "top": lambda b: b[:, 0],
        "left": lambda b: b[:, 1],
        "area": lambda b: b[:, 2] * b[:, 3],
        "ratio": lambda b: b[:, 3] / b[:, 2],
        "bottom": lambda b: b[:, 0] + b[:, 2],
        "right": lambda b: b[:, 1] + b[:, 3],
    }.items():
        assert ks_2samp(of(ours), of(theirs)).pvalue > RARE, what
    assert ours[:, :2].min() >= 0
    assert (ours[:, 0] + ours[:, 2]).max() <= height
    assert (ours[:, 1] + ours[:, 3]).max() <= width


@pytest.mark.parametrize(("height", "width", "ratio"), [(32, 32, (2.0, 3.0)), (32, 20, (0.1, 0.2)), (31, 17, (1.5, 2.0))])
def test_where_no_attempt_fits_the_center_crop_is_torchvisions(height, width, ratio):
    ours = draw(ViewRecipe(scale=(1.0, 1.0), ratio=ratio), 5, height, width, generator(0, "boxes")).box
    theirs = RandomResizedCrop.get_params(torch.empty(3, height, width), [1.0, 1.0], list(ratio))
    assert ours.tolist() == [list(theirs)] * 5


def test_padded_offsets_are_uniform_on_whole_pixels():
    box = draw(ViewRecipe(crop="padded", padding=3), 7000, 16, 20, generator(1, "boxes")).box
    for axis in (0, 1):
        values, counts = box[:, axis].unique(return_counts=True)
        assert values.tolist() == list(range(-3, 4))
        assert ((counts - 1000).abs() < 150).all()  # five standard deviations
    assert box[:, 2:].unique(dim=0).tolist() == [[16, 20]]


@pytest.mark.parametrize(("scale", "ratio"), [((0.02, 0.33), (0.3, 3.3)), ((0.6, 0.9), (0.2, 4.0))])
def test_holes_are_torchvisions(scale, ratio):
    """Also large ones, which fit in few attempts or none."""
    recipe = ViewRecipe(erase=1, erase_scale=scale, erase_ratio=ratio)
    ours = draw(recipe, 3000, 20, 20, generator(7, "holes"), size=24).hole.numpy()
    torch.manual_seed(0)
    image = torch.empty(3, 24, 24)
    theirs = np.array([RandomErasing.get_params(image, scale, ratio, [0.0])[:4] for _ in range(3000)])
    theirs[theirs[:, 2] == 24] = 0  # the whole image stands for nothing in torchvision
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > RARE
    assert (ours[:, :2] + ours[:, 2:]).max() <= 24


def test_rotation_and_noise_have_the_spread_that_is_asked_for():
    found = draw(ViewRecipe(rotation=30, noise=0.25, noise_std=0.2), 3000, 8, 8, generator(8, "test"), size=8, channels=2)
    assert kstest(found.angle.numpy(), "uniform", (-30, 60)).pvalue > RARE
    noisy = found.noise.flatten(1).any(1)
    assert noisy.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert kstest(found.noise[noisy].flatten()[:20_000].numpy(), "norm", (0, 0.2)).pvalue > RARE


def test_hue_and_sigma_are_uniform_over_their_ranges():
    recipe = ViewRecipe(jitter=1, hue=0.1, blur=0.5, blur_sigma=(0.1, 2.0))
    found = draw(recipe, 6000, 32, 32, generator(2, "test"))
    blurred = found.sigma > 0
    assert blurred.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert kstest(found.hue.numpy(), "uniform", (-0.1, 0.2)).pvalue > RARE
    assert kstest(found.sigma[blurred].numpy(), "uniform", (0.1, 1.9)).pvalue > RARE


def test_an_image_draws_its_numbers_independently():
    recipe = SIMCLR_SMALL.model_copy(update={"blur": 0.5, "solarize": 0.5, "rotation": 30.0})
    found = draw(recipe, 6000, 32, 32, generator(4, "test"))
    columns = [
        getattr(found, field.name).float().view(6000, -1)
        for field in fields(Draw)
        if field.name not in ("box", "order", "hole", "noise")
    ]
    jittered = found.brightness != 1
    correlation = np.corrcoef(torch.cat(columns, 1)[jittered].numpy().T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.07  # nearly five standard errors


def test_all_orders_of_the_colors_are_equally_likely():
    order = draw(SIMCLR_SMALL, 24_000, 32, 32, generator(6, "test")).order
    found, counts = order.unique(dim=0, return_counts=True)
    assert found.sort(1).values.tolist() == [[0, 1, 2, 3]] * 24
    assert ((counts - 1000).abs() < 150).all()  # nearly five standard deviations


def test_one_probability_changes_no_other_number():
    plain = draw(SIMCLR_SMALL, 500, 32, 32, generator(5, "test"), size=32)
    changes = {
        "jitter": 0.1,
        "grayscale": 0.9,
        "blur": 1.0,
        "solarize": 1.0,
        "flip": 0.1,
        "rotation": 9.0,
        "noise": 0.5,
        "erase": 1.0,
    }
    touched = {"rotation": {"angle"}, "erase": {"hole"}, "grayscale": {"gray"}, "blur": {"sigma"}}
    touched["jitter"] = {"brightness", "contrast", "saturation", "hue"}
    for key, value in changes.items():
        changed = draw(SIMCLR_SMALL.model_copy(update={key: value}), 500, 32, 32, generator(5, "test"), size=32)
        different = {f.name for f in fields(Draw) if not torch.equal(getattr(plain, f.name), getattr(changed, f.name))}
        assert different == touched.get(key, {key})


def test_views_listen_to_seed_and_step_and_to_nothing_else():
    images, ids = (
        torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
        torch.arange(4),
    )
    plan = two_views(SIMCLR_SMALL).resolved(12)

    def views(seed: int, step: int, at: int) -> torch.Tensor:
        torch.manual_seed(at)
        state = torch.get_rng_state()
        made = make_views(images, ids, plan, seed, step, slice(0, 4), 4).views["global"]
        assert torch.equal(torch.get_rng_state(), state), "the global generator is the loop's"
        return made

    first = views(3, 9, at=0)
    assert torch.equal(first, views(3, 9, at=1))
    assert not torch.equal(first, views(4, 9, at=0))
    assert not torch.equal(first, views(3, 10, at=0))


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_together_make_the_whole_batch(ranks):
    images = torch.randint(0, 256, (8, 13, 13, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ids, plan, share = torch.arange(8) * 7, two_views(SIMCLR_SMALL).resolved(13), 8 // ranks
    whole = make_views(images, ids, plan, 0, 2, slice(0, 8), 8)
    rows = [slice(start, start + share) for start in range(0, 8, share)]
    parts = [make_views(images[r], ids[r], plan, 0, 2, r, 8) for r in rows]
    torch.testing.assert_close(torch.cat([p.views["global"] for p in parts], 1), whole.views["global"], rtol=0, atol=1e-6)
    assert torch.equal(torch.cat([p.targets["global_box"] for p in parts], 1), whole.targets["global_box"])
    assert torch.equal(torch.cat([p.ids for p in parts]), whole.ids)
