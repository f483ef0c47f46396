"""Shortcuts planted alone in noise: a linear classifier solves the pretext task by them where the guard is off, and guesses where it is on.

There is nothing else to see in these pictures, so whatever is above chance comes from the shortcut."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from small_runs import small_config, small_loop
from ssl_pipelines.views.color import to_gray
from ssl_pipelines.views.patch_levels import standardized

CHANNELS = [(0, 1), (2, 1), (0, 2)]  # whose shift against each other is looked for


def method_for(name: str, store, side: int, **block):
    torch.manual_seed(0)
    return small_loop(small_config(name, methods={name: {"views": {"size": side}} | block}), store).method


def noise(batch: int, side: int) -> torch.Tensor:
    return torch.randn(batch, side, side, generator=torch.Generator().manual_seed(1)) * 0.2


def bent(batch: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """White noise (B, S, S), and the same moved by -1, 0 or 1 px along each axis, according to the third of the image: a lens."""
    wide = noise(batch, side + 2)
    shift = (torch.arange(side) * 3 // side).clamp(max=2)  # 1 + px
    row, column = torch.arange(side) + shift, torch.arange(side) + shift
    return wide[:, 1:-1, 1:-1], wide[:, row][:, :, column]


def aberrant(batch: int, side: int) -> torch.Tensor:
    """Red and blue as the lens bends them, green as it is."""
    green, red = bent(batch, side)
    return torch.stack([red, green, red], 1) + 0.5


def fringed(batch: int, side: int, axis: Sequence[float]) -> torch.Tensor:
    """Gray, with what the lens bends in one color."""
    gray, fringe = bent(batch, side)
    return gray.unsqueeze(1) + torch.tensor(axis).view(1, 3, 1, 1) * fringe.unsqueeze(1) + 0.5


def smooth(batch: int, side: int) -> torch.Tensor:
    """Gray noise whose pixels are alike up to 3 px apart, independent from 4 px on."""
    return F.avg_pool2d(noise(batch, side + 3).unsqueeze(1), 4, 1) + 0.5


def color_shifts(patches: torch.Tensor, reach: int) -> torch.Tensor:
    """(B, T, 3, P, P) -> (B, T, features): how well channels fit each other at all shifts of up to `reach` px."""
    x, p = standardized(patches), patches.shape[-1]
    found = []
    for a, b in CHANNELS:
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                rows, columns = slice(max(0, dy), p + min(0, dy)), slice(max(0, dx), p + min(0, dx))
                back_rows, back_columns = slice(max(0, -dy), p - max(0, dy)), slice(max(0, -dx), p - max(0, dx))
                found.append((x[:, :, a, rows, columns] * x[:, :, b, back_rows, back_columns]).mean((2, 3)))
    return torch.stack(found, 2)


def edges(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(..., P, P), (..., P, P) -> (..., 4): how well the second's facing edge continues the first's top, left, right and bottom."""
    pairs = [
        (first[..., 0, :], second[..., -1, :]),
        (first[..., :, 0], second[..., :, -1]),
        (first[..., :, -1], second[..., :, 0]),
        (first[..., -1, :], second[..., 0, :]),
    ]
    return torch.stack([(a * b).mean(-1) for a, b in pairs], -1)


def accuracy(features: torch.Tensor, labels: torch.Tensor) -> float:
    """(B, T, F), (B, T): fitted on the first half of the images, right on the second."""
    half = len(features) // 2
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=100))
    model.fit(features[:half].flatten(0, 1).numpy(), labels[:half].flatten().numpy())
    return float(model.score(features[half:].flatten(0, 1).numpy(), labels[half:].flatten().numpy()))


def directions_by_color(method, images: torch.Tensor) -> float:
    each = color_shifts(method.patches(images)[1], 1)
    both = each[:, method.pairs].flatten(2)  # (B, 40, 2 F)
    return accuracy(both, method.labels.expand(len(both), -1))


def test_a_lens_tells_directions_unless_each_patch_keeps_one_channel(photos):
    """Of 40 pairs 6 lie in each straight direction: guessing one of them is right in 15%."""
    images = aberrant(80, 32)
    open_ = directions_by_color(method_for("context_prediction", photos, 32, color="none", pixelated=0.0), images)
    guarded = directions_by_color(method_for("context_prediction", photos, 32, pixelated=0.0), images)
    assert open_ > 0.75
    assert guarded < 0.15 + 0.04


def test_a_fringe_from_green_to_magenta_tells_directions_unless_it_is_projected_away(photos):
    images = fringed(80, 32, (-1.0, 2.0, -1.0))
    open_ = directions_by_color(method_for("context_prediction", photos, 32, color="none", pixelated=0.0), images)
    guarded = directions_by_color(method_for("context_prediction", photos, 32, color="project", pixelated=0.0), images)
    assert open_ > 0.75
    assert guarded < 0.15 + 0.04


