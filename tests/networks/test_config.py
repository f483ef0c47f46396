"""A ViT's patches follow the views where the user does not say."""

import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.registry import method_class, resolved_backbone
from ssl_pipelines.networks.config import VITS, coarsest_stride, fitting_patch_size, fitting_stride
from ssl_pipelines.training.config import RunConfig

CLOSE = [([224, 24], 8), ([58], 4), ([62], 4), ([60], 5), ([100], 10)]  # 2 patches of a small crop; 4 of the image; nearest to 14


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([28], 4), ([32], 4), ([64], 8), ([96], 8), ([96, 20], 4), ([224], 16), ([224, 96], 16), ([97], 4), ([27, 4], 4), *CLOSE],
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


@pytest.mark.parametrize(
    ("size", "strides"), [(32, (2, 2, 1)), (60, (5, 1, 1)), (84, (3, 2, 1)), (96, (2, 2, 2)), (224, (4, 2, 2))]
)
def test_convmae_has_strides_for_them(size, strides):
    run = RunConfig.resolve({"method": "convmae", "pretrain": {"images_seen": 64}}, size)
    assert run.method_config.strides_of(run.backbone.patch_size) == strides


@pytest.mark.parametrize(
    ("size", "parts", "stride"), [(28, 1, 4), (28, 2, 2), (32, 2, 4), (96, 2, 8), (224, 2, 16), (36, 2, 2), (30, 2, 1), (31, 1, 1)]
)
def test_px_a_place_follow_the_image(size, parts, stride):
    assert fitting_stride(size, 4, parts) == stride


@pytest.mark.parametrize(("size", "stride"), [(28, 2), (32, 4), (96, 8), (224, 16), (None, 4)])
def test_qb_heat_takes_them(size, stride):
    values = {"method": "qb_heat", "pretrain": {"images_seen": 64}}
    assert RunConfig.resolve(values, size).backbone.output_stride == stride
    assert RunConfig.resolve(values | {"backbone": {"output_stride": 1}}, size).backbone.output_stride == 1


@pytest.mark.parametrize(
    ("size", "stride"), [(8, 2), (16, 4), (20, 4), (28, 8), (32, 8), (48, 8), (64, 16), (96, 16), (112, 32), (224, 32), (512, 32)]
)
def test_the_coarsest_map_of_four_places(size, stride):
    assert coarsest_stride(size, 4) == stride


def test_no_stride_leaves_four_places_of_three_px():
    assert coarsest_stride(3, 4) == 1


@pytest.mark.parametrize("method", ["inpainting", "jigsaw_clustering", "pix_contrast"])
@pytest.mark.parametrize("name", ["auto", "resnet50"])
def test_maps_of_tasks_over_places_follow_the_image(method, name):
    values = {"method": method, "backbone": {"name": name}, "pretrain": {"images_seen": 64}}
    found = [RunConfig.resolve(values, size).backbone.output_stride for size in (None, 28, 32, 96, 224)]
    assert found == [8, 8, 8, 16, 32]
    given = values | {"backbone": {"name": name, "output_stride": 8}}
    assert RunConfig.resolve(given, 224).backbone.output_stride == 8


def test_a_vit_has_patches_instead():
    values = {"method": "pix_contrast", "backbone": {"name": "vit_mini"}, "pretrain": {"images_seen": 64}}
    backbone = RunConfig.resolve(values, 224).backbone
    assert (backbone.output_stride, backbone.patch_size) == (None, 16)


def test_a_tokenizers_views_do_not_count():
    own = {"views": {"groups": {"tokenizer": {"size": 56}}}}
    values = {"method": "beit", "methods": {"beit": own}, "pretrain": {"images_seen": 64}}
    assert RunConfig.resolve(values, 112).backbone.patch_size == 8


def test_pieces_of_images_have_small_patches():
    values = {"method": "jigsaw", "backbone": {"name": "vit_mini"}, "pretrain": {"images_seen": 64}}
    assert RunConfig.resolve(values, 96).backbone.patch_size == 4


@pytest.mark.parametrize(
    ("method", "name"), [("simmim", "vit_tiny"), ("jigsaw", "resnet18"), ("qb_heat", "resnet18"), ("beit", "vit_small")]
)
def test_a_named_encoder_of_the_same_kind_keeps_the_rest_of_the_recipe(method, name):
    own, found = method_class(method).recipe.backbone, resolved_backbone(method, {"name": name})
    assert found.model_copy(update={"name": own.name, "depth": own.depth}) == own
    assert found.depth in (None, 12)
    key, given = ("drop_path", 0.3) if name in VITS else ("output_stride", 2)
    assert getattr(resolved_backbone(method, {"name": name, key: given}), key) == given


def test_another_kind_keeps_nothing():
    assert resolved_backbone("jigsaw", {"name": "vit_mini"}).output_stride is None


@pytest.mark.parametrize("method", ["beit", "local_mim", "mp3", "qb_heat", "simmim"])
def test_views_of_another_size_than_the_image_are_refused_for_one_grid(method):
    values = {
        "method": method,
        "methods": {method: {"views": {"groups": {"global": {"size": 16}}}}},
        "pretrain": {"images_seen": 64},
    }
    with pytest.raises(InputError, match=rf"methods.{method}.views.groups.global.size=16: allowed is the view size, 32"):
        RunConfig.resolve(values, 32)


def test_beit_has_no_absolute_positions():
    values = {"method": "beit", "backbone": {"positions": "sincos"}, "pretrain": {"images_seen": 64}}
    with pytest.raises(InputError, match=r"backbone.positions='sincos' would be ignored"):
        RunConfig.resolve(values, 32)
