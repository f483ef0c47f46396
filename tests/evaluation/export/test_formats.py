"""Exported files against the network that was trained: every backbone that has a timm twin, and every method's `encode` in ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from small_runs import method_names, small_config, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.export import formats
from ssl_pipelines.evaluation.export.formats import ENCODER, ONNX, TIMM, export, timm_file
from ssl_pipelines.evaluation.export.images import real_images
from ssl_pipelines.training.model import describe, load_encoder, load_method, save_weights, write_description
from ssl_pipelines.training.pretrain import data_facts

NO_ONNX: set[str] = set()  # methods whose embedding onnx cannot express


def model_folder(folder: Path, store: Path, name: str, **changes) -> Path:
    """An untrained model whose batch-norm statistics are not the fresh ones."""
    opened, config = Store.open(store), small_config(name, **changes)
    method = small_method(config, opened)
    if type(method).prepare.__qualname__ != "Method.prepare":
        method.prepare(torch.from_numpy(opened.gather(opened.pretraining_ids()).fields["image"]))
    torch.manual_seed(0)
    for module in method.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    folder.mkdir()
    save_weights(method, folder)
    config = config.model_copy(update={"method_config": method.config})  # with what its upstream decides
    write_description(folder, describe(config, data_facts(opened), method, 8))
    return folder


TWINS = {
    "resnet18, small stem": ("simclr", {"backbone": {"name": "resnet18", "width": 1.0}}, True),
    "resnet50, ImageNet stem": ("simclr", {"backbone": {"name": "resnet50", "width": 1.0, "stem": "imagenet"}}, False),
    "our ViT, patches averaged": ("mae", {"backbone": {"name": "vit_tiny", "depth": 2}}, False),
    "our ViT, class token": ("dino", {"backbone": {"name": "vit_mini", "depth": 2, "width": 1.0}}, False),
    "timm's ViT": ("simclr", {"backbone": {"name": "vit_tiny_patch16_224", "width": 1.0}}, False),
    "timm's convolutions": ("simclr", {"backbone": {"name": "mobilenetv3_small_050", "width": 1.0}}, False),
}


@pytest.mark.parametrize("kind", TWINS)
def test_timm_takes_the_weights_strictly_and_gives_the_same_features(tmp_path, photos, kind):
    name, changes, small_stem = TWINS[kind]
    method = load_method(model_folder(tmp_path / "model", photos, name, **changes))
    images = real_images(photos, 3, method.image_size)
    found = timm_file(method, changes["backbone"]["name"], images, tmp_path / TIMM)
    assert not isinstance(found, str), found
    twin, _ = found
    assert twin.small_stem is small_stem
    encoder = method.get_submodule(method.encoders[0])
    scope = {"timm": timm, "torch": torch}
    exec("\n".join(twin.code()), scope)  # the lines of the card
    model = scope["model"].eval()
    model.load_state_dict(load_file(tmp_path / TIMM), strict=True)
    with torch.no_grad():
        normalized = (images - encoder.mean) / encoder.std
        np.testing.assert_allclose(model(normalized), method.encode(images), atol=1e-4)


WITHOUT = {
    "a network of ours": ("simclr", {}, "resnet_small"),
    "another width": ("simclr", {"backbone": {"name": "resnet18", "width": 0.5}}, "of this width"),
    "a norm of layers": ("simclr", {"backbone": {"name": "resnet18", "width": 1.0, "norm": "layer"}}, "with this norm"),
    "finer maps": ("simclr", {"backbone": {"name": "resnet18", "width": 1.0, "output_stride": 4}}, "other features"),
    "joined towers": ("cmc", {}, "joins several networks"),
    "lightness": ("colorization", {}, "not the image"),
    "relative positions": ("beit", {"backbone": {"positions": "relative"}}, "no twin of RelativeViT"),
    "an embedder behind it": ("invaspread", {}, "joins several networks"),
}


@pytest.mark.parametrize("kind", WITHOUT)
def test_where_timm_has_no_twin_it_is_said(tmp_path, photos, kind):
    name, changes, words = WITHOUT[kind]
    method = load_method(model_folder(tmp_path / "model", photos, name, **changes))
    images = real_images(photos, 3, method.image_size)
    found = timm_file(method, small_config(name, **changes).backbone.name, images, tmp_path / TIMM)
    assert isinstance(found, str)
    assert words in found
    assert not (tmp_path / TIMM).exists()


def test_a_chosen_layer_of_a_resnet_in_all_files(tmp_path, photos):
    model, out = model_folder(tmp_path / "model", photos, "rotation"), tmp_path / "out"
    out.mkdir()
    made = export(model, "layer2", photos, out)
    assert sorted(path.name for path in out.iterdir()) == ["config.json", ONNX, ENCODER]
    assert set(made.missing) == {TIMM}
    assert set(made.differences[ONNX]) == {"1", "5"}
    images = real_images(photos, 3, 32)
    session = onnxruntime.InferenceSession(str(out / ONNX), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = load_method(model).stages(images)["layer2"].numpy()
        again = load_encoder(out).encode(images, "layer2").numpy()
    assert made.dim == expected.shape[1]
    np.testing.assert_array_equal(again, expected)
    for count in (1, 3, 5):
        [found] = session.run(["embeddings"], {"images": images[:count].numpy()})
        np.testing.assert_allclose(found, expected[:count], atol=1e-4)
    with pytest.raises(InputError, match=r"^export.eval_layer='layer9' is unknown; did you mean 'layer"):
        export(model, "layer9", photos, out)


def test_timm_gives_the_last_layer_alone(tmp_path, photos):
    model = model_folder(tmp_path / "model", photos, "rotation", backbone={"name": "resnet18", "width": 1.0})
    method = load_method(model)
    images = real_images(photos, 3, method.image_size)
    found = timm_file(method, "resnet18", images, tmp_path / TIMM, "layer2")
    assert found == "timm's model gives the last layer, this one is read at layer2: export.eval_layer=final exports that"
    assert not (tmp_path / TIMM).exists()
    assert not isinstance(timm_file(method, "resnet18", images, tmp_path / TIMM, "layer4"), str), (
        "what `encode` gives has two names"
    )


def test_an_answer_that_differs_is_refused(tmp_path, photos, monkeypatch):
    model = model_folder(tmp_path / "model", photos, "simclr")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(formats, "write_onnx", lambda embedder, images, path: {"1": 1e-6, "5": 2e-4})
    with pytest.raises(InputError, match=r"encoder\.onnx gives other embeddings"):
        export(model, "final", photos, tmp_path / "out")


def test_what_is_given_away_names_no_folder_of_this_machine(tmp_path, photos):
    model = model_folder(tmp_path / "model", photos, "simclr")
    text = (model / "config.json").read_text().replace('"init_from": null', '"init_from": "/home/someone/secret/model"')
    (model / "config.json").write_text(text)
    (tmp_path / "out").mkdir()
    export(model, "final", photos, tmp_path / "out")
    assert "someone" not in (tmp_path / "out/config.json").read_text()


def test_photographs_where_there_is_no_store_that_fits(digits):
    for channels in (1, 3):
        images = real_images(None, channels, 24)
        assert images.shape == (5, channels, 24, 24)
        assert images.std() > 0.05
        assert 0 <= images.min() <= images.max() <= 1
    assert real_images(digits, 3, 16).shape == (5, 3, 16, 16), "gray digits are no images in color"


def test_a_damaged_file_is_one_line(tmp_path, photos):
    model = model_folder(tmp_path / "model", photos, "simclr")
    weights = load_file(model / ENCODER)
    save_file({key: value for key, value in weights.items() if "stem" not in key}, model / ENCODER)
    with pytest.raises(InputError, match="another architecture"):
        export(model, "final", photos, tmp_path)


FEW_IMAGES = {"local_aggregation": {"images_per_cluster": 20}, "pic": {"window_fraction": 0.5}}


@pytest.mark.slow
@pytest.mark.parametrize("name", method_names())
def test_every_method_in_onnx_or_a_line_that_says_why_not(tmp_path, photos, name):
    model = model_folder(tmp_path / "model", photos, name, methods={name: FEW_IMAGES.get(name, {})})
    out = tmp_path / "out"
    out.mkdir()
    made = export(model, "final", photos, out)
    print(name, made.differences, made.missing)
    assert (ONNX in made.missing) == (name in NO_ONNX), made.missing
    for reason in made.missing.values():
        assert "\n" not in reason
