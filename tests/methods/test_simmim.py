"""SimMIM: squares hidden within the encoder, with a ViT and with Swin."""

from __future__ import annotations

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.masked_l1 import masked_l1
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.masked.simmim import SimMIM, stride_of
from ssl_pipelines.networks.relative import RelativeViT
from ssl_pipelines.networks.timm_encoder import TimmEncoder
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)
SWIN = {"name": "swin_tiny_patch4_window7_224", "width": 1.0, "depth": None}


def ready(store, **changes):
    loop = small_loop(small_config("simmim", **changes), store)
    [batch] = loop.feed.batches(0, 8)
    return loop.method.eval(), batch, batch.views["global"][0]


def squares(mask: torch.Tensor, side: int) -> torch.Tensor:
    """(B, U) -> pixels (B, 1, S, S), 8 px a square."""
    return mask.view(-1, 1, side, side).repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_its_vit_has_relative_positions_and_drop_path(digits):
    method, *_ = ready(digits)
    assert isinstance(method.encoder, RelativeViT)
    assert method.encoder.blocks[-1].drop_path1.rate == pytest.approx(0.1)


def test_its_branches_begin_small_and_its_table_at_zero(digits):
    encoder = ready(digits)[0].encoder
    assert not encoder.bias.any()
    assert encoder.patch_embed.weight.abs().max() <= 0.02
    for depth, block in enumerate(encoder.blocks, start=1):
        assert block.mlp.fc2.weight.abs().max() <= 0.02 / (2 * depth) ** 0.5 * (1 + 1e-6)
        assert block.ls1.gamma.unique().tolist() == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("size", "patch", "stride", "unit"),
    [
        (32, 4, 4, 8),
        (28, 4, 4, 4),
        (96, 8, 8, 16),
        (224, 16, 16, 32),
        (8, 4, 4, 4),
        (224, 4, 32, 32),
        (32, 4, 32, 4),
        (96, 4, 32, 12),
    ],
)
def test_squares_follow_patches_and_image(size, patch, stride, unit):
    assert SimMIM.Config().unit_of(size, patch, stride) == unit


def test_the_loss_is_that_of_the_hidden_squares(digits):
    method, batch, images = ready(digits)
    torch.manual_seed(0)
    prediction, mask = method.reconstruct(images)
    assert mask.sum(1).tolist() == [3.0] * len(images)  # 60 % of four squares of 8 px, rounded up
    target = (images - method.encoder.mean) / method.encoder.std
    torch.manual_seed(0)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(masked_l1(prediction, target, squares(mask, 2)).item())


@pytest.mark.parametrize("backbone", [{}, {"positions": "sincos"}])
def test_all_tokens_enter_and_hidden_pixels_do_not(digits, backbone):
    method, _, images = ready(digits, backbone=backbone)
    lengths = []
    method.encoder.blocks[0].register_forward_hook(lambda module, inputs, output: lengths.append(output.shape[1]))
    with torch.no_grad():
        torch.manual_seed(0)
        before, mask = method.reconstruct(images)
        noise = torch.rand_like(images)
        torch.manual_seed(0)
        hidden, _ = method.reconstruct(images + squares(mask, 2) * noise)
        torch.manual_seed(0)
        visible, _ = method.reconstruct(images + (1 - squares(mask, 2)) * noise)
    assert lengths == [1 + 16] * 3
    assert torch.equal(before, hidden)
    assert not torch.equal(before, visible)


