"""ConvMAE: hidden places leak nowhere, at any scale, and the mask is one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.masked_pixels import masked_patch_loss, normalize_patches
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.networks.patches import patchify
from ssl_pipelines.views.masks import draw_masking

CLOCK = Clock(0, 8, 0)
STRIDES = pytest.mark.parametrize("strides", [[2, 2, 1], [1, 2, 2], [2, 1, 2], [4, 1, 1]])


def ready(store, **own):
    loop = small_loop(small_config("convmae", methods={"convmae": own}), store)
    method, [batch] = loop.method.double().eval(), loop.feed.batches(0, 8)
    images = batch.views["global"][0].double()
    torch.manual_seed(1)
    visible, _, mask = draw_masking(images, 16, 0.75)
    pixels = mask.view(-1, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)  # (B, 1, 16, 16)
    return method, batch, images, visible, mask, pixels


def masks_given(method, images, visible, mask):
    """What the encoder's two stages are told to hide."""
    seen, inner = [], method.encoder.maps
    method.encoder.maps = lambda x, masks: seen.append(masks) or inner(x, masks)
    try:
        method.encode_visible(images, visible, mask)
    finally:
        del method.encoder.maps
    return seen[0]


@STRIDES
def test_hidden_pixels_change_no_visible_token_nor_a_visible_place_of_either_stage(digits, strides):
    """Scribbles on what is hidden, all places compared bit for bit."""
    method, _, images, visible, mask, pixels = ready(digits, strides=strides)
    scribbled = images + pixels * torch.rand_like(images)
    masks = masks_given(method, images, visible, mask)
    with torch.no_grad():
        assert torch.equal(method.encode_visible(images, visible, mask), method.encode_visible(scribbled, visible, mask))
        for before, after, hidden in zip(method.encoder.maps(images, masks), method.encoder.maps(scribbled, masks), [*masks, None]):
            hidden = mask == 1 if hidden is None else hidden == 1
            assert torch.equal(before[~hidden], after[~hidden])
            assert not torch.equal(before[hidden], after[hidden]), "hidden places go on alone, they are not emptied"


@STRIDES
def test_the_gradient_at_hidden_pixels_is_exactly_zero_and_elsewhere_it_is_not(digits, strides):
    method, _, images, visible, mask, pixels = ready(digits, strides=strides)
    images = images.requires_grad_()
    tokens = method.encode_visible(images, visible, mask)
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert images.grad[pixels.expand_as(images) == 1].abs().max() == 0
    assert (images.grad[pixels.expand_as(images) == 0] != 0).all()


def test_an_unmasked_convolution_would_leak(digits):
    """The check above can fail: the same network that is told of no mask."""
    method, _, images, visible, mask, pixels = ready(digits)
    scribbled = images + pixels * torch.rand_like(images)
    nothing = torch.zeros_like(mask)
    with torch.no_grad():
        assert not torch.equal(method.encode_visible(images, visible, nothing), method.encode_visible(scribbled, visible, nothing))


@STRIDES
def test_both_stages_hide_the_same_pixels(digits, strides):
    method, _, images, visible, mask, pixels = ready(digits, strides=strides)
    masks = masks_given(method, images, visible, mask)
    for stage, step in zip(masks, (strides[0], strides[0] * strides[1])):
        assert stage.shape[1] == 16 // step
        assert torch.equal(stage.repeat_interleave(step, 1).repeat_interleave(step, 2), pixels[:, 0])


def test_where_nothing_is_hidden_it_is_the_unmasked_network_with_both_maps_added_before_the_norm(digits):
    method, _, images, *_ = ready(digits)
    everything, nothing = torch.arange(16).expand(len(images), -1), torch.zeros(len(images), 16)
    with torch.no_grad():
        first, second, tokens = method.encoder.maps(images)
        x = method.encoder.transform(tokens)[-1]
        for layer, stage, side in zip(method.fusion, (first, second), (2, 1)):  # convolutions whose kernel is their stride
            weight = layer.weight.view(method.encoder.dim, side, side, -1).permute(0, 3, 1, 2)
            fused = F.conv2d(stage.permute(0, 3, 1, 2), weight, layer.bias, stride=side)
            x = x + fused.flatten(2).transpose(1, 2)
        torch.testing.assert_close(method.encode_visible(images, everything, nothing), method.norm(x))


def test_the_loss_is_maes_on_the_same_targets(digits):
    method, batch, images, *_ = ready(digits)
    torch.manual_seed(5)
    prediction, _, mask = method.reconstruct(images)
    target = normalize_patches(patchify((images - method.encoder.mean) / method.encoder.std, 4))
    batch.views["global"] = images.unsqueeze(0)
    torch.manual_seed(5)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(masked_patch_loss(prediction, target, mask).item())
    assert mask.sum(1).tolist() == [12.0] * len(images)


def test_the_transformer_sees_visible_tokens_alone_and_no_class_token(digits):
    method, _, images, *_ = ready(digits)
    seen = []
    method.encoder.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    method.reconstruct(images)
    assert seen == [4]
    assert not [name for name, _ in method.named_parameters() if "cls" in name]


def test_pictures_show_masked_input_reconstruction_and_original(digits):
    method, batch, images, *_ = ready(digits)
    batch.views["global"] = images.unsqueeze(0)
    with torch.no_grad():
        masked, filled, original = method.pictures(batch)["reconstructions"].unflatten(0, (-1, 3)).unbind(1)
    assert torch.equal(original, images[:8])
    shown = (masked == original).all(1)
    torch.testing.assert_close(filled.permute(0, 2, 3, 1)[shown], original.permute(0, 2, 3, 1)[shown])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"convmae": {"strides": [2, 2, 2]}}}, r"strides=\[2, 2, 2\] and backbone.patch_size=4"),
        ({"methods": {"convmae": {"strides": [3, 1, 1]}}}, r"methods.convmae.strides"),
        ({"methods": {"convmae": {"kernel": 4}}}, r"methods.convmae.kernel=4"),
        ({"backbone": {"positions": "relative"}}, r"backbone.positions='relative' needs every patch"),
        ({"backbone": {"name": "resnet_small", "depth": None}}, r"needs a ViT"),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        small_config("convmae", **changes)
