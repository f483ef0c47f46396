"""What is particular to MP3."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.pretext.mp3 import claimed_by
from ssl_pipelines.methods.registry import method_config, resolved_backbone
from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    """16 patches an image."""
    loop = small_loop(small_config("mp3", methods={"mp3": block}), store)
    return loop.method.eval(), loop.feed.batches(0, 8)[0]


def patch_of(images: torch.Tensor, t: int) -> torch.Tensor:
    """A view of patch t of 4 px, row-major, of 16-px images."""
    return images[..., 4 * (t // 4) : 4 * (t // 4) + 4, 4 * (t % 4) : 4 * (t % 4) + 4]


def test_a_patch_outside_the_context_is_seen_by_none_but_itself(digits):
    method, batch = ready(digits)
    images = batch.views["global"][0][:4]
    context = method.draw_context(images)
    logits = method.locate(images, context)
    for t in range(16):
        scribbled = images.clone()
        patch_of(scribbled, t).copy_(torch.rand(4, 1, 4, 4))
        changed = (method.locate(scribbled, context) != logits).any(2)  # (B, T)
        for b in range(4):
            wanted = [True] * 16 if context[b, t] else [u == t for u in range(16)]
            assert changed[b].tolist() == wanted


def test_keys_and_values_of_every_layer_are_those_of_the_context(digits):
    """Attention by loops in float64, each query over the keys and values of the context; every block from the one before."""
    method, batch = ready(digits, mask_fraction=0.7)
    method.double()
    images = batch.views["global"][0][:2].double()
    context = method.draw_context(images)
    assert context.sum(1).tolist() == [4, 4]
    x = method.encoder.embed(images).detach()
    for block, found in zip(method.encoder.blocks, method.encoder.encode_tokens(x, context), strict=True):
        attention, heads = block.attn, block.attn.num_heads
        q, k, v = attention.qkv(block.norm1(x)).detach().unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).numpy()
        out = np.zeros_like(q)
        for b in range(2):
            keys = [t for t in range(16) if context[b, t]]
            for h in range(heads):
                for t in range(16):
                    weights = np.exp([q[b, h, t] @ k[b, h, u] / math.sqrt(q.shape[-1]) for u in keys])
                    out[b, h, t] = sum(w * v[b, h, u] for w, u in zip(weights / weights.sum(), keys, strict=True))
        x = x + attention.proj(torch.from_numpy(out).transpose(1, 2).flatten(2))
        x = (x + block.mlp(block.norm2(x))).detach()
        last = block is method.encoder.blocks[-1]
        torch.testing.assert_close(found, method.encoder.norm(x) if last else x, rtol=1e-9, atol=1e-9)


def test_nothing_in_the_encoder_knows_a_position(digits):
    """Patches in another order, with their context: the logits come in that order."""
    method, batch = ready(digits)
    method.double()
    images = batch.views["global"][0].double()
    order = torch.from_numpy(np.random.default_rng(0).permutation(16))
    shuffled = images.clone()
    for here, there in enumerate(order.tolist()):
        patch_of(shuffled, here).copy_(patch_of(images, there))
    context = method.draw_context(images)
    torch.testing.assert_close(method.locate(shuffled, context[:, order]), method.locate(images, context)[:, order])
    torch.testing.assert_close(method.encode(shuffled), method.encode(images))
    assert not torch.allclose(method.finetune_features(shuffled), method.finetune_features(images))


def test_every_patch_is_classified_and_counts_alike(digits):
    method, batch = ready(digits)
    method.double()
    images = batch.views["global"].double()
    torch.manual_seed(2)
    output = method.loss(Batch({"global": images}, {}, batch.ids), CLOCK)
    torch.manual_seed(2)
    logits = method.locate(images[0], method.draw_context(images[0])).detach().numpy()
    terms, right = [], []
    for row in logits:
        for t in range(16):
            terms.append(np.log(np.exp(row[t]).sum()) - row[t, t])
            right.append(row[t].argmax() == t)
    assert len(terms) == len(images[0]) * 16
    assert output.loss.item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert output.metrics["accuracy"].item() == pytest.approx(np.mean(right))


def test_at_uniform_logits_the_loss_is_the_logarithm_of_the_places(digits):
    method, batch = ready(digits)
    for parameter in method.classifier.parameters():
        torch.nn.init.zeros_(parameter)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(math.log(16), rel=1e-6)


def test_with_nothing_masked_it_is_plain_attention(digits):
    method, batch = ready(digits, mask_fraction=0.0)
    images = batch.views["global"][0]
    context = method.draw_context(images)
    assert context.all()
    tokens = method.encoder.embed(images)
    torch.testing.assert_close(method.encoder.encode_tokens(tokens, context)[-1], method.encoder.encode_tokens(tokens)[-1])


def test_contexts_are_of_one_size_and_differ_between_images(digits):
    method, batch = ready(digits, mask_fraction=0.75)
    context = method.draw_context(batch.views["global"][0])
    assert context.sum(1).tolist() == [4] * len(context)
    assert len({tuple(row) for row in context.tolist()}) > len(context) // 2


def test_flat_patches_are_left_out_of_the_textured_accuracy(digits):
    method, batch = ready(digits)
    images = torch.zeros_like(batch.views["global"])
    images[..., :4, :4] = torch.rand(4, 4)
    torch.nn.init.zeros_(method.classifier.weight)
    with torch.no_grad():
        method.classifier.bias.copy_(torch.arange(16) == 0)
    metrics = method.loss(Batch({"global": images}, {}, batch.ids), CLOCK).metrics
    assert metrics["accuracy"].item() == pytest.approx(1 / 16)
    assert metrics["accuracy_textured"].item() == 1


def test_a_flat_patch_of_any_color_is_flat(photos):
    loop = small_loop(small_config("mp3"), photos)
    method, batch = loop.method, loop.feed.batches(0, 8)[0]
    images = torch.tensor([0.9, 0.1, 0.5]).view(3, 1, 1).expand(batch.views["global"].shape).clone()
    images[:, :, 2, :4, :4] = torch.rand(4, 4)  # one channel of the first patch
    torch.nn.init.zeros_(method.classifier.weight)
    with torch.no_grad():
        method.classifier.bias.copy_(torch.arange(64) == 0)
    assert method.loss(Batch({"global": images}, {}, batch.ids), CLOCK).metrics["accuracy_textured"].item() == 1


def test_fine_tuning_may_tell_positions(digits):
    images = torch.rand(2, 1, 16, 16)
    method, _ = ready(digits)
    tokens = method.encoder.embed(images) + sincos_positions(method.encoder.dim, 4, 4)
    torch.testing.assert_close(method.finetune_features(images), method.encoder.encode_tokens(tokens)[-1].mean(1))
    method, _ = ready(digits, finetune_positions=False)
    torch.testing.assert_close(method.finetune_features(images), method.encode(images))


def test_a_place_goes_to_the_surest_patch_that_claims_it():
    logits = torch.zeros(1, 3, 3)
    logits[0] = torch.tensor([[0.0, 2.0, 0.0], [0.0, 5.0, 0.0], [9.0, 0.0, 0.0]])
    patch, filled = claimed_by(logits)
    assert filled.tolist() == [[True, True, False]]
    assert patch[0, :2].tolist() == [2, 1]


def test_pictures_of_a_solver_show_the_image_again(digits):
    method, batch = ready(digits)
    method.locate = lambda images, context: 9 * torch.eye(16).expand(len(images), 16, 16)
    seen, solved, original = method.pictures(batch)["positions"].unflatten(0, (8, 3)).unbind(1)
    assert torch.equal(original, batch.views["global"][0][:8])
    assert torch.equal(solved, original)
    assert not torch.equal(seen, original)
    assert ((seen == original) | (seen == 0.5)).all()


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="needs a ViT"):
        resolved_backbone("mp3", {"name": "resnet18"})
    with pytest.raises(InputError, match=r"backbone\.positions='relative' would be ignored"):
        method_config("mp3", {}).check_run(64, resolved_backbone("mp3", {"positions": "relative"}))
    with pytest.raises(InputError, match="mask_fraction"):
        method_config("mp3", {"mask_fraction": 1.0})
