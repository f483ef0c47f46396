"""What is particular to jigsaw clustering."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config, resolved_backbone
from ssl_pipelines.views import Batch
from ssl_pipelines.views.montage import stitch

CLOCK = Clock(0, 8, 0)
PLAIN = {"crop": "none", "flip": 0, "jitter": 0, "grayscale": 0}


def ready(store, **block):
    loop = small_loop(small_config("jigsaw_clustering", methods={"jigsaw_clustering": block}), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def signed(batch: int) -> torch.Tensor:
    """(B, 3, 32, 32): each pixel says which image it is of, and in which row and column."""
    ramp = torch.linspace(0, 1, 32)
    image = (torch.arange(batch) / batch).view(-1, 1, 1).expand(-1, 32, 32)
    return torch.stack([image, ramp.view(1, 32, 1).expand_as(image), ramp.view(1, 1, 32).expand_as(image)], 1)


def read(patches: torch.Tensor, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, P, P) -> the image and the corner that each is of."""
    image, row, column = patches.mean((2, 3)).unbind(1)
    return (image * batch).round().long(), 2 * (row > 0.5).long() + (column > 0.5).long()


def test_each_patch_appears_once_and_is_known_by_its_image_and_corner(photos):
    method, _ = ready(photos, patch_recipe=PLAIN)
    patches, origin = method.shuffled(signed(16))
    assert patches.shape == (16, 4, 3, 16, 16)
    assert torch.equal(origin.sort().values, torch.arange(64))
    image, corner = read(patches.flatten(0, 1), 16)
    assert torch.equal(image, origin // 4)
    assert torch.equal(corner, origin % 4)
    together = (origin.view(16, 4) // 4).sort(1).values
    assert (together[:, 1:] == together[:, :-1]).float().mean() < 0.2, "montages are of different images"
    assert (corner.view(16, 4) == torch.arange(4)).float().mean() < 0.6, "nor is a corner bound to its slot"


def test_augmented_patches_still_come_from_their_corner(photos):
    """Crops of 26 px from the corners, 40% of their area or more, mirrored or not: rows tell top from bottom of most."""
    method, _ = ready(photos, patch_recipe={"jitter": 0, "grayscale": 0})
    patches, origin = method.shuffled(signed(16))
    x = patches.flatten(0, 1)
    assert torch.equal(read(x, 16)[0], origin // 4)
    top = origin % 4 < 2
    assert x[top, 1].max() <= 25 / 31 + 1e-5
    assert x[~top, 1].min() >= 6 / 31 - 1e-5
    assert len(torch.unique(x[:, 1].mean((1, 2)))) > 30


def test_the_map_is_taken_apart_slot_by_slot(photos):
    method, _ = ready(photos)
    patches = torch.rand(5, 4, 3, 16, 16)
    method.encoder.map = lambda images: F.avg_pool2d(images, 8)
    torch.testing.assert_close(method.decoupled(stitch(patches)), patches.mean((3, 4)).flatten(0, 1))


def test_a_map_of_seven_places_is_brought_to_eight(photos):
    method, _ = ready(photos)
    maps = torch.rand(2, 5, 7, 7)
    method.encoder.map, method.map_side = lambda images: maps, 7
    eight = F.interpolate(maps, (8, 8), mode="bilinear", align_corners=False)
    expected = torch.stack(
        [eight[b, :, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].mean((1, 2)) for b in range(2) for r in (0, 1) for c in (0, 1)]
    )
    torch.testing.assert_close(method.decoupled(torch.zeros(2, 3, 32, 32)), expected)


def test_the_loss_is_the_weighted_sum_of_both_branches(photos):
    method, batch = ready(photos, clustering_weight=0.3 / 0.07, location_weight=0.5)
    method.double().eval()
    images = batch.views["global"].double()
    torch.manual_seed(3)
    patches, origin = method.shuffled(images[0])
    with torch.no_grad():
        features = method.decoupled(stitch(patches))
        z, logits = F.normalize(method.projector(features), dim=1), method.locator(features)
    clustering = location = 0.0
    for i, own in enumerate(origin.tolist()):
        others = [j for j in range(64) if j != i]
        everyone = sum(math.exp(float(z[i] @ z[j]) / 0.3) for j in others)
        mates = [j for j in others if int(origin[j]) // 4 == own // 4]
        assert len(mates) == 3
        clustering -= sum(math.log(math.exp(float(z[i] @ z[j]) / 0.3) / everyone) for j in mates) / 3 / 64
        location -= math.log(float(logits[i].softmax(0)[own % 4])) / 64
    torch.manual_seed(3)
    output = method.loss(Batch({"global": images}, {}, batch.ids), CLOCK)
    assert output.loss.item() == pytest.approx(0.3 / 0.07 * clustering + 0.5 * location, rel=1e-9)
    assert output.metrics["clustering_loss"].item() == pytest.approx(clustering, rel=1e-9)


def test_a_network_that_reads_the_signatures_solves_both(photos):
    method, batch = ready(photos, patch_recipe=PLAIN, temperature=0.02)
    method.encoder.map = lambda images: F.avg_pool2d(images, 8)

    class Corner(torch.nn.Module):
        def forward(self, features):
            return 99.0 * F.one_hot(read(features[:, :, None, None], 16)[1], 4).float()

    class Image(torch.nn.Module):
        def forward(self, features):
            return F.one_hot(read(features[:, :, None, None], 16)[0], 16).float()

    method.locator, method.projector = Corner(), Image()
    output = method.loss(Batch({"global": signed(16)[None]}, {}, batch.ids), CLOCK)
    assert output.metrics["location_accuracy"] == 1
    assert output.loss.item() == pytest.approx(math.log(3), abs=1e-4)


def test_one_forward_pass_of_as_many_montages_as_images_and_plain_images_to_evaluate(photos):
    method, batch = ready(photos)
    seen = []
    original = method.encoder.map
    method.encoder.map = lambda images: (seen.append(images), original(images))[1]
    method.loss(batch, CLOCK)
    assert [tuple(x.shape) for x in seen] == [(16, 3, 32, 32)]
    images = batch.views["global"][0]
    method.eval()
    torch.testing.assert_close(method.encode(images), original(images).mean((2, 3)))


def test_pictures_are_montages_and_patches_in_rows_of_five(photos):
    method, batch = ready(photos)
    shown = method.eval().pictures(batch)["clusters"]
    assert shown.shape == (40, 3, 32, 32)
    montage, first = shown[0], shown[1]
    assert torch.equal(montage[:, :16, :16], first[:, ::2, ::2])


def test_what_does_not_fit_is_refused_in_one_line(photos):
    config = method_config("jigsaw_clustering", {})
    with pytest.raises(InputError, match=r"batch_size=1: patches are clustered by image"):
        config.check_run(1, resolved_backbone("jigsaw_clustering", {}))
    with pytest.raises(InputError, match="cross_ratio"):
        method_config("jigsaw_clustering", {"cross_ratio": 0.6})
    with pytest.raises(InputError, match=r"views.size=27: a montage of 2 x 2 patches needs an even number"):
        ready(photos, views={"size": 27})
    with pytest.raises(InputError, match=r"needs a map of 2x2 or more, views of 16 px leave 1x1"):
        small_loop(
            small_config(
                "jigsaw_clustering", backbone={"output_stride": 16}, methods={"jigsaw_clustering": {"views": {"size": 16}}}
            ),
            photos,
        )
