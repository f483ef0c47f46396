"""What is particular to context prediction."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.pretext.context_prediction import fitted
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.views import Batch
from ssl_pipelines.views.aberration import GREEN_MAGENTA

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("context_prediction", methods={"context_prediction": block}), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def coordinates(batch: int, side: int) -> torch.Tensor:
    """Images whose pixels say where they are: row x side + column."""
    return torch.arange(float(side * side)).view(1, 1, side, side).repeat(batch, 1, 1, 1)


def centers(patches: torch.Tensor, side: int) -> torch.Tensor:
    """(B, 9, C, P, P) cut out of `coordinates` -> (B, 9, 2), row and column of each middle."""
    first = patches[:, :, 0, 0, 0]
    return torch.stack([first // side, first % side], 2) + (patches.shape[-1] - 1) / 2


def direction(shift: torch.Tensor, stride: int) -> torch.Tensor:
    """(..., 2) px from the first to the second patch -> the raster order of the eight neighbors."""
    down, right = (shift / stride).round().unbind(-1)
    place = (down + 1) * 3 + right + 1
    return (place - (place > 4).double()).long()


def test_labels_can_be_read_off_the_places_of_the_patches(digits):
    """A picture of coordinates, a trunk and a head that compare them: every pair is right, so pairs, patches and labels fit."""
    method, batch = ready(digits, patch=4, gap=2, jitter=1, views={"size": 20})
    images = coordinates(16, 20)
    cut, _ = method.patches(images)
    middles = centers(cut, 20)
    shift = middles[:, method.pairs[:, 1]] - middles[:, method.pairs[:, 0]]
    assert torch.equal(direction(shift, method.stride), method.labels.expand(16, -1))
    method.patches = lambda x: (cut, cut)
    method.features = lambda patches: centers(patches, 20)

    class Compare(torch.nn.Module):
        def forward(self, both: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(direction(both[:, 2:] - both[:, :2], method.stride), 8).float()

    method.classifier = Compare()
    output = method.loss(Batch({"global": images[None]}, {}, batch.ids), CLOCK)
    assert output.metrics["accuracy"] == 1


def test_at_uniform_logits_it_costs_the_logarithm_of_eight(digits):
    method, batch = ready(digits)
    torch.nn.init.zeros_(method.classifier[-1].weight)
    torch.nn.init.zeros_(method.classifier[-1].bias)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(math.log(8), rel=1e-6)


def test_the_order_of_a_pair_matters(digits):
    method, batch = ready(digits)
    _, prepared = method.eval().patches(batch.views["global"][0])
    logits = method.directions(prepared)
    index = {tuple(pair): k for k, pair in enumerate(method.pairs.tolist())}
    assert (logits[:, index[0, 1]] - logits[:, index[1, 0]]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("side", "expected"), [(16, (4, 2, 0)), (28, (6, 4, 1)), (32, (8, 3, 1)), (48, (12, 5, 1)), (64, (16, 7, 1)), (96, (24, 10, 2))]
)
def test_the_grid_fits_every_view_and_neighbors_never_touch(side, expected):
    patch, gap, jitter = fitted(side, None, None, None)
    assert (patch, gap, jitter) == expected
    assert 3 * patch + 2 * gap + 2 * jitter <= side
    assert gap > 2 * jitter


def test_the_papers_own_sizes_leave_the_grid_free_to_move():
    assert fitted(480, 96, 48, 7) == (96, 48, 7)
    assert fitted(480, 96, 48, None) == (96, 48, 7)


def test_each_patch_shows_one_channel_of_its_own(photos):
    method, batch = ready(photos, pixelated=0.0)
    torch.manual_seed(0)
    cut, seen = method.patches(batch.views["global"][0])
    torch.testing.assert_close(seen.square().mean((2, 3, 4)), torch.ones(seen.shape[:2]), rtol=1e-3, atol=1e-3)
    loud = seen.square().mean((3, 4)) > 0.5  # (B, 9, 3); noise is half a level of 255
    assert (loud.sum(2) == 1).float().mean() > 0.75, "flat patches, where noise is as loud, apart"
    kept = loud.float().argmax(2)
    assert all(len(set(row)) > 1 for row in kept.tolist()), "drawn for each patch, not each image"
    share = torch.bincount(kept.flatten(), minlength=3) / kept.numel()
    assert share.min() > 0.2
    channel = cut.gather(2, kept.view(*kept.shape, 1, 1, 1).expand(-1, -1, 1, *cut.shape[3:])).squeeze(2)
    expected = channel - channel.mean((2, 3), keepdim=True)
    shown = seen.gather(2, kept.view(*kept.shape, 1, 1, 1).expand(-1, -1, 1, *cut.shape[3:])).squeeze(2)
    cosine = torch.nn.functional.cosine_similarity(shown.flatten(2), expected.flatten(2), dim=2)
    torch.testing.assert_close(cosine[loud.sum(2) == 1], torch.ones(int((loud.sum(2) == 1).sum())))


def test_a_third_of_the_patches_is_pixelated(photos):
    seen = {}
    for share in (0.0, 0.33):
        method, batch = ready(photos, color="none", pixelated=share)
        torch.manual_seed(0)
        seen[share] = method.patches(batch.views["global"][0])[1]
    changed = (seen[0.0] - seen[0.33]).abs().amax((2, 3, 4)) > 1e-4
    assert 0.2 < changed.float().mean() < 0.45


def test_the_encoder_sees_what_was_prepared(digits):
    """Its own normalization is undone beforehand."""
    method, batch = ready(digits)
    _, prepared = method.patches(batch.views["global"][0])
    seen = []
    original = method.encoder.map
    method.encoder.map = lambda images: (seen.append(method.encoder.normalize(images)), original(images))[1]
    method.features(prepared)
    torch.testing.assert_close(seen[0], prepared.flatten(0, 1), rtol=1e-4, atol=1e-5)


def test_pictures_put_patches_where_they_are_believed_to_lie(digits):
    method, batch = ready(digits)
    method.directions = lambda prepared: 9.0 * torch.nn.functional.one_hot(method.labels, 8).float().expand(len(prepared), -1, -1)
    shown = method.eval().pictures(batch)["directions"].unflatten(0, (8, 3))
    assert torch.equal(shown[:, 0], shown[:, 2]), "all right: the grid as it is"
    wrong = torch.nn.functional.one_hot(7 - method.labels, 8).float()
    method.directions = lambda prepared: 9.0 * wrong.expand(len(prepared), -1, -1)
    shown = method.pictures(batch)["directions"].unflatten(0, (8, 3))
    tiles = [shown[:, k].unfold(2, 4, 5).unfold(3, 4, 5).flatten(2, 3) for k in (0, 2)]
    assert torch.equal(tiles[0].flip(2), tiles[1]), "all opposite: turned by 180 degrees, patches upright"


def test_what_does_not_fit_is_refused_in_one_line(digits, photos):
    for wrong, message in (
        ({"gap": 3, "jitter": 2}, r"jitter=2 with gap=3: patches would overlap; allowed is up to 1"),
        ({"color": "lab"}, "color"),
        ({"pixelated": 1.5}, "pixelated"),
    ):
        with pytest.raises(InputError, match=message):
            method_config("context_prediction", wrong)
    with pytest.raises(InputError, match=r"color='project' needs color images, these have 1 channel"):
        ready(digits, color="project")
    with pytest.raises(InputError, match=r"patch=12, gap=-10, jitter=0 do not fit views of 16 px"):
        ready(digits, patch=12)
    with pytest.raises(InputError, match=r"patch=8, gap=8, jitter=1 do not fit views of 32 px"):
        ready(photos, gap=8)
    with pytest.raises(InputError, match=r"patch_size=16 does not divide the view size 8"):
        small_loop(
            small_config("context_prediction", backbone={"name": "vit_mini", "depth": 1, "width": 1.0, "patch_size": 16}), photos
        )


def test_a_vit_trains_too_and_colors_may_be_projected(photos):
    vit = {"name": "vit_mini", "depth": 1, "width": 1.0}
    loop = small_loop(
        small_config("context_prediction", backbone=vit, methods={"context_prediction": {"color": "project"}}), photos
    )
    loop.run_step(0)
    axis = torch.tensor([-1.0, 2.0, -1.0])
    _, seen = loop.method.patches(loop.feed.batches(1, 8)[0].views["global"][0])
    assert torch.einsum("c,btchw->bthw", axis, seen).abs().max() < 1e-3


def test_the_guard_against_fringes_holds_in_half_precision(photos):
    """What a patch has along the axis from green to magenta, which is to be 0: rounding to bfloat16 would leave a trace of the lens."""
    method, batch = ready(photos, color="project")
    with torch.autocast("cpu", torch.bfloat16):
        _, seen = method.patches(batch.views["global"][0])
    seen = seen.float()
    along = torch.einsum("c,btchw->bthw", torch.tensor(GREEN_MAGENTA), seen) / 6**0.5
    lively = seen.square().mean((2, 3, 4)) > 0.5
    assert lively.any()
    assert along[lively].square().mean() < 1e-8 * seen[lively].square().mean()
