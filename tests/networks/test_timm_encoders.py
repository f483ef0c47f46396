"""timm's models behind our interface."""

from __future__ import annotations

import pytest
import timm
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.norm import BatchNorm

# name -> (dim, shape of the map)
MODELS = {"test_resnet": (96, (96, 1, 1)), "test_vit": (64, (64, 2, 2)), "test_mambaout": (256, (64, 1, 1))}


def build(name: str, channels: int = 3, size: int = 32, **options: float):
    return build_encoder(BackboneConfig(name=name, **options), channels, size).eval()


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("name", MODELS)
def test_shapes_and_stages(name, channels):
    encoder, images = build(name, channels), torch.rand(2, channels, 32, 32)
    with torch.no_grad():
        z, last, stages = encoder(images), encoder.map(images), encoder.stages(images)
    dim, shape = MODELS[name]
    assert z.shape == (2, dim)
    assert (encoder.dim, encoder.in_channels) == (dim, channels)
    assert last.shape == (2, *shape)
    assert list(stages) == ["final"]
    assert torch.equal(stages["final"], z)


@pytest.mark.parametrize("name", ["test_convnext", "test_vit"])
def test_it_is_timms_own_model_on_normalized_images(name):
    encoder, images = build(name), torch.rand(2, 3, 32, 32)
    encoder.set_statistics([0.1, 0.2, 0.3], [0.5, 0.25, 0.2])
    own = timm.create_model(name, num_classes=0, **({"img_size": 32} if name == "test_vit" else {})).eval()
    own.load_state_dict(encoder.model.state_dict())
    normal = (images - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 0.2]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), own(normal))
        assert not torch.allclose(own(images), own(normal))


def test_a_transformers_map_keeps_rows_and_columns():
    """One patch of the image is bright: without attention it moves the token of its place the most."""
    encoder, images = build("test_vit", size=64), torch.zeros(1, 3, 64, 64)
    for block in encoder.model.blocks:
        block.attn.proj.weight.data.zero_()
    lit = images.clone()
    lit[:, :, 16:32, 48:64] = 1  # row 1, column 3 of 4 x 4
    with torch.no_grad():
        moved = (encoder.map(lit) - encoder.map(images)).abs().sum(1)[0]
    assert moved.shape == (4, 4)
    assert divmod(int(moved.argmax()), 4) == (1, 3)


def test_batch_norms_are_ours_and_their_names_are_timms():
    encoder = build("test_resnet")
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(norm, BatchNorm) for norm in norms)
    assert encoder.model.state_dict().keys() == timm.create_model("test_resnet", num_classes=0).state_dict().keys()


def test_drop_path_arrives():
    encoder = build("test_vit", drop_path=0.3)
    assert max(float(getattr(module, "drop_prob", 0) or 0) for module in encoder.modules()) == pytest.approx(0.3)


def test_what_a_model_cannot_do_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"'test_vit' has patches of 16 px, which do not divide the view size 20"):
        build("test_vit", size=20)
    assert build("pvt_v2_b0", size=32).dim == 256  # patches of 7 px that overlap
    with pytest.raises(InputError, match=r"'vgg11' cannot be built with .*drop_path_rate"):
        build("vgg11", drop_path=0.1)
