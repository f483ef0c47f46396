"""What is particular to colorization."""

from __future__ import annotations

import math

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
    loop = small_loop(small_config("colorization", methods={"colorization": block}), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def test_the_loss_equals_the_loops(photos):
    """Cells of 4 x 4 px, their five nearest bins, the weight of the nearest, from pixels and logits alone."""
    method, batch = ready(photos)
    method.double().eval()
    method.class_weights.copy_(torch.rand(313, generator=torch.Generator().manual_seed(0)) + 0.5)
    images = batch.views["global"][0, :2].double()
    found = method.loss(Batch({"global": images.unsqueeze(0)}, {}, batch.ids[:2]), CLOCK).loss.item()
    lab, centers, total = rgb_to_lab(images).numpy(), ab_bins().numpy(), 0.0
    with torch.no_grad():
        logits = method.head(method.encoder.map(torch.tensor(lab[:, :1]))).numpy()
    assert logits.shape == (2, 313, 8, 8)
    for i in range(2):
        for y in range(8):
            for x in range(8):
                cell = lab[i, 1:, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean((1, 2))
                square = ((centers - cell) ** 2).sum(1)
                order = np.argsort(square)[:5]
                code = np.exp(-square[order] / 50) / np.exp(-square[order] / 50).sum()
                row = logits[i, :, y, x] - np.log(np.exp(logits[i, :, y, x]).sum())
                total -= float(method.class_weights[order[0]]) * (code * row[order]).sum() / 128
    assert found == pytest.approx(total, rel=1e-9)


def test_the_prior_is_counted_on_images_and_rare_colors_weigh_more(photos):
    method, _ = ready(photos)
    assert torch.equal(method.class_weights, torch.ones(313))
    gray, red = torch.full((9, 32, 32, 3), 128, dtype=torch.uint8), torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    red[..., 0] = 255
    method.prepare(torch.cat([gray, red]))
    at = {(int(a), int(b)): k for k, (a, b) in enumerate(ab_bins())}
    weights, centers = method.class_weights.double().numpy(), ab_bins().numpy()
    prior = np.zeros(313)
    for share, center in ((0.9, (0, 0)), (0.1, (80, 70))):  # red is a = 80.1, b = 67.2
        kernel = np.exp(-((centers - np.array(center)) ** 2).sum(1) / 50)
        prior += share * kernel / kernel.sum()
    raw = 1 / (0.5 * prior + 0.5 / 313)
    np.testing.assert_allclose(weights, raw / (raw * prior).sum(), rtol=1e-4)
    assert weights[at[0, 0]] < weights[at[80, 70]] < weights[at[-80, 80]]


def test_only_lightness_is_seen(photos):
    method, batch = ready(photos)
    method.eval()
    images = batch.views["global"][0]
    light = rgb_to_lab(images)[:, :1]
    torch.testing.assert_close(method.encode(images), method.encoder(light))
    assert method.encoder.in_channels == 1
    torch.testing.assert_close(method.encoder.normalize(light), (light - 50) / 25)
    luminance = (rgb_to_lab(images)[:, 0] + 16) / 116  # gray of the same lightness, by the inverse of L and of sRGB
    y = torch.where(luminance**3 > 0.008856, luminance**3, (luminance - 16 / 116) / 7.787)
    gray = torch.where(y > 0.0031308, 1.055 * y.clamp(min=0) ** (1 / 2.4) - 0.055, 12.92 * y).unsqueeze(1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(method.encode(gray), method.encode(images), rtol=1e-3, atol=1e-3)


def test_gray_images_do_not_count(photos):
    method, batch = ready(photos)
    images = batch.views["global"][0].clone()
    images[:8] = images[:8].mean(1, keepdim=True)
    output = method.loss(Batch({"global": images.unsqueeze(0)}, {}, batch.ids), CLOCK)
    assert output.metrics["colorful"].item() == pytest.approx(0.5)
    gray = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert method.loss(Batch({"global": gray.unsqueeze(0)}, {}, batch.ids), CLOCK).loss.item() == 0
    everything, _ = ready(photos, gray_threshold=0.0)
    assert everything.loss(Batch({"global": gray.unsqueeze(0)}, {}, batch.ids), CLOCK).metrics["colorful"].item() == 1


def test_a_head_that_knows_the_color_paints_the_original(photos):
    method, batch = ready(photos, upsampling=8)
    method.eval()
    images = torch.rand(8, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 32, 32)
    ab = rgb_to_lab(images)[:, 1:, :1, :1]
    square = (ab.permute(0, 2, 3, 1).unsqueeze(3) - method.bins).square().sum(-1)  # (8, 1, 1, Q)
    method.head.forward = lambda x: (-square * 1e3).permute(0, 3, 1, 2).expand(-1, -1, 32, 32)
    rows = method.pictures(Batch({"global": images.unsqueeze(0)}, {}, batch.ids[:8]))["colorizations"].unflatten(0, (8, 3))
    gray, painted, original = rows.unbind(1)
    assert torch.equal(original, images)
    assert gray.std(1).max() < 1e-2
    found, true = rgb_to_lab(painted), rgb_to_lab(images)
    inside = ((painted > 0.01) & (painted < 0.99)).all(1)  # elsewhere the bin's center is outside of the gamut
    assert inside.float().mean() > 0.5
    assert (found - true)[:, 0][inside].abs().max() < 0.5
    assert (found - true)[:, 1:].transpose(0, 1)[:, inside].abs().max() <= 5.1, "half a bin"


def test_a_few_steps_learn(photos):
    loop = small_loop(small_config("colorization", pretrain={"images_seen": 16 * 30, "optimizer": {"lr": 0.1}}), photos)
    loop.method.prepare(torch.from_numpy(Store.open(photos).gather(loop.feed.ids).fields["image"]))
    losses = [loop.run_step(step).loss.item() for step in range(30)]
    assert losses[0] == pytest.approx(math.log(313), abs=4)
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:3])


def test_what_does_not_fit_is_refused(digits):
    with pytest.raises(InputError, match="needs color images"):
        small_method(small_config("colorization"), Store.open(digits))
    for block in ({"neighbors": 314}, {"prior_mix": 0}, {"upsampling": 3}, {"temperature": 1.5}, {"sigma": 0}):
        with pytest.raises(InputError, match=next(iter(block))):
            small_config("colorization", methods={"colorization": block})
