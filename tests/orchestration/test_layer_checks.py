"""Layers that parameters name are refused before any stage runs, for every method, and without a model or an image."""

from __future__ import annotations

import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.registry import TABLE, method_class
from ssl_pipelines.orchestration import layer_checks
from ssl_pipelines.orchestration.layer_checks import check_layers
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.stages import project_stages

JUDGED = ("diagnose", "few_labels", "transfer_eval", "select")


def asked(method: str = "rotation", **blocks) -> Parameters:
    upstream = dict.fromkeys(method_class(method).upstream, "a_model")
    own = {"pretrain": {"epochs": 1, "upstream": upstream}, "dataset": {"size": 32, "fields": ["saliency"]}}
    return Parameters.of({"method": method} | own | blocks)


@pytest.mark.parametrize("stage", JUDGED)
def test_an_unknown_layer_is_refused_with_those_that_are_there(stage):
    best = "best, " if stage == "few_labels" else ""
    with pytest.raises(InputError) as caught:
        check_layers(asked(**{stage: {"eval_layer": "laier2"}}), {stage})
    found = f"{stage}.eval_layer='laier2' is unknown; did you mean 'layer2'?"
    assert str(caught.value) == f"{found} Allowed: {best}final, layer1, layer2, layer3, layer4"


def test_the_layers_are_those_of_the_encoder_that_was_chosen():
    check_layers(asked(backbone={"name": "vit_mini"}, diagnose={"eval_layer": "block2"}), {"diagnose"})
    with pytest.raises(
        InputError, match=r"^diagnose.eval_layer='layer2' is unknown\. Allowed: block1, block2, block3, block4, final$"
    ):
        check_layers(asked(backbone={"name": "vit_mini"}, diagnose={"eval_layer": "layer2"}), {"diagnose"})


@pytest.mark.parametrize("method", sorted(TABLE))
def test_final_is_a_layer_of_every_method_and_typo_of_none(method):
    check_layers(asked(method, diagnose={"eval_layer": "final"}, few_labels={"eval_layer": "best"}), project_stages())
    with pytest.raises(InputError, match=r"^select.eval_layer='typo' is unknown"):
        check_layers(asked(method, select={"eval_layer": "typo"}), project_stages())


@pytest.mark.parametrize(
    ("stage", "block", "message"),
    [
        ("finetune", {"stage": "layer9"}, r"^finetune\.stage='layer9' is unknown; did you mean 'layer"),
        ("finetune", {"trainable": 9}, r"^finetune\.trainable=9 is refused: allowed are all, head, 1 to"),
        ("few_labels", {"finetune": {"stage": "layer9"}}, r"^few_labels\.finetune\.stage='layer9' is unknown"),
    ],
)
def test_parts_of_the_network_that_a_fine_tuning_names(stage, block, message):
    with pytest.raises(InputError, match=message):
        check_layers(asked(**{stage: block}), {stage})
    check_layers(asked(finetune={"stage": "layer2", "trainable": 2}), {"finetune"})
    check_layers(asked(few_labels={"finetune": {"stage": "layer9", "draws": 0}}), {"few_labels"})  # nothing is fine-tuned


def test_nothing_is_built_where_no_key_is_given_or_no_stage_reads_it(monkeypatch):
    monkeypatch.setattr(layer_checks, "_untrained", lambda *_: pytest.fail("a network was built"))
    check_layers(asked(), project_stages())
    check_layers(asked(diagnose={"eval_layer": "typo"}), {"pretrain"})


def test_a_network_that_cannot_be_built_is_left_to_pretraining():
    """The images have no colors: pretraining says so, and the layer is not to blame."""
    check_layers(asked("colorization", dataset={"size": 32, "channels": 1}, diagnose={"eval_layer": "typo"}), {"diagnose"})
