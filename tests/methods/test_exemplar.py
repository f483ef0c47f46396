"""What is particular to exemplar CNNs: what the classes are, and that they are the same whenever they are asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.pretext.exemplar import passes
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    """A loop whose first epoch has begun."""
    loop = small_loop(small_config("exemplar", methods={"exemplar": block}), store)
    torch.manual_seed(11)
    with torch.no_grad():
        loop.feed.sampling = loop.method.before_epoch(CLOCK, loop.embed)
    return loop


def test_a_class_is_a_seed_and_only_seeds_are_drawn(digits):
    loop = ready(digits, num_classes=40)
    method = loop.method.train()
    seeds = (method.class_of >= 0).nonzero().squeeze(1)
    assert torch.equal(method.class_of[seeds].sort().values, torch.arange(40))
    drawn = loop.feed.sampling.ids
    assert torch.equal(drawn.unique(), seeds)
    assert torch.equal(drawn[:40].sort().values, seeds), "each once before any comes again"
    for step in range(3):
        [batch] = loop.feed.batches(step, 8)
        assert (method.class_of[batch.ids] >= 0).all()


def test_seeds_are_chosen_by_their_gradients(digits):
    store = Store.open(digits)
    loop = ready(digits, num_classes=20)
    pixels = store.gather(loop.feed.ids).fields["image"][..., 0] / 255
    energy = np.array([sum((part**2).mean() for part in np.gradient(image)) for image in pixels])
    found = []
    for start in range(40):
        torch.manual_seed(start)
        loop.method.before_epoch(CLOCK, lambda function: torch.tensor(energy**3).unsqueeze(1))
        found.append(energy[(loop.method.class_of >= 0).numpy()].mean())
    expected = (energy**4).sum() / (energy**3).sum()  # of draws in proportion to energy^3, here nearly without replacement
    assert np.mean(found) == pytest.approx(expected, rel=0.04)
    assert expected > 1.1 * energy.mean()


def test_the_energy_that_is_asked_for_is_that_of_the_pixels(digits):
    store, loop, seen = Store.open(digits), ready(digits), {}

    def embed(function):
        seen["z"] = loop.embed(function)
        return seen["z"]

    loop.method.before_epoch(CLOCK, embed)
    pixels = store.gather(loop.feed.ids[:5]).fields["image"][..., 0] / 255
    expected = [[sum((part**2).mean() for part in np.gradient(image))] for image in pixels]
    np.testing.assert_allclose(seen["z"][:5], expected, rtol=1e-4)


def test_transform_k_of_a_class_is_always_the_same(photos):
    loop = ready(photos, seed_size=16)
    method, [batch] = loop.method, loop.feed.batches(0, 8)
    first = method.transformed(batch, torch.full((16,), 3))
    torch.manual_seed(99)
    assert torch.equal(method.transformed(batch, torch.full((16,), 3)), first)
    alone = Batch({"global": batch.views["global"][:, 5:6]}, {}, batch.ids[5:6])
    torch.testing.assert_close(method.transformed(alone, torch.tensor([3])), first[5:6], rtol=0, atol=1e-6)
    other = method.transformed(batch, torch.full((16,), 4))
    assert (other - first).abs().mean() > 0.02
    method.seed.add_(1)
    assert (method.transformed(batch, torch.full((16,), 3)) - first).abs().mean() > 0.02


def test_patches_lie_where_the_seeds_were_found(photos):
    """Images that are flat but for one corner: the patch is cut there, at half the images' size."""
    loop = ready(photos, seed_size=16, transforms={"shift": 0, "scale": (1, 1), "rotation": 0})
    method = loop.method
    assert method.side == 16
    energy = torch.zeros(len(method.class_of), 9)  # 0, 8 and 16 px down and to the right
    energy[:, 7] = 1.0
    method.choose_seeds(energy)
    assert torch.equal(method.corners[method.class_of >= 0].unique(dim=0), torch.tensor([[16, 8]]))
    [batch] = loop.feed.batches(0, 8)
    images = torch.zeros_like(batch.views["global"])
    images[..., 16:32, 8:24] = 0.5
    patches = method.transformed(Batch({"global": images}, {}, batch.ids), torch.zeros(16, dtype=torch.int64))
    assert patches.shape == (16, 3, 16, 16)
    assert patches.std((2, 3)).max() < 1e-6, "nothing of what lies around it"
    shown = method.pictures(Batch({"global": images}, {}, batch.ids))["surrogate_classes"].unflatten(0, (8, 6))
    torch.testing.assert_close(shown[:, 0], torch.full((8, 3, 16, 16), 0.5))


