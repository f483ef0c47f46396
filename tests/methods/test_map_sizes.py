"""The last map of methods that learn from its places: as large as in their papers at 224 px, as it was at 32 px."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.methods.base import Method
from ssl_pipelines.networks.map_shape import map_shape
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.model import build_method

SIDES = {32: 4, 96: 6, 224: 7}  # px of the views -> places a side


def built(name: str, size: int, monkeypatch: pytest.MonkeyPatch, backbone: str = "auto", **own: object) -> Method:
    """With weights that are not drawn: only shapes are looked at."""
    monkeypatch.setattr(torch.nn.init, "kaiming_normal_", lambda tensor, *_, **__: tensor)
    values = {"method": name, "methods": {name: own}, "backbone": {"name": backbone}, "pretrain": {"images_seen": 64}}
    facts = {"channels": 3, "size": size, "mean": [0.5] * 3, "std": [0.2] * 3, "num_samples": 500}
    return build_method(RunConfig.resolve(values, size), facts, 0)


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("name", ["inpainting", "jigsaw_clustering", "pix_contrast"])
@pytest.mark.parametrize("backbone", ["auto", "resnet18"])
def test_maps_follow_the_image(name, size, backbone, monkeypatch):
    assert map_shape(built(name, size, monkeypatch, backbone).encoder, size)[1] == SIDES[size]


def test_a_place_of_jigsaw_clustering_is_whole_at_224_px(monkeypatch):
    method = built("jigsaw_clustering", 224, monkeypatch)
    assert method.decoupled(torch.rand(1, 3, 224, 224)).shape == (4, method.dim)


def test_inpainting_stays_below_100_million_parameters_at_224_px(monkeypatch):
    monkeypatch.setattr(torch.nn.init, "uniform_", lambda tensor, *_, **__: tensor)
    method = built("inpainting", 224, monkeypatch, "resnet50")
    assert method.across[0].weight.shape == (2048, 49, 49)
    assert sum(parameter.numel() for parameter in method.parameters()) < 100e6
    painted = method.eval().decoder(method.across(method.encoder.map(torch.rand(1, 3, 224, 224))))
    assert painted.shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("size", "seed_size", "stride"), [(32, 32, 1), (96, 32, 1), (224, 32, 1), (224, 64, 1), (224, 96, 2), (96, 96, 2)]
)
def test_exemplars_stem_follows_its_seeds(size, seed_size, stride, monkeypatch):
    stem = built("exemplar", size, monkeypatch, seed_size=seed_size).encoder.stem
    assert stem[0].stride == (stride, stride)
    assert len(stem) == (3 if stride == 1 else 4)  # the stem for large images ends in a pooling


def test_a_stem_that_is_given_is_kept(monkeypatch):
    values = {"method": "exemplar", "backbone": {"stem": "imagenet"}, "pretrain": {"images_seen": 64}}
    facts = {"channels": 3, "size": 96, "mean": [0.5] * 3, "std": [0.2] * 3, "num_samples": 50}
    method = build_method(RunConfig.resolve(values, 96), facts, 0)
    assert len(method.encoder.stem) == 4


def test_a_stem_that_follows_seeds_is_stored_with_the_model():
    values = {"method": "exemplar", "pretrain": {"images_seen": 64}}
    assert [RunConfig.resolve(values, size).backbone.stem for size in (32, 64, 96)] == ["auto", "auto", "small"]
    assert RunConfig.resolve({"method": "rotation", "pretrain": {"images_seen": 64}}, 96).backbone.stem == "auto"
