"""dVAE: the evidence lower bound, its schedules, and what of it makes tokens. Ramesh et al. 2021."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.generative.dvae import VALUES_A_CODE
from ssl_pipelines.methods.tokenizer import Tokenizer
from ssl_pipelines.training.model import init_from, save_weights


def ready(store, **changes):
    loop = small_loop(small_config("dvae", methods={"dvae": {"num_tokens": 16} | changes}), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def test_the_loss_is_the_bound_of_the_paper_by_loops(digits):
    loop, batch = ready(digits)
    method, clock = loop.method.double().eval(), Clock(3, 8, 0)
    images = batch.views["global"][0][:3].double()
    batch = type(batch)({"global": images.unsqueeze(0)}, {}, batch.ids[:3])
    torch.manual_seed(5)
    output = method.loss(batch, clock)
    torch.manual_seed(5)
    uniform = torch.rand(3, 16, 4, 4).double().numpy()
    with torch.no_grad():
        logits = method.to_logits(method.encoder.map(images)).numpy()
    t, beta = method.temperature(clock), method.kl_weight(clock)
    codes, kl = np.empty_like(logits), []
    for b, y, x in np.ndindex(3, 4, 4):
        powers = np.exp((logits[b, :, y, x] - np.log(-np.log(uniform[b, :, y, x]))) / t)
        codes[b, :, y, x] = powers / powers.sum()
        q = np.exp(logits[b, :, y, x]) / np.exp(logits[b, :, y, x]).sum()
        kl.append((q * np.log(q * 16)).sum())
    with torch.no_grad():
        maps = method.decoder(torch.tensor(codes)).numpy()
    surprise = []
    for b, y, x in np.ndindex(3, 16, 16):
        pixel = 0.8 * float(images[b, 0, y, x]) + 0.1
        mean, scale = maps[b, 0, y, x], np.exp(maps[b, 1, y, x])
        density = np.exp(-abs(np.log(pixel / (1 - pixel)) - mean) / scale) / (2 * scale * pixel * (1 - pixel))
        surprise.append(-np.log(density))
    assert beta > 0
    assert output.metrics["surprise"].item() == pytest.approx(np.mean(surprise), rel=1e-6)
    assert output.metrics["kl"].item() == pytest.approx(np.mean(kl), rel=1e-6)
    assert output.loss.item() == pytest.approx(np.mean(surprise) + beta / 192 * np.mean(kl), rel=1e-6)


def test_with_the_papers_sizes_its_weight_is_the_papers():
    """The whole bound over 3 x 256 x 256 values, the KL summed over 32 x 32 places."""
    places, values = 32 * 32, 3 * 256 * 256
    assert places / values == 1 / VALUES_A_CODE


def test_the_schedules_are_cosines(digits):
    method = ready(digits, kl_warmup_fraction=0.4, temperature_fraction=0.5)[0].method
    assert [method.kl_weight(Clock(step, 100, 0)) for step in (0, 20, 40, 90)] == pytest.approx([0, 3.3, 6.6, 6.6])
    assert [method.temperature(Clock(step, 100, 0)) for step in (0, 25, 50, 99)] == pytest.approx([1, 17 / 32, 1 / 16, 1 / 16])
    at_once = ready(digits, kl_warmup_fraction=0.0)[0].method
    assert at_once.kl_weight(Clock(0, 100, 0)) == 6.6


def test_what_is_kept_is_an_average_that_starts_short(digits):
    loop, batch = ready(digits)
    method = loop.method
    before = [p.clone() for p in method.average_decoder.parameters()]
    loop.run_step(0)
    for old, kept, now in zip(before, method.average_decoder.parameters(), method.decoder.parameters(), strict=True):
        torch.testing.assert_close(kept, 0.1 * old + 0.9 * now.detach(), rtol=1e-5, atol=1e-7)
    before = [p.clone() for p in method.average_encoder.parameters()]
    method.after_step([], Clock(5000, 10_000, 0))
    for old, kept, now in zip(before, method.average_encoder.parameters(), method.encoder.parameters(), strict=True):
        torch.testing.assert_close(kept, 0.99 * old + 0.01 * now.detach(), rtol=1e-5, atol=1e-7)
    for kept, now in zip(method.average_encoder.buffers(), method.encoder.buffers(), strict=True):
        assert torch.equal(kept, now)
    images = batch.views["global"][0]
    assert torch.equal(method.eval().encode(images), method.average_encoder(images))


def test_tokens_are_the_most_probable_codes_row_by_row(digits):
    loop, batch = ready(digits)
    method, images = loop.method.eval(), batch.views["global"][0]
    assert isinstance(method, Tokenizer)
    tokens = method.tokens(images)
    logits = method.average_to_logits(method.average_encoder.map(images))
    for b, y, x in ((0, 0, 1), (1, 2, 3), (3, 3, 0)):
        assert tokens[b, 4 * y + x] == logits[b, :, y, x].argmax()
    picture = method.picture_of(tokens)
    assert picture.shape == images.shape
    codes = torch.zeros(len(images), 16, 4, 4)
    for b, place in np.ndindex(*tokens.shape):
        codes[b, tokens[b, place], place // 4, place % 4] = 1
    middle = torch.sigmoid(method.average_decoder(codes)[:, :1])
    torch.testing.assert_close(picture, ((middle - 0.1) / 0.8).clamp(0, 1))
    assert method.tokens(torch.rand(2, 1, 24, 24)).shape == (2, 36), "any size that it divides"
    assert method.pictures(batch)["reconstructions"].shape == (16, 1, 16, 16)


def test_it_learns_to_draw_digits(digits):
    config = small_config(
        "dvae",
        backbone={"width": 0.5},
        pretrain={"images_seen": 16 * 80, "optimizer": {"lr": 3e-3}},
        methods={"dvae": {"num_tokens": 32}},
    )
    loop = small_loop(config, digits)
    results = [loop.run_step(step) for step in range(80)]
    first, last = (np.mean([float(r.metrics["surprise"]) for r in part]) for part in (results[:8], results[-8:]))
    assert last < first - 0.3
    batch = loop.feed.batches(0, 80)[0]
    images, drawn = batch.views["global"][0][:8], loop.method.eval().pictures(batch)["reconstructions"][1::2]
    error, flat = (drawn - images).square().mean(), (images.mean(0) - images).square().mean()
    assert error < flat


def test_the_average_encoder_is_what_is_stored_and_continued_from(digits, tmp_path):
    loop, _ = ready(digits)
    loop.run_step(0)
    save_weights(loop.method, tmp_path)
    assert {key.split(".")[0] for key in load_file(tmp_path / "encoder.safetensors")} == {"average_encoder"}
    other = ready(digits)[0].method
    init_from(other, str(tmp_path))
    for kept, now in zip(loop.method.average_encoder.parameters(), other.encoder.parameters(), strict=True):
        assert torch.equal(kept, now)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pixel_margin": 0.5}, r"methods\.dvae\.pixel_margin=0\.5"),
        ({"num_tokens": 1}, r"methods\.dvae\.num_tokens=1"),
        ({"temperature_end": 0.0}, r"methods\.dvae\.temperature_end=0"),
        ({"kl_wieght": 1.0}, "kl_weight"),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        small_config("dvae", methods={"dvae": changes})


def test_a_map_that_cannot_be_doubled_up_to_the_image_is_refused(digits):
    config = small_config("dvae", methods={"dvae": {"views": {"size": 12}}}, backbone={"output_stride": 8})
    with pytest.raises(InputError, match="the encoder's map has 2 places a side for views of 12 px; allowed are 1, 2, 4, 8"):
        small_loop(config, digits)
    assert math.log2(12 / 2) % 1