def test_uniform_logits_cost_the_logarithm_of_the_classes(digits):
    loop = ready(digits, num_classes=40)
    torch.nn.init.zeros_(loop.method.classifier.weight)
    torch.nn.init.zeros_(loop.method.classifier.bias)
    assert loop.method.loss(loop.feed.batches(0, 8)[0], CLOCK).loss.item() == pytest.approx(math.log(40))


def test_components_are_those_of_the_pixels(photos):
    method = ready(photos).method
    images = torch.from_numpy(Store.open(photos).gather(np.arange(20)).fields["image"])
    method.prepare(images)
    pixels = images.reshape(-1, 3).numpy() / 255
    centered = pixels - pixels.mean(0)
    np.testing.assert_allclose(method.pixel_mean, pixels.mean(0), rtol=1e-5)
    along = centered @ method.components.numpy()
    covariance = np.cov(along.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-5 * covariance.max()
    np.testing.assert_allclose(method.components.T @ method.components, np.eye(3), atol=1e-5)


def test_passes_are_permutations_whatever_the_start():
    whole = passes(7, 0, 70, seed=5)
    for lap in whole.view(10, 7):
        assert torch.equal(lap.sort().values, torch.arange(7))
    assert torch.equal(passes(7, 25, 20, seed=5), whole[25:45])
    assert not torch.equal(passes(7, 0, 70, seed=6), whole)


def test_a_later_epoch_keeps_the_seeds(digits):
    loop = ready(digits, num_classes=40)
    before, drawn = loop.method.class_of.clone(), loop.feed.sampling.ids
    after = loop.method.before_epoch(Clock(20, 80, 1), None)
    assert torch.equal(loop.method.class_of, before)
    assert not torch.equal(after.ids, drawn)


def test_a_few_steps_learn(digits):
    block = {"num_classes": 4, "dropout": 0, "transforms": {"power": (0.7, 1.4)}}
    config = small_config("exemplar", methods={"exemplar": block}, pretrain={"images_seen": 16 * 40, "optimizer": {"lr": 0.2}})
    loop = small_loop(config, digits)
    losses = [loop.run_step(step).loss.item() for step in range(40)]
    assert losses[0] == pytest.approx(math.log(4), abs=0.3)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])


def test_what_does_not_fit_is_refused(digits):
    with pytest.raises(InputError, match="num_classes=5000: seeds are patches of different images, allowed is 2 to"):
        ready(digits, num_classes=5000)
    with pytest.raises(InputError, match="crop=none, flip=0 and rotation=0 are allowed"):
        small_config("exemplar", methods={"exemplar": {"views": {"groups": {"global": {"recipe": {"flip": 0.5}}}}}})
    with pytest.raises(InputError, match="does not divide the view size 10"):
        small_loop(
            small_config(
                "exemplar", methods={"exemplar": {"seed_size": 10}}, backbone={"name": "vit_mini", "width": 1.0, "depth": 1}
            ),
            digits,
        )
    unpadded = {"name": "unpadded_small", "width": 0.25}
    with pytest.raises(InputError, match="takes whole views of 32 px alone"):
        small_loop(
            small_config("exemplar", methods={"exemplar": {"seed_size": 16, "views": {"size": 32}}}, backbone=unpadded), digits
        )
    for block in ({"dropout": 1.0}, {"num_transforms": 0}, {"transforms": {"scale": (1.4, 0.7)}}):
        with pytest.raises(InputError, match=next(iter(block))):
            small_config("exemplar", methods={"exemplar": block})
