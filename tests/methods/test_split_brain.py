"""What is particular to split-brain autoencoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.views import Batch
from ssl_pipelines.views.ab_bins import ab_bins
from ssl_pipelines.views.lab import rgb_to_lab

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("split_brain", methods={"split_brain": block}, backbone={"width": 0.5}), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def test_the_loss_equals_the_loops(photos):
    """One-hot classes, all alike in weight: the nearest of 313 bins, and lightness by twos."""
    method, batch = ready(photos)
    method.double().eval()
    images = batch.views["global"][0, :2].double()
    output = method.loss(Batch({"global": images.unsqueeze(0)}, {}, batch.ids[:2]), CLOCK)
    lab, centers = rgb_to_lab(images).numpy(), ab_bins().numpy()
    with torch.no_grad():
        color, light = (x.numpy() for x in method.predict((torch.tensor(lab[:, :1]), torch.tensor(lab[:, 1:]))))
    assert (color.shape, light.shape) == ((2, 313, 8, 8), (2, 50, 8, 8))
    sums = np.zeros(2)
    for i in range(2):
        for y in range(8):
            for x in range(8):
                level, *ab = lab[i, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean((1, 2))
                classes = (int(((centers - ab) ** 2).sum(1).argmin()), min(49, int(level // 2)))
                for k, (logits, true) in enumerate(zip((color[i, :, y, x], light[i, :, y, x]), classes, strict=True)):
                    sums[k] += np.log(np.exp(logits).sum()) - logits[true]
    assert output.metrics["color"].item() == pytest.approx(sums[0] / 128, rel=1e-9)
    assert output.metrics["lightness"].item() == pytest.approx(sums[1] / 128, rel=1e-9)
    assert output.loss.item() == pytest.approx(sums.sum() / 128, rel=1e-9)


def test_the_halves_share_nothing(photos):
    method, batch = ready(photos)
    lightness, ab = rgb_to_lab(batch.views["global"][0]).split([1, 2], dim=1)
    for k, other in ((0, 1), (1, 0)):
        method.zero_grad()
        method.predict((lightness, ab))[k].square().mean().backward()
        assert all(parameter.grad is None for parameter in (*method.towers[other].parameters(), *method.heads[other].parameters()))
        assert all(parameter.grad is not None for parameter in (*method.towers[k].parameters(), *method.heads[k].parameters()))


def test_each_half_sees_its_own_channels(photos):
    method, batch = ready(photos)
    method.eval()
    images = batch.views["global"][0]
    gray = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    d = method.towers[0].dim
    z, of_gray = method.encode(images), method.encode(gray)
    assert of_gray[:, d:].std(0).max() < 1e-3, "gray has no color"
    assert of_gray[:, :d].std(0).max() > 1e-2
    torch.testing.assert_close(z[:, :d], method.towers[0](rgb_to_lab(images)[:, :1]))
    torch.testing.assert_close(z[:, d:], method.towers[1](rgb_to_lab(images)[:, 1:]))


def test_both_halves_together_are_as_wide_as_one_encoder(photos):
    method, batch = ready(photos)
    whole = small_loop(small_config("rotation", backbone={"width": 0.5}), photos).method
    assert method.dim == whole.dim == 2 * method.towers[0].dim
    images = batch.views["global"][0]
    for name, features in method.stages(images).items():
        assert features.shape == whole.encoder.stages(images)[name].shape, name


def test_pictures_are_rows_of_five(photos):
    method, batch = ready(photos)
    method.eval()
    shown = method.pictures(batch)["cross_channel"].unflatten(0, (8, 5))
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert torch.equal(shown[:, 4], batch.views["global"][0, :8])
    assert shown[:, [0, 3]].std(2).max() < 1e-2, "lightness alone"
    torch.testing.assert_close(
        rgb_to_lab(shown[:, 0]), rgb_to_lab(shown[:, 4]) * torch.tensor([1.0, 0, 0]).view(3, 1, 1), rtol=0, atol=0.3
    )


def test_an_encoder_of_one_width_cannot_be_halved(photos):
    with pytest.raises(InputError, match=r"backbone.name='test_resnet' has one width, and the method needs .* 0.5 times") as caught:
        small_method(
            small_config("split_brain", backbone={"name": "test_resnet", "width": 1.0, "output_stride": None}), Store.open(photos)
        )
    assert "\n" not in str(caught.value)


def test_gray_data_is_refused(digits):
    with pytest.raises(InputError, match="needs color images"):
        small_method(small_config("split_brain"), Store.open(digits))
