"""A ViT's patches follow the views where the user does not say."""

import pytest

from ssl_pipelines.networks.config import fitting_patch_size
from ssl_pipelines.training.config import RunConfig


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([28], 4), ([32], 4), ([64], 8), ([96], 8), ([96, 20], 4), ([224], 16), ([224, 96], 16), ([97], 4), ([27, 4], 4)],
)
def test_patches_divide_the_views_and_are_not_too_many(sizes, side):
    assert fitting_patch_size(sizes) == side


@pytest.mark.parametrize(
    ("backbone", "size", "side"),
    [({}, 96, 8), ({}, 32, 4), ({}, None, 4), ({"name": "vit_tiny"}, 224, 16), ({"patch_size": 4}, 96, 4)],
)
def test_the_run_takes_the_size_of_the_images_or_what_is_given(backbone, size, side):
    values = {"method": "mae", "backbone": backbone, "pretrain": {"images_seen": 64}}
    assert RunConfig.resolve(values, size).backbone.patch_size == side


def test_other_encoders_know_no_patches():
    assert RunConfig.resolve({"method": "simclr", "pretrain": {"images_seen": 64}}, 96).backbone.patch_size == 4


@pytest.mark.parametrize(("size", "strides"), [(32, (2, 2, 1)), (96, (2, 2, 2)), (224, (4, 2, 2))])
def test_convmae_has_strides_for_them(size, strides):
    run = RunConfig.resolve({"method": "convmae", "pretrain": {"images_seen": 64}}, size)
    assert run.method_config.strides_of(run.backbone.patch_size) == strides
