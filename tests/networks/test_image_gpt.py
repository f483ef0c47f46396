"""Image GPT's network: what each place sees, its block by formula, and cached steps equal to the whole pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.networks.image_gpt import GPTBlock, ImageGPT, ScaleNorm

PLACES = 6


def network(causal: bool = True) -> ImageGPT:
    torch.manual_seed(0)
    net = ImageGPT(3, 8, 3, 2, PLACES, 5, causal=causal).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return net


def test_place_i_sees_exactly_the_tokens_before_it():
    net = network()
    tokens = torch.randint(0, 5, (1, PLACES))
    before = net.last(tokens)
    for j in range(PLACES):
        changed = tokens.clone()
        changed[0, j] = (tokens[0, j] + 1) % 5
        differs = (net.last(changed) - before).abs().sum(2)[0] > 1e-9
        assert differs.tolist() == [i > j for i in range(PLACES)]


def test_masked_content_has_no_influence_and_all_else_has():
    net = network(causal=False)
    tokens, mask = torch.randint(0, 5, (1, PLACES)), torch.tensor([[0, 1, 0, 0, 1, 0]])
    before = net.last(tokens, mask)
    for j in range(PLACES):
        changed = tokens.clone()
        changed[0, j] = (tokens[0, j] + 1) % 5
        differs = (net.last(changed, mask) - before).abs().sum(2)[0] > 1e-9
        assert differs.tolist() == [mask[0, j] == 0] * PLACES
    assert "start" not in dict(net.named_parameters())


def test_scale_norm_is_the_root_mean_square():
    x = np.random.default_rng(0).normal(size=(4, 7)) + 3
    norm = ScaleNorm(7).double()
    with torch.no_grad():
        norm.weight.copy_(torch.arange(7.0))
    wanted = [[v * k / np.sqrt(np.mean(row**2) + 1e-5) for k, v in enumerate(row)] for row in x]
    np.testing.assert_allclose(norm(torch.tensor(x)).detach().numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_a_block_equals_its_formula_in_loops(causal):
    torch.manual_seed(0)
    block = GPTBlock(4, 2, 1).double()
    x = torch.randn(1, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
        found, _ = block(x, causal)
    w = {name: value.detach().numpy() for name, value in block.named_parameters()}

    def norm(row, weight):
        return row / np.sqrt(np.mean(row**2) + 1e-5) * weight

    rows = x[0].numpy()
    qkv = np.array([w["qkv.weight"] @ norm(row, w["norm1.weight"]) for row in rows])  # (t, 12)
    mixed = np.zeros((3, 4))
    for head in range(2):
        q, k, v = (qkv[:, 4 * part + 2 * head : 4 * part + 2 * head + 2] for part in range(3))
        for i in range(3):
            seen = range(i + 1) if causal else range(3)
            scores = np.array([np.exp(q[i] @ k[j] / np.sqrt(2)) for j in seen])
            mixed[i, 2 * head : 2 * head + 2] = sum(s * v[j] for s, j in zip(scores / scores.sum(), seen))
    after = rows + mixed @ w["proj.weight"].T
    wide = np.array([w["widen.weight"] @ norm(row, w["norm2.weight"]) for row in after])
    wanted = after + (wide / (1 + np.exp(-1.702 * wide))) @ w["narrow.weight"].T
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-9)


def test_cached_steps_equal_the_whole_pass():
    net = network()
    tokens, caches = torch.randint(0, 5, (2, PLACES)), None
    with torch.no_grad():
        whole = net.last(tokens)
        for place in range(PLACES):
            x, caches = net.step(tokens[:, place - 1] if place else None, place, caches, 2)
            torch.testing.assert_close(x, whole[:, place], rtol=1e-10, atol=1e-12)


def test_tokens_are_the_nearest_colors_in_raster_order():
    net = network()
    net.palette.copy_(torch.tensor([[-1.0, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]]))
    images = torch.zeros(1, 3, 2, 3, dtype=torch.float64)
    images[0, 0, 0, 1] = 0.9  # red at (0, 1)
    images[0, 2, 1, 0] = 0.8  # blue at (1, 0)
    images[0, :, 1, 2] = 0.7  # light at (1, 2)
    tokens = net.tokens(images)
    assert tokens.tolist() == [[0, 1, 0, 3, 0, 4]]
    square = torch.tensor([[0, 1, 3, 4]])
    shown = net.to_pixels(square, 2)
    assert shown[0, :, 0, 1].tolist() == [1, 0, 0]
    assert shown[0, :, 1, 0].tolist() == [0, 0, 1]


def test_features_are_means_after_the_norm_of_the_next_block():
    net = network()
    images = torch.rand(2, 3, 2, 3, dtype=torch.float64)
    stages, hidden = net.stages(images), list(net.hidden(net.tokens(images)))
    assert list(stages) == ["block0", "block1", "block2", "block3"]
    torch.testing.assert_close(stages["block1"], net.blocks[1].norm1(hidden[1]).mean(1))
    torch.testing.assert_close(stages["block3"], net.last(net.tokens(images)).mean(1))
    assert net.middle == "block2"
    torch.testing.assert_close(net(images), stages["block2"])


def test_tokens_are_the_nearest_colors_in_half_precision_too():
    net = ImageGPT(3, 8, 1, 2, 64, 256, causal=True)
    net.palette.copy_(torch.rand(256, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    images = torch.rand(32, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    pixels = (images * 2 - 1).movedim(1, 3).flatten(1, 2).double()
    nearest = (pixels.unsqueeze(2) - net.palette.double()).square().sum(3).argmin(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.tokens(images), nearest)
