"""Other backgrounds: composites, tiles of background alone, and a plan that asks for none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.views import ViewGroup, ViewPlan, ViewRecipe, make_views
from ssl_pipelines.views.background import Layers, composed, composite, plausible, tiled_background
from ssl_pipelines.views.plan import Backgrounds

STILL = ViewRecipe(crop="none", flip=0.0)
B, S = 12, 10


def layers(views: int) -> tuple[torch.Tensor, Layers]:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (1 + views, B, S, S, 3), generator=random, dtype=torch.uint8)
    masks = torch.zeros(1 + views, B, S, S, dtype=torch.uint8)
    masks[:, :, 3:6, 2:8] = 255
    masks[0, 3] = 255  # implausible: foreground everywhere
    return images[0], Layers(masks[0], images[1:], masks[1:])


def scene(backgrounds: Backgrounds, *, swap: bool = False):
    groups = {"global": ViewGroup(recipe=STILL, count=2)} | ({"swapped": ViewGroup(recipe=STILL, swap_of="global")} if swap else {})
    plan = ViewPlan(groups=groups, backgrounds=backgrounds).resolved(S)
    images, behind = layers(2 + swap)
    return images, behind, make_views(images, torch.arange(B), plan, 1, 4, slice(0, B), B, behind)


def pixels(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


def test_a_mask_of_ones_is_the_image_and_one_of_zeros_the_background():
    image, background = torch.rand(2, 4, 3, 5, 5)
    assert torch.equal(composite(image, torch.ones(4, 5, 5, dtype=torch.bool), background), image)
    assert torch.equal(composite(image, torch.zeros(4, 5, 5, dtype=torch.bool), background), background)


def test_removed_is_one_gray_behind_an_untouched_foreground():
    images, behind, batch = scene(Backgrounds(removed=1.0))
    source, front = pixels(images), (behind.masks > 127).unsqueeze(1)
    first, second = batch.views["global"]
    for view in (first, second):
        assert torch.equal(torch.where(front, view, 0.0), torch.where(front, source, 0.0))
    levels = []
    for b in range(B):
        if b == 3:
            assert torch.equal(first[b], source[b]), "where no foreground was found the image stays as it is"
            continue
        gray = first[b][:, behind.masks[b] == 0].unique()
        assert len(gray) == 1
        levels.append(gray.item())
    assert len(set(levels)) == B - 1
    assert not torch.equal(first[0], second[0]), "each view has a level of its own"


def test_random_shows_nothing_of_the_other_images_foreground():
    _, behind, batch = scene(Backgrounds(random=1.0))
    for v, view in enumerate(batch.views["global"]):
        for b in range(B):
            if b == 3:
                continue
            allowed = {tuple(color) for color in (behind.donors[v, b][behind.donor_masks[v, b] == 0] / 255).tolist()}
            shown = {tuple(color) for color in view[b][:, behind.masks[b] == 0].T.tolist()}
            assert shown <= allowed
            assert len(shown) > 10


def test_how_often_is_as_asked_and_views_are_drawn_apart():
    images, behind, _ = scene(Backgrounds(removed=0.3, random=0.2))
    source = pixels(images)
    plan = ViewPlan(groups={"global": ViewGroup(recipe=STILL, count=2)}, backgrounds=Backgrounds(removed=0.3, random=0.2)).resolved(
        S
    )
    shares = []
    for step in range(200):
        first, second = composed(source, behind, plan, 0, step, slice(0, B), B).images["global"]
        shares.append([(view != source).flatten(1).any(1).float() for view in (first, second)])
    touched = torch.stack([torch.stack(pair) for pair in shares])[:, :, [b for b in range(B) if b != 3]]
    assert touched.mean((0, 2)).sub(0.5).abs().max() < 0.04
    assert (touched[:, 0] * touched[:, 1]).mean().sub(0.25).abs() < 0.04


@pytest.mark.parametrize("backgrounds", [{"random": 1.0}, {"removed": 1.0}, {}])
def test_where_a_swap_counts_the_first_view_is_on_its_donors_background_which_the_swap_shares(backgrounds):
    images, behind, batch = scene(Backgrounds(swapped=1.0, **backgrounds), swap=True)
    [swap], [counts] = batch.views["swapped"], batch.targets["swapped_counts"]
    theirs = tiled_background(pixels(behind.donors[0]), behind.donor_masks[0] > 127)
    for b in torch.nonzero(counts).flatten():
        assert torch.equal(batch.views["global"][0][b], torch.where(behind.masks[b] > 0, pixels(images)[b], theirs[b]))
    first, second = batch.views["global"]
    assert counts.tolist() == [b != 3 for b in range(B)]
    outside = ((behind.masks == 0) & (behind.donor_masks[2] == 0)).unsqueeze(1)
    for b in range(B):
        if counts[b]:
            assert torch.equal(swap[b] * outside[b], first[b] * outside[b])
            assert not torch.equal(swap[b] * outside[b], second[b] * outside[b])
            front = behind.donor_masks[2, b] > 0
            assert torch.equal(swap[b][:, front], pixels(behind.donors[2])[b][:, front])


def test_a_rank_makes_its_rows_of_the_whole_batch():
    backgrounds = Backgrounds(removed=0.4, random=0.4)
    images, behind, whole = scene(backgrounds)
    plan = ViewPlan(groups={"global": ViewGroup(recipe=STILL, count=2)}, backgrounds=backgrounds).resolved(S)
    mine = slice(4, 9)
    part = Layers(behind.masks[mine], behind.donors[:, mine], behind.donor_masks[:, mine])
    ours = make_views(images[mine], torch.arange(B)[mine], plan, 1, 4, mine, B, part)
    assert torch.equal(ours.views["global"], whole.views["global"][:, mine])


def largest_strip(mask: np.ndarray) -> int:
    """Brute force: the most cells in a run of whole rows or columns at an edge without foreground."""
    found = 0
    for turned in (mask, mask[::-1], mask.T, mask.T[::-1]):
        clear = 0
        while clear < len(turned) and not turned[clear].any():
            clear += 1
        found = max(found, clear * turned.shape[1])
    return found


@pytest.mark.parametrize("seed", range(20))
def test_tiles_come_from_the_largest_strip_of_background(seed):
    random = np.random.default_rng(seed)
    mask = np.zeros((S, S), bool)
    top, left = random.integers(0, S - 2, 2)
    mask[top : top + random.integers(1, S - top + 1), left : left + random.integers(1, S - left + 1)] = True
    image = torch.arange(S * S, dtype=torch.float32).view(1, 1, S, S)  # every pixel its own value
    tiled = tiled_background(image, torch.from_numpy(mask).unsqueeze(0))[0, 0]
    strip = largest_strip(mask)
    if strip == 0:
        values = image[0, 0][~torch.from_numpy(mask)]
        assert torch.allclose(tiled, values.mean() if len(values) else torch.tensor(0.0))
        return
    used = tiled.unique().long()
    assert len(used) == strip
    assert not mask.ravel()[used.numpy()].any()
    assert (tiled.diff(dim=0).abs() <= S).all(), "neighbors in the tile are neighbors, or mirrored"


def test_without_a_background_nothing_is_asked_of_the_store():
    plain = ViewPlan(groups={"global": ViewGroup(recipe=STILL, count=2), "swapped": ViewGroup(swap_of="global")})
    assert plain.fields == ()
    assert list(plain.resolved(S).groups) == ["global"]
    assert ViewPlan(groups=plain.groups, backgrounds=Backgrounds(swapped=0.1)).fields == ("saliency",)
    assert plausible(torch.tensor([[[True]], [[False]]])).tolist() == [False, True]


def test_plans_that_ask_for_the_impossible():
    groups = {"global": ViewGroup(count=2)}
    with pytest.raises(ValueError, match="together up to 1"):
        Backgrounds(removed=0.6, random=0.6)
    with pytest.raises(ValueError, match="would be ignored: a swap is a negative"):
        ViewPlan(groups=groups, backgrounds=Backgrounds(swapped=0.2))
    with pytest.raises(ValueError, match="swap_of='local'"):
        ViewPlan(groups=groups | {"swapped": ViewGroup(swap_of="local")})
