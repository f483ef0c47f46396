"""What is particular to the jigsaw puzzle."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.algorithms.permutations import distant_permutations
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.pretext.jigsaw import reordered
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("jigsaw", methods={"jigsaw": block}), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def painted(batch: int, cell: int) -> torch.Tensor:
    """(B, 1, 3 cell, 3 cell): the number of the cell, 0 to 8, in every pixel."""
    return torch.arange(9.0).view(3, 3).repeat_interleave(cell, 0).repeat_interleave(cell, 1).expand(batch, 1, -1, -1)


def numbers(tiles: torch.Tensor) -> torch.Tensor:
    """(B, T, C, P, P) cut out of `painted` -> (B, T)."""
    assert (tiles.amax((2, 3, 4)) - tiles.amin((2, 3, 4))).max() == 0, "no tile crosses a border"
    return tiles[:, :, 0, 0, 0].long()


def test_tiles_are_shuffled_by_the_permutation_that_is_asked_for(digits):
    method, _ = ready(digits, views={"size": 15})
    tiles, labels = method.tiles(painted(200, 5))
    assert torch.equal(numbers(tiles), torch.arange(9).expand(200, -1)), "row by row at first"
    puzzle = method.shuffled(tiles, labels)
    assert torch.equal(numbers(puzzle), method.permutations[labels])
    assert torch.equal(numbers(reordered(puzzle, method.permutations[labels].argsort(1))), torch.arange(9).expand(200, -1))


def test_a_solver_that_sees_the_numbers_is_always_right(digits):
    method, batch = ready(digits, views={"size": 15})
    images = painted(16, 5)

    def solve(puzzle: torch.Tensor) -> torch.Tensor:
        return -(solve.numbers.unsqueeze(1) - method.permutations).abs().sum(2).float()

    original = method.shuffled

    def shuffled(tiles: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        puzzle = original(tiles, labels)
        solve.numbers = numbers(puzzle)  # what is standardized afterwards says nothing any more
        return puzzle

    method.solve, method.shuffled = solve, shuffled
    batch = Batch({"global": images[None]}, {}, batch.ids)
    assert method.loss(batch, CLOCK).metrics["accuracy"] == 1
    puzzle, solved, truth = method.pictures(batch)["jigsaws"].unflatten(0, (8, 3)).unbind(1)
    assert torch.equal(solved, truth)
    assert not torch.equal(puzzle, truth)


def test_every_visit_draws_a_permutation_anew_and_all_alike(digits):
    method, _ = ready(digits, permutations=10)
    image = torch.rand(1, 1, 16, 16).expand(2000, -1, -1, -1)
    torch.manual_seed(0)
    first, second = method.tiles(image)[1], method.tiles(image)[1]
    assert (first != second).float().mean() == pytest.approx(0.9, abs=0.03)
    share = torch.bincount(torch.cat([first, second]), minlength=10) / 4000
    assert share.min() > 0.08
    assert share.max() < 0.12


def test_tiles_lie_anywhere_in_their_cells_and_cells_anywhere_in_the_view(photos):
    method, _ = ready(photos, channel_shift=0)
    assert (method.cell, method.tile) == (10, 8)
    ramp = torch.arange(32.0)
    images = torch.stack([ramp.view(32, 1).expand(32, 32), ramp.view(1, 32).expand(32, 32), torch.zeros(32, 32)])
    tiles, _ = method.tiles(images.expand(4000, -1, -1, -1))
    corner = tiles[:, :, :2, 0, 0].long()  # (B, 9, 2)
    for t in range(9):
        rows, columns = (corner[:, t] - 10 * torch.tensor([t // 3, t % 3])).unbind(1)
        assert set(rows.tolist()) == set(columns.tolist()) == set(range(5)), "0 to 2 in the cell, 0 to 2 of the cells"


@pytest.mark.parametrize(("side", "cell", "tile", "shift"), [(28, 9, 7, 1), (32, 10, 8, 1), (96, 32, 24, 1), (255, 85, 64, 2)])
def test_sizes(side, cell, tile, shift, photos):
    method, _ = ready(photos, views={"size": side})
    assert (method.cell, method.tile, method.shift) == (cell, tile, shift)


def test_at_uniform_logits_it_costs_the_logarithm_of_the_set(digits):
    method, batch = ready(digits, permutations=30)
    torch.nn.init.zeros_(method.classifier[-1].weight)
    torch.nn.init.zeros_(method.classifier[-1].bias)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(math.log(30), rel=1e-6)


def test_the_trunk_sees_standardized_tiles_one_by_one(photos):
    method, batch = ready(photos)
    seen = []
    original = method.encoder.map
    method.encoder.map = lambda images: (seen.append(method.encoder.normalize(images)), original(images))[1]
    method.loss(batch, CLOCK)
    [x] = seen
    assert x.shape == (9 * 16, 3, 8, 8)
    assert x.mean((2, 3)).abs().max() < 1e-4
    deviation = x.std((2, 3), correction=0)
    assert (((deviation - 1).abs() < 1e-3) | (deviation < 1e-3)).all(), "one, or flat"
    assert (deviation > 0.5).float().mean() > 0.9
    method.eval()
    tiles = torch.rand(2, 9, 3, 8, 8)
    features = []
    method.projection.register_forward_hook(lambda module, inputs, output: features.append(output.view(2, 9, -1)))
    with torch.no_grad():
        method.solve(tiles)
        tiles[1, 3] = torch.rand(3, 8, 8)
        method.solve(tiles)
    changed = (features[0] != features[1]).any(2).nonzero().tolist()
    assert changed == [[1, 3]]


def test_about_a_third_of_the_images_is_gray(photos):
    """As they reach the network, tile by tile."""
    loop = small_loop(small_config("jigsaw"), photos)
    tiles = torch.cat([loop.method.tiles(loop.feed.batches(step, 8)[0].views["global"][0])[0] for step in range(8)])
    gray = (tiles - tiles.mean(2, keepdim=True)).abs().amax((1, 2, 3, 4)) < 1e-5
    assert 0.2 < gray.float().mean() < 0.42


def test_channels_are_shifted_tile_by_tile_where_there_are_several(photos, digits):
    method, _ = ready(photos)
    pattern = torch.rand(1, 1, 32, 32).expand(64, 3, -1, -1)
    tiles, _ = method.tiles(pattern * torch.tensor([1.0, 1.0, 0.5]).view(3, 1, 1))
    apart = (tiles[:, :, 0] - tiles[:, :, 1]).abs().amax((2, 3)) > 0
    assert apart.float().mean() == pytest.approx(8 / 9, abs=0.04), "equal shifts of both along both axes: 1 in 9"
    tiles, _ = method.tiles(pattern)
    assert torch.equal(tiles, tiles[:, :, :1].expand_as(tiles)), "gray stays gray"
    gray, batch = ready(digits)
    images = batch.views["global"][0]
    assert set(gray.tiles(images)[0].flatten().tolist()) <= set(images.flatten().tolist())


def test_the_set_is_the_greedy_one_and_is_kept_with_the_weights(digits):
    method, _ = ready(digits, permutations=20)
    assert torch.equal(method.state_dict()["permutations"], distant_permutations(9, 20))


def test_what_does_not_fit_is_refused_in_one_line(digits, photos):
    for wrong in ({"permutations": 1}, {"tile_fraction": 0.1}, {"channel_shift": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            method_config("jigsaw", wrong)
    with pytest.raises(InputError, match=r"tiles of 4 px .* are too small for channel_shift=2"):
        ready(digits, channel_shift=2)
    vit = {"name": "vit_mini", "depth": 1, "width": 1.0}
    with pytest.raises(InputError, match=r"patch_size=4 does not divide the view size 7"):
        small_loop(small_config("jigsaw", backbone=vit, methods={"jigsaw": {"tile_fraction": 0.7}}), photos)
    small_loop(small_config("jigsaw", backbone=vit), photos).run_step(0)
