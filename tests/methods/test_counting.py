"""What is particular to counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.pretext.counting import another, tiles
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("counting", methods={"counting": block}), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def dots(counts: list[list[int]]) -> torch.Tensor:
    """Images of 16 px with so many dots of 2 x 2 px, on the even grid, in each tile."""
    images = torch.zeros(len(counts), 1, 16, 16)
    for image, row in zip(images, counts, strict=True):
        for tile, count in enumerate(row):
            for k in range(count):
                y, x = 8 * (tile // 2) + 4 * (k // 2), 8 * (tile % 2) + 4 * (k % 2)
                image[:, y : y + 2, x : x + 2] = 1
    return images


def perfect_count(images: torch.Tensor) -> torch.Tensor:
    """Counts dots: of 2 x 2 px in a tile, of 1 px in a shrunken image. It is told which by the place in the batch of five."""
    bright = (images > 0.5).sum((1, 2, 3)).float()
    size = torch.full_like(bright, 4.0)
    size[: len(images) // 5] = 1.0
    return (bright / size).unsqueeze(1)


def test_a_perfect_counter_has_no_loss(digits, monkeypatch):
    method, batch = ready(digits)
    monkeypatch.setattr("ssl_pipelines.methods.pretext.counting.rand_rows", lambda n, device: torch.zeros(n))  # the area's mean
    monkeypatch.setattr(method, "count", perfect_count)
    images = dots([[4, 3, 2, 1], [0, 1, 0, 0], [3, 3, 3, 3], [4, 0, 0, 2]])  # 10, 1, 12, 6 dots
    output = method.loss(Batch({"global": images.unsqueeze(0)}, {}, batch.ids[:4]), CLOCK)
    assert output.metrics["counting"].item() == 0
    others = [(1 - 10) ** 2, (12 - 1) ** 2, (6 - 12) ** 2, (10 - 6) ** 2]
    assert min(others) > 10
    assert output.loss.item() == 0
    assert output.metrics["active"].item() == 0
    close = dots([[1, 0, 0, 0], [0, 2, 0, 0]])
    loss = method.loss(Batch({"global": close.unsqueeze(0)}, {}, batch.ids[:2]), CLOCK).loss
    assert loss.item() == pytest.approx(10 - 1), "two images that differ by one dot are too near"


def test_summed_pixels_of_the_mean_image_are_a_quarter_of_the_tiles(digits, monkeypatch):
    method, batch = ready(digits)
    monkeypatch.setattr("ssl_pipelines.methods.pretext.counting.rand_rows", lambda n, device: torch.zeros(n))
    monkeypatch.setattr(method, "count", lambda images: images.sum((2, 3)))
    images = batch.views["global"][0]
    total = images.double().sum((2, 3))
    expected = float((0.75 * total).square().sum(1).mean())
    output = method.loss(batch, CLOCK)
    assert output.metrics["counting"].item() == pytest.approx(expected, rel=1e-4)


def test_the_loss_equals_the_loops(digits):
    method, batch = ready(digits, margin=0.5)
    method.double().eval()
    images = batch.views["global"][0, :5].double()
    torch.manual_seed(3)
    found = method.loss(Batch({"global": images.unsqueeze(0)}, {}, batch.ids[:5]), CLOCK).loss.item()
    torch.manual_seed(3)
    style = (torch.rand(5) * 4).long().tolist()
    from PIL import Image

    filters = [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]
    small = [
        np.asarray(Image.fromarray(x[0].float().numpy()).resize((8, 8), filters[k])) for x, k in zip(images, style, strict=True)
    ]
    with torch.no_grad():

        def phi(x) -> np.ndarray:
            return method.count(torch.as_tensor(x, dtype=torch.float64).clamp(0, 1).view(1, 1, 8, 8))[0].numpy()

        whole = [phi(x) for x in small]
        total = [sum(phi(x[:, y : y + 8, z : z + 8]) for y in (0, 8) for z in (0, 8)) for x in images]
    expected = 0.0
    for b in range(5):
        expected += ((whole[b] - total[b]) ** 2).sum() / 5
        expected += max(0.0, 0.5 - ((whole[(b + 1) % 5] - total[b]) ** 2).sum()) / 5
    assert found == pytest.approx(expected, rel=1e-4)


def test_tiles_are_the_quarters_in_rows():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert tiles(image)[:, 0].tolist() == [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[8, 9], [12, 13]], [[10, 11], [14, 15]]]
    two = tiles(torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]))
    assert two.mean((1, 2, 3)).tolist() == [0, 1] * 4


def test_the_other_image_is_never_the_same():
    for size in (2, 3, 8):
        rows = torch.arange(size).unsqueeze(1)
        moved = another(rows)
        assert (moved != rows).all()
        assert torch.equal(moved.sort(0).values, rows)


def test_counts_are_not_negative_and_four_tiles_add_no_bias(digits):
    method, batch = ready(digits)
    assert method.count(batch.views["global"][0]).min() >= 0
    assert method.counter[-2].bias is None


def test_what_does_not_fit_is_refused(digits):
    with pytest.raises(InputError, match=r"views.size=15: allowed are even numbers"):
        small_loop(small_config("counting", methods={"counting": {"views": {"size": 15}}}), digits)
    with pytest.raises(InputError, match=r"quarters of images, which backbone.name='unpadded_small' cannot take"):
        small_config("counting", backbone={"name": "unpadded_small"})
    with pytest.raises(InputError, match="patch_size=16 does not divide the view size 8"):
        small_loop(small_config("counting", backbone={"name": "vit_mini", "width": 1.0, "depth": 1, "patch_size": 16}), digits)
    with pytest.raises(InputError, match="margin"):
        small_config("counting", methods={"counting": {"margin": 0}})


def test_tiles_are_summed_in_full_precision(digits):
    """0.001953 beside 1 is lost in bfloat16, four of them are not."""
    method, _ = ready(digits)
    method.counter = torch.nn.Identity()
    each = torch.tensor([1.0, 2**-9, 2**-9, 2**-9]).to(torch.bfloat16)
    method.encoder.forward = lambda images: each[: len(images)].unsqueeze(1)
    counts = method.count(torch.zeros(4, 1, 8, 8))
    assert counts.sum().item() == 1 + 3 * 2**-9
    assert torch.stack(counts.chunk(4)).sum(0).dtype == torch.float32