def test_a_place_of_the_map_predicts_its_own_square_of_pixels(digits):
    method, _, images = ready(digits)
    torch.manual_seed(0)
    with torch.no_grad():
        features, inner = [], method.encoder.map
        method.encoder.map = lambda x: features.append(inner(x)) or features[0]
        prediction, _ = method.reconstruct(images)
        weight, bias = method.head.weight[:, :, 0, 0], method.head.bias
        for y, x in ((0, 0), (3, 9), (14, 5)):
            own = features[0][:, :, y // 4, x // 4] @ weight[y % 4 * 4 + x % 4] + bias[y % 4 * 4 + x % 4]
            torch.testing.assert_close(prediction[:, 0, y, x], own, rtol=1e-4, atol=1e-5)


def test_evaluation_sees_the_whole_image(digits):
    method, _, images = ready(digits)
    tokens = method.encoder.tokens(images)
    torch.testing.assert_close(method.encode(images), tokens.mean(1))


def test_pictures_show_masked_input_reconstruction_and_original(digits):
    method, batch, images = ready(digits)
    masked, filled, original = method.pictures(batch)["reconstructions"].unflatten(0, (-1, 3)).unbind(1)
    assert torch.equal(original, images[:8])
    shown = masked == original
    torch.testing.assert_close(filled[shown], original[shown], rtol=1e-4, atol=1e-5)
    assert 0.2 < shown.float().mean() < 0.9


def test_it_learns(digits):
    loop = small_loop(small_config("simmim", pretrain={"images_seen": 1600, "optimizer": {"lr": 8e-3}}), digits)
    losses = [loop.run_step(step).loss.item() for step in range(60)]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_with_swin_at_32_px_one_place_predicts_the_image_and_hidden_pixels_do_not_enter(photos):
    method, _, images = ready(photos, backbone=SWIN, methods={"simmim": {"unit": 8}})
    images = images[:2]
    assert method.stride == 32
    assert method.head.out_channels == 3 * 32 * 32
    assert method.mask_token.patch_size == 4
    with torch.no_grad():
        torch.manual_seed(0)
        before, mask = method.reconstruct(images)
        scribbled = images + squares(mask, 4) * torch.rand_like(images)
        torch.manual_seed(0)
        hidden, _ = method.reconstruct(scribbled)
    assert before.shape == images.shape
    assert mask.sum(1).tolist() == [10.0] * 2
    assert torch.equal(before, hidden)
    assert method.encode(images).shape == (2, 768)


def test_with_swin_every_parameter_gets_a_gradient(photos):
    method, batch, images = ready(photos, backbone=SWIN)
    method.train().loss(Batch({"global": images[:2].unsqueeze(0)}, {}, batch.ids[:2]), CLOCK).loss.backward()
    # In windows of one place a softmax has nothing to weigh: the last stage's queries, keys and biases idle at 32 px.
    idle = {key for key, value in method.named_parameters() if value.grad is None or not value.grad.any()}
    assert all(key.startswith("encoder.model.layers.3") and "attn" in key for key in idle), idle


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"simmim": {"unit": 6}}}, r"methods.simmim.unit=6: allowed are multiples of the patch size, 4 px"),
        (
            {"backbone": {"name": "resnet_small", "depth": None}},
            r"method='simmim' needs an encoder of patches, .*'resnet_small' is not one",
        ),
        ({"backbone": {"name": "unpadded_small", "depth": None}}, r"'unpadded_small' is not one"),
        ({"backbone": SWIN, "methods": {"simmim": {"layer_scale": 0.2}}}, r"layer_scale=0.2 is read by .* it would be ignored"),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        small_config("simmim", **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": {"patch_size": 16}}, r"backbone.patch_size=16 makes one patch of views of 16 px"),
        ({"methods": {"simmim": {"unit": 12}}}, r"unit=12: allowed are divisors of the view size 16, below it"),
        ({"methods": {"simmim": {"unit": 16}}}, r"unit=16: allowed are divisors of the view size 16, below it"),
        (
            {"backbone": {"name": "test_convnext", "width": 1.0, "depth": None}},
            r"'test_convnext' has no patches that could be hidden",
        ),
        (
            {
                "backbone": {"name": "test_vit", "width": 1.0, "depth": None},
                "methods": {"simmim": {"unit": 8, "views": {"size": 32}}},
            },
            "16 px",
        ),
    ],
)
def test_what_does_not_fit_the_images_is_refused(digits, changes, words):
    with pytest.raises(InputError, match=words):
        ready(digits, **changes)


def test_swins_padded_maps_are_refused():
    encoder = TimmEncoder(SWIN["name"], 3, 40, 0.0)
    with pytest.raises(
        InputError, match=r"pads views of 40 px on the way to places of 32 px; method='simmim' needs a multiple of 32"
    ):
        stride_of(encoder, 40)
