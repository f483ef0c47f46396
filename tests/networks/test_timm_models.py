"""Models of timm as encoders: their widths, and batch norms over all ranks."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from small_runs import on_ranks
from ssl_pipelines.distributed import average_gradients, local_rows
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.norm import BatchNorm

WITH_NORMS = ["test_resnet", "test_efficientnet"]  # plain batch norms; batch norms with an activation inside


@pytest.mark.parametrize(
    ("name", "dim", "map_width"),
    [("mobilenetv3_small_050", 1024, 288), ("test_efficientnet", 256, 256), ("test_vit", 64, 64), ("test_convnext", 64, 64)],
)
def test_widths_are_those_of_what_comes_out(name, dim, map_width):
    encoder = build_encoder(BackboneConfig(name=name), 1, 32).eval()
    with torch.no_grad():
        images = torch.rand(2, 1, 32, 32)
        assert encoder.dim == dim == encoder(images).shape[1] == encoder.stages(images)["final"].shape[1]
        assert encoder.map(images).shape[:2] == (2, map_width)


@pytest.mark.parametrize("name", WITH_NORMS)
def test_on_one_rank_a_model_is_timms_own(name):
    encoder = build_encoder(BackboneConfig(name=name), 3, 32)
    theirs = timm.create_model(name, pretrained=False, num_classes=0)
    theirs.load_state_dict(encoder.model.state_dict())
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(encoder(images), theirs(encoder.normalize(images)))
    for key, value in theirs.state_dict().items():
        assert torch.equal(value, encoder.model.state_dict()[key]), key
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(module, BatchNorm) for module in norms)


def one_step(name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    encoder = build_encoder(BackboneConfig(name=name), 3, 32).double().train()
    images = torch.rand(8, 3, 32, 32, dtype=torch.float64)
    (encoder(images[local_rows(8)]) ** 2).mean().backward()
    average_gradients(encoder.parameters())
    found = {key: value.grad for key, value in encoder.named_parameters()}
    return found | {key: value for key, value in encoder.named_buffers() if "running" in key}


@pytest.mark.parametrize("name", WITH_NORMS)
def test_two_ranks_are_one_process_on_the_whole_batch(name, tmp_path):
    alone = one_step(name)
    for found in on_ranks(one_step, tmp_path / "ranks", name):
        assert found.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(found[key], value, rtol=1e-7, atol=1e-9, msg=lambda text, key=key: f"{key}: {text}")
