"""Which layer a parameter is in, what is frozen, and how fast it learns: against hand-written answers for each kind of encoder."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import Augmentation, FinetuneRecipe
from ssl_pipelines.evaluation.finetune import recipe_of, start, train
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.layers import groups, layers_of
from ssl_pipelines.training.model import load_classifier, read_description, save_classifier
from ssl_pipelines.training.optim import build_optimizer, learning_rate_at, set_schedules
from tests.evaluation.evaluation_samples import make_model

VIT = {"name": "vit_mini", "patch_size": 6, "depth": 3}


def recipe(**keys):
    return FinetuneRecipe.of({"batch_size": 32, "augmentation": {"padding": 1}} | keys, "finetune")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    kinds = {
        "resnet": ("simclr", None),
        "vit": ("mae", VIT),
        "timm": ("simclr", {"name": "resnet10t"}),
        "pixels": ("pixelcnn", {"name": "auto"}),
    }
    made = {}

    def get(kind):
        if kind not in made:
            method, backbone = kinds[kind]
            made[kind] = make_model(folder / kind, method, backbone)
        return made[kind]

    return get


def network(model, store, name="trained", **keys):
    return start(name, model, Store.open(store), recipe(**keys), 0)


def test_layers_of_a_resnet(models, store):
    layers, stages = layers_of(network(models("resnet"), store))
    assert stages == 4
    assert {name.split(".")[2] + "." + name.split(".")[3]: k for name, k in layers.items() if "head" not in name} == {
        "stem.0": 0, "stem.1": 0, "layers.0": 1, "layers.1": 2, "layers.2": 3, "layers.3": 4
    }  # fmt: skip
    assert layers["head.weight"] == layers["head.bias"] == 5
    assert not any("projector" in name for name in layers)


def test_layers_of_a_transformer(models, store):
    layers, stages = layers_of(network(models("vit"), store))
    assert stages == 3
    assert {k for name, k in layers.items() if "blocks.2." in name} == {3}
    assert {k for name, k in layers.items() if "patch_embed" in name or "cls_token" in name} == {0}
    assert {k for name, k in layers.items() if ".encoder.norm." in name} == {4}, "the last norm goes with the head"
    assert not any("decoder" in name for name in layers)


def test_layers_of_a_timm_model(models, store):
    layers, stages = layers_of(network(models("timm"), store))
    assert stages == 4
    assert {k for name, k in layers.items() if "layer3" in name} == {3}
    assert {k for name, k in layers.items() if ".conv1.0" in name and "layer" not in name} == {0}


def test_learning_rates_decay_towards_the_input(models, store):
    net = network(models("vit"), store, layer_decay=0.5)
    config = recipe().optimizer
    optimizer = build_optimizer(groups(net, 0.5), config)
    set_schedules(optimizer, config, 32, 5, 10)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    whole = learning_rate_at(config, 32, 5, 10)
    assert rate[id(net.head.weight)] == whole
    names = dict(net.named_parameters())
    for name, power in (("patch_embed.weight", 4), ("cls_token", 4), ("blocks.0.attn.qkv.weight", 3), ("blocks.1.mlp.fc1.bias", 2),
                        ("blocks.2.norm1.weight", 1), ("norm.weight", 0)):  # fmt: skip
        assert rate[id(names[f"method.encoder.{name}"])] == pytest.approx(whole * 0.5**power), name
    assert set(rate) == {id(p) for p in net.parameters() if p.requires_grad}, "every one, once"


@pytest.mark.parametrize(
    ("trainable", "frozen"),
    [("head", ("stem", "layers.0", "layers.1", "layers.2", "layers.3")), (2, ("stem", "layers.0", "layers.1"))],
)
def test_what_is_frozen_is_unchanged_bit_for_bit(models, store, trainable, frozen):
    net = network(models("resnet"), store, trainable=trainable, layer_decay=0.9)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    train(net, Frame.of(Store.open(store), 0, "finetune"), recipe(trainable=trainable, layer_decay=0.9), 0, 3, lambda n: None)
    for name, value in net.state_dict().items():
        still = name.startswith(("method.projector", *(f"method.encoder.{part}." for part in frozen))) or name.endswith(
            (".mean", ".std")
        )
        assert torch.equal(value, before[name]) == still, name  # running statistics too


def test_nothing_is_frozen_from_scratch(models, store):
    wanted = recipe(trainable="head", layer_decay=0.5, stage=None, mixup=0.2)
    theirs = recipe_of("from_scratch", wanted)
    assert (theirs.trainable, theirs.layer_decay, theirs.mixup) == ("all", 1.0, 0.2)
    assert recipe_of("trained", wanted) == wanted
    net = start("from_scratch", models("resnet"), Store.open(store), theirs, 0)
    assert all(p.requires_grad for p in net.method.encoder.parameters())


def test_more_stages_than_there_are(models, store):
    with pytest.raises(InputError, match=r"finetune\.trainable=5 is refused: allowed are all, head, 1 to 4"):
        network(models("resnet"), store, trainable=5)
    assert layers_of(network(models("resnet"), store, trainable=4))[0].keys().isdisjoint({"method.encoder.stem.0.weight"})


def test_an_encoder_without_stages(models, store):
    with pytest.raises(InputError, match="not cut into stages"):
        network(models("pixels"), store, trainable=1)
    with pytest.raises(InputError, match=r"layer_decay=0\.5 is refused"):
        groups(network(models("pixels"), store), 0.5)
    assert len(groups(network(models("pixels"), store, trainable="head"), 0.5)) == 1


def test_the_head_on_a_middle_stage(store, tmp_path):
    model = make_model(tmp_path / "rotation", "rotation", {"name": "resnet_small", "width": 0.25})
    net = network(model, store, stage="layer2", trainable=1)
    assert layers_of(net)[1] == 2
    learning = {name.split(".")[3] for name, p in net.named_parameters() if p.requires_grad and "layers" in name}
    assert learning == {"1"}, "the last stage below the head"
    frame = Frame.of(Store.open(store), 0, "finetune")
    train(net, frame, recipe(stage="layer2", trainable=1), 0, 3, lambda n: None)
    save_classifier(net, read_description(model), len(frame.both), tmp_path / "out")
    again, images = load_classifier(tmp_path / "out"), torch.rand(4, 3, 12, 12)
    assert torch.equal(again(images), net.eval()(images))
    with pytest.raises(InputError, match=r"finetune\.stage='layer7' is unknown.*Allowed: layer1"):
        network(model, store, stage="layer7")


@pytest.mark.parametrize(
    "keys", [{"trainable": 0}, {"trainable": "tail"}, {"layer_decay": 0}, {"label_smoothing": 1}, {"mixup": -1}]
)
def test_values_out_of_range(keys):
    with pytest.raises(InputError, match=f"finetune.{next(iter(keys))}"):
        recipe(**keys)


def test_padding_is_read():
    assert recipe().augmentation == Augmentation(padding=1)
