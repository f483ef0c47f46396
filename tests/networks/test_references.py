"""Our encoders against torchvision's ResNet, loops and arithmetic; the names under which weights are stored."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.decoder import TokenDecoder
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.networks.vit import ViT


def build(name: str, channels: int = 3, size: int = 32, **options: object):
    return build_encoder(BackboneConfig(name=name, **options), channels, size)


@pytest.mark.parametrize(("name", "theirs"), [("resnet18", resnet18), ("resnet50", resnet50)])
def test_with_the_large_stem_it_is_torchvisions_resnet(name, theirs):
    torch.manual_seed(0)
    ours, reference = build(name, stem="imagenet"), theirs(weights=None)
    reference.fc = nn.Identity()
    ours.set_statistics([0.0] * 3, [1.0] * 3)
    values = [value for key, value in ours.state_dict().items() if key not in ("mean", "std")]
    reference.load_state_dict(dict(zip(reference.state_dict(), values, strict=True)))
    ours, reference, images = ours.double(), reference.double(), torch.rand(3, 3, 64, 64, dtype=torch.float64)
    for mode in (True, False):
        with torch.no_grad():
            torch.testing.assert_close(ours.train(mode)(images), reference.train(mode)(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["resnet_small", "resnet18", "resnet50"])
def test_stages_are_the_pooled_maps_and_the_last_is_the_representation(name):
    encoder, images = build(name, width=0.25).eval(), torch.rand(2, 3, 32, 32)
    maps: list[torch.Tensor] = []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda _m, _i, out: maps.append(out))
    with torch.no_grad():
        stages = encoder.stages(images)
        assert list(stages) == ["layer1", "layer2", "layer3", "layer4"]
        for pooled, whole in zip(stages.values(), maps, strict=True):
            torch.testing.assert_close(pooled, whole.mean((2, 3)))
        torch.testing.assert_close(encoder(images), encoder.map(images).mean((2, 3)))
        torch.testing.assert_close(stages["layer4"], encoder(images))


@pytest.mark.parametrize(
    ("name", "stem", "size", "side"),
    [("resnet18", "small", 32, 4), ("resnet18", "imagenet", 64, 2), ("resnet_small", "small", 32, 2), ("vit_tiny", "auto", 32, 8)],
)
def test_sides_of_the_last_map(name, stem, size, side):
    encoder = build(name, size=size, stem=stem, **({"depth": 1} if name.startswith("vit") else {"width": 0.25})).eval()
    with torch.no_grad():
        assert encoder.map(torch.rand(1, 3, size, size)).shape == (1, encoder.dim, side, side)


def test_names_of_stored_weights():
    """Renaming a parameter makes every stored model unreadable: then raise schema_version."""
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    resnet = {"mean", "std", "stem.0.weight", *(f"stem.1.{n}" for n in norm)}
    for layer in range(4):
        block = f"layers.{layer}.0"
        resnet |= {f"{block}.conv{k}.weight" for k in (1, 2)} | {f"{block}.bn{k}.{n}" for k in (1, 2) for n in norm}
        resnet |= {f"{block}.downsample.0.weight", *(f"{block}.downsample.1.{n}" for n in norm)}
    assert set(build("resnet_small").state_dict()) == resnet
    inside = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    vit = {f"blocks.{k}.{part}.{n}" for k in (0, 1) for part in inside for n in ("weight", "bias")}
    vit |= {"mean", "std", "cls_token", "norm.weight", "norm.bias", "patch_embed.weight", "patch_embed.bias"}
    assert set(build("vit_mini", depth=2).state_dict()) == vit


def test_a_vit_sees_places_by_positions_alone():
    """Blocks do not care for the order of tokens; positions are what tells two places apart."""
    torch.manual_seed(0)
    encoder = ViT(1, 24, 2, 3, 4).eval()
    tokens, order = torch.randn(2, 9, 24), torch.randperm(9)
    with torch.no_grad():
        straight, mixed = encoder.encode_tokens(tokens)[-1], encoder.encode_tokens(tokens[:, order])[-1]
        torch.testing.assert_close(mixed[:, 1:], straight[:, 1:][:, order], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mixed[:, 0], straight[:, 0], rtol=1e-4, atol=1e-5)
        gray = torch.full((1, 1, 8, 12), 0.5)
        added = encoder.embed(gray) - sincos_positions(24, 2, 3)
        torch.testing.assert_close(added, added[:, :1].expand(-1, 6, -1))
        assert encoder.map(gray).shape == (1, 24, 2, 3)


def test_a_vits_stages_are_its_blocks_and_only_the_last_is_normed():
    torch.manual_seed(0)
    encoder = ViT(3, 24, 3, 3, 4).eval()
    encoder.norm.weight.data.fill_(3.0)
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        x = torch.cat([encoder.cls_token.expand(2, -1, -1), encoder.embed(images)], 1)
        stages = encoder.stages(images)
        assert list(stages) == ["block1", "block2", "block3"]
        for k, block in enumerate(encoder.blocks, start=1):
            x = block(x)
            expected = (encoder.norm(x) if k == 3 else x)[:, 1:].mean(1)
            torch.testing.assert_close(stages[f"block{k}"], expected)
        torch.testing.assert_close(stages["block3"], encoder(images))


def test_the_decoder_puts_every_token_in_its_place():
    """Without blocks a place depends on its own token alone: loops over the grid."""
    torch.manual_seed(0)
    decoder = TokenDecoder(encoder_dim=6, dim=8, depth=0, heads=2, out_dim=5)
    nn.init.normal_(decoder.head.bias)
    visible, restore = torch.randn(2, 1 + 2, 6), torch.tensor([[2, 0, 3, 1, 5, 4], [0, 1, 2, 3, 4, 5]])
    positions = sincos_positions(8, 2, 3)
    with torch.no_grad():
        found = decoder(visible, restore, (2, 3))
        assert found.shape == (2, 6, 5)
        for b in range(2):
            for place in range(6):
                source = int(restore[b, place])
                token = decoder.embed(visible[b, 1 + source]) if source < 2 else decoder.mask_token[0, 0]
                torch.testing.assert_close(found[b, place], decoder.head(decoder.norm(token + positions[place])))


@pytest.mark.parametrize("last_norm", [True, False])
def test_an_mlp_is_its_layers_in_order(last_norm):
    torch.manual_seed(0)
    head, x = mlp([5, 9, 7, 3], last_norm=last_norm), torch.randn(16, 5)
    names = re.sub(r"\W+", " ", " ".join(type(layer).__name__ for layer in head)).split()
    assert names == ["Linear", "BatchNorm", "ReLU"] * 2 + ["Linear", "BatchNorm"][: 1 + last_norm]
    weights = [layer.weight for layer in head if isinstance(layer, nn.Linear)]
    z = x
    for k, weight in enumerate(weights):
        z = z @ weight.T
        if k < 2 or last_norm:
            z = (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()
        if k < 2:
            z = z.clamp(min=0)
    if not last_norm:
        z = z + head[-1].bias
    torch.testing.assert_close(head(x), z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_on_one_rank_is_torchs_in_both_modes(training, momentum):
    torch.manual_seed(0)
    ours, theirs = (kind(4, momentum=momentum).double() for kind in (BatchNorm, nn.BatchNorm2d))
    for _ in range(3):
        x = torch.randn(6, 4, 3, 2, dtype=torch.float64) * 3 + 1
        ours(x), theirs(x)
    x = x.requires_grad_()
    (mine,), (other,) = (torch.autograd.grad(n.train(training)(x).pow(3).sum(), x) for n in (ours, theirs))
    assert torch.equal(mine, other)
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