def straight_directions_by_edges(method, images: torch.Tensor) -> float:
    _, seen = method.patches(images)
    straight = (method.labels.view(-1, 1) == torch.tensor([1, 3, 4, 6])).any(1)
    first, second = (seen[:, method.pairs[straight, k], 0] for k in (0, 1))
    return accuracy(edges(first, second), method.labels[straight].expand(len(seen), -1))


def test_edges_tell_directions_unless_patches_lie_apart(digits):
    images = smooth(60, 96)
    method = method_for("context_prediction", digits, 96, patch=24, gap=0, jitter=0, pixelated=0.0)
    open_ = straight_directions_by_edges(method, images)
    method = method_for("context_prediction", digits, 96)
    assert (method.patch, method.gap, method.jitter) == (24, 10, 2)
    guarded = straight_directions_by_edges(method, images)
    assert open_ > 0.75
    assert guarded < 0.25 + 0.05


def right_neighbors_by_edges(method, images: torch.Tensor) -> float:
    """How often the tile whose left edge continues a tile's right edge best is its right neighbor; one of eight others."""
    tiles = standardized(method.tiles(images)[0])[:, :, 0]  # (B, 9, P, P)
    fit = edges(tiles.unsqueeze(2), tiles.unsqueeze(1))[..., 2]  # (B, 9 first, 9 second)
    fit = fit.masked_fill(torch.eye(9, dtype=torch.bool), -torch.inf)
    firsts = torch.tensor([t for t in range(9) if t % 3 < 2])
    return float((fit[:, firsts].argmax(2) == firsts + 1).float().mean())


def test_edges_put_tiles_together_unless_they_lie_at_random_places_of_their_cells(digits):
    """At 96 px tiles lie up to 16 px apart, 8 in the mean; the few that still touch are above chance, one in eight."""
    images = smooth(100, 96)
    open_ = right_neighbors_by_edges(method_for("jigsaw", digits, 96, tile_fraction=1.0), images)
    guarded = right_neighbors_by_edges(method_for("jigsaw", digits, 96), images)
    assert open_ > 0.7
    assert guarded < 0.125 + 0.06


def places_by_color(method, images: torch.Tensor) -> float:
    tiles = standardized(method.tiles(images)[0])
    return accuracy(color_shifts(tiles, 3), torch.arange(9).expand(len(tiles), -1))


def test_a_fringe_tells_the_places_of_tiles_unless_the_image_is_gray(photos):
    """A fringe without luma: graying is exact. (What a lens bends in luma leaves a ghost in the gray image, too.)"""
    images = fringed(120, 48, (1.0, -0.299 / 0.587, 0.0))
    method = method_for("jigsaw", photos, 48, channel_shift=0)
    assert places_by_color(method, images) > 0.95
    assert places_by_color(method, to_gray(images).expand(-1, 3, -1, -1)) < 1 / 9 + 0.05


def test_shifted_channels_hide_a_lens_that_bends_no_farther_as_far_as_they_can(photos):
    """Red and blue are bent by a whole px against green, and each channel is shifted by up to one: the sums are seen. Nobody can know
    more than which bending is the likeliest for them, along each axis."""
    images = aberrant(120, 48)
    seen: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for bend, red, green, blue in product((-1, 0, 1), repeat=4):
        seen[bend + red - green, bend + blue - green][bend] += 1
    best = (sum(max(bends.values()) for bends in seen.values()) / 81) ** 2  # 0.31
    assert places_by_color(method_for("jigsaw", photos, 48, channel_shift=0), images) > 0.95
    assert places_by_color(method_for("jigsaw", photos, 48, channel_shift=1), images) < best + 0.05


@pytest.mark.parametrize("guard", [False, True])
def test_brightness_and_contrast_tell_the_places_of_tiles_unless_they_are_standardized(digits, guard):
    method = method_for("jigsaw", digits, 48)
    place = torch.arange(9.0).view(3, 3).repeat_interleave(16, 0).repeat_interleave(16, 1)
    images = (place / 9 + (1 + place) / 40 * noise(100, 48)).unsqueeze(1)
    tiles, _ = method.tiles(images)
    tiles = standardized(tiles) if guard else tiles
    mean, deviation = tiles.mean((2, 3, 4)), tiles.std((2, 3, 4), correction=0)
    features = torch.stack([mean, mean.square(), deviation, deviation.square()], 2).round(decimals=4)  # not rounding itself
    found = accuracy(features, torch.arange(9).expand(len(tiles), -1))
    assert found < 1 / 9 + 0.05 if guard else found > 0.95
