"""PixelCNN and PixelRNN as densities: all images together have probability one, draws follow it, and bits are counted right."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config, resolved_backbone
from ssl_pipelines.networks.own import OWN
from ssl_pipelines.views import Batch
from tests.methods.likelihood_models import all_images, misfit, tiny

CLOCK = Clock(0, 8, 0)
SMALL = {"pixelcnn": {"width": 8, "depth": 2}, "pixelrnn": {"units": 8, "depth": 2}}
FORMS = [
    ("pixelcnn", {"output": "softmax"}),
    ("pixelcnn", {"output": "logistic_mixture", "components": 2}),
    ("pixelrnn", {"lstm": "row", "output": "softmax"}),
    ("pixelrnn", {"lstm": "diagonal", "output": "softmax"}),
    ("pixelrnn", {"lstm": "row", "output": "logistic_mixture", "components": 2}),
    ("pixelrnn", {"lstm": "diagonal", "output": "logistic_mixture", "components": 2}),
]
EACH = pytest.mark.parametrize(("name", "form"), FORMS)


def model(name, form, size, channels, levels):
    return tiny(name, size, channels, levels=levels, head_dim=9, **SMALL[name], **form)


@EACH
@pytest.mark.parametrize(("size", "channels", "levels"), [(3, 1, 2), (2, 1, 4), (2, 3, 2)])
def test_all_images_together_have_probability_one(name, form, size, channels, levels):
    method = model(name, form, size, channels, levels)
    with torch.no_grad():
        p = method.log_likelihood(all_images(size, channels, levels)).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    assert p.max() > 2 * p.min(), "not the uniform distribution, whose sum would say little"


@EACH
def test_draws_follow_the_likelihood(name, form):
    method = model(name, form, 2, 2 if form["output"] == "softmax" else 1, 2)
    every = all_images(2, method.channels, 2)
    torch.manual_seed(0)
    drawn = method.sample(torch.zeros(4000, method.channels, 2, 2, dtype=torch.long)).flatten(1)
    with torch.no_grad():
        p = method.log_likelihood(every).exp()
    assert misfit(drawn, every.flatten(1).long(), p) < 4
    assert misfit(drawn, every.flatten(1).long(), torch.full_like(p, 1 / len(p))) > 8, "the test can tell them from others"


@EACH
def test_completions_keep_what_is_given_and_draw_the_rest_from_its_conditional(name, form):
    """p(lower row | upper row) by counting all images."""
    method = model(name, form, 2, 1, 2)
    every, n = all_images(2, 1, 2), 4000
    torch.manual_seed(0)
    given = torch.tensor([1, 0, 0, 0]).view(1, 1, 2, 2)
    drawn = method.sample(given.repeat(n, 1, 1, 1), first_row=1)
    assert torch.equal(drawn[:, :, 0], given.repeat(n, 1, 1, 1)[:, :, 0])
    with torch.no_grad():
        p = method.log_likelihood(every).exp()
    p = p * (every[:, 0, 0] == torch.tensor([1.0, 0.0])).all(1)
    p = p / p.sum()
    assert misfit(drawn.flatten(1), every.flatten(1).long(), p) < 4


@pytest.mark.parametrize("name", ["pixelcnn", "pixelrnn"])
def test_conditionals_of_each_color_sum_to_one_over_all_256_levels(name):
    """R, then G given r, then B given r and g, at a place in the middle of an image."""
    method = model(name, {"output": "softmax"}, 3, 3, 256)
    images = torch.rand(1, 3, 3, 3, dtype=torch.float64).mul(255).round() / 255
    with torch.no_grad():
        for color in range(3):
            every = images.repeat(256, 1, 1, 1)
            every[:, color, 1, 1] = torch.arange(256) / 255
            pixels = method.pixels(every)
            numbers = method.head(method.encoder.output(every))
            logits = numbers.unflatten(1, (3, 256))[:, color, :, 1, 1]  # must not depend on the color itself
            p = logits.softmax(1).gather(1, pixels[:, color, 1, 1:2])
            assert p.sum().item() == pytest.approx(1, abs=1e-9)
            torch.testing.assert_close(logits, logits[:1].expand_as(logits), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["pixelcnn", "pixelrnn"])
def test_bits_per_dimension_of_the_uniform_guess(name, photos):
    """Zero weights in the head: 8 bits of 256 levels, however many pixels and channels."""
    loop = small_loop(small_config(name, methods={name: {"levels": 256}}), photos)
    method, batch = loop.method, loop.feed.batches(0, 8)[0]
    for parameter in method.head.parameters():
        torch.nn.init.zeros_(parameter)
    output = method.loss(batch, CLOCK)
    assert output.metrics["bits_per_dim"].item() == pytest.approx(8, rel=1e-6)
    assert output.loss.item() == pytest.approx(8 * math.log(2), rel=1e-6)
    images = batch.views["global"][0]
    assert images.shape[1:] == (3, 16, 16)
    assert method.log_likelihood(images)[0].item() == pytest.approx(-3 * 256 * math.log(256), rel=1e-6)


@EACH
def test_pictures_and_features_at_full_levels(name, form, photos):
    loop = small_loop(small_config(name, methods={name: form | {"levels": 256}}), photos)
    method, batch = loop.method.eval(), loop.feed.batches(0, 8)[0]
    made = method.pictures(batch)
    assert made["samples"].shape == (8, 3, 16, 16)
    assert made["completions"].shape == (24, 3, 16, 16)
    images = batch.views["global"][0][:8]
    _, completed, original = made["completions"].unflatten(0, (8, 3)).unbind(1)
    torch.testing.assert_close(original, (images * 255).round() / 255)
    assert torch.equal(completed[:, :, :8], original[:, :, :8])
    assert not torch.equal(completed[:, :, 8:], original[:, :, 8:])
    for picture in made.values():
        assert 0 <= picture.min() <= picture.max() <= 1


def test_levels_are_equal_parts_of_the_range_of_bytes():
    from ssl_pipelines.methods.likelihood import from_levels, to_levels

    images = torch.arange(256) / 255
    for levels in (2, 5, 16, 256):
        found = to_levels(images, levels)
        counts = torch.bincount(found, minlength=levels)
        assert counts.max() - counts.min() <= 1
        assert (found.diff() >= 0).all()
        assert from_levels(found, levels, images).max() == 1
    assert torch.equal(to_levels(images, 256), torch.arange(256))
    assert torch.equal(to_levels(images.view(2, 128), 2), torch.tensor([[0] * 128, [1] * 128]))


@pytest.mark.parametrize("name", ["pixelcnn", "pixelrnn"])
def test_what_cannot_work_is_refused(name):
    for block, message in (
        ({"name": "resnet18"}, "brings its own network: backbone.name='resnet18'"),
        ({"width": 2.0}, "width=2.0"),
    ):
        with pytest.raises(InputError, match=message):
            resolved_backbone(name, block)
    assert resolved_backbone(name, {}).name == OWN
    assert resolved_backbone(name, {"name": OWN}).name == OWN
    with pytest.raises(InputError, match="method='simclr' brings none"):
        resolved_backbone("simclr", {"name": OWN})
    for block in ({"levels": 1}, {"levels": 257}, {"output": "gaussian"}, {"head_dim": 4}, {"depth": 0}):
        with pytest.raises(InputError):
            method_config(name, block)
    with pytest.raises(InputError, match="components=5 is the mixture's; with output=softmax it would be ignored"):
        method_config(name, {"components": 5})
    assert method_config(name, {"components": 5, "output": "logistic_mixture"}).components == 5
    with pytest.raises(InputError, match=r"local"):
        method_config(name, {"views": {"groups": {"local": {"count": 2}}}})


def test_images_are_read_at_16_px_unless_a_size_is_given():
    for name, (store, wanted) in itertools.product(["pixelcnn", "pixelrnn"], [(32, 16), (96, 16), (12, 12)]):
        assert method_config(name, {}).resolved_views(store).size == wanted
        assert method_config(name, {"views": {"size": 32}}).resolved_views(store).size == 32


def test_a_batch_of_one_channel_or_three_needs_no_other_setting(digits):
    loop = small_loop(small_config("pixelcnn"), digits)
    images = loop.feed.batches(0, 8)[0].views["global"]
    assert images.shape[2] == 1
    assert loop.method.loss(Batch({"global": images}, {}, torch.arange(16)), CLOCK).loss.isfinite()
