"""Every option of the parameters has a sentence; `kedro parameters` lists them below any key."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.options import about, inner_blocks, options
from ssl_pipelines.cli import cli
from ssl_pipelines.methods.registry import TABLE, method_class
from ssl_pipelines.orchestration.option_listing import listed, root_blocks
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.training.config import RunConfig

ROOTS = root_blocks() | {f"methods.{name}": method_class(name).Config for name in TABLE} | {"run": RunConfig}


@pytest.mark.parametrize("root", sorted(ROOTS))
def test_every_option_has_a_sentence(root):
    wrong = []
    for key, model in [(root, ROOTS[root]), *inner_blocks(ROOTS[root], root)]:
        for option in options(model):
            said, words = option.meaning, option.meaning.split()
            if not (said[:1].isupper() and said.endswith(".") and len(words) >= 4):
                wrong.append(f"{key}.{option.key}: {said!r}")
            elif " ".join(words).rstrip(".").casefold() == option.key.replace("_", " "):
                wrong.append(f"{key}.{option.key} says its name alone")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", sorted(root_blocks()))
def test_every_block_says_what_it_is_about(name):
    assert re.fullmatch(r"[A-Z].*\.", about(root_blocks()[name])), name


def test_a_sentence_is_written_once():
    """Two fields of one block do not share a sentence, as a copied line would."""
    for root, model in ROOTS.items():
        said = [option.meaning for option in options(model)]
        assert len(set(said)) == len(said), root


def test_without_a_key_the_blocks_are_listed():
    assert [option.key for option in listed(None)] == [
        "method",
        "methods.<name>",
        "seed",
        "backbone",
        "pretrain",
        *project_stages().blocks,
    ]
    assert [option.key for option in listed("seed")] == ["seed"]


@pytest.mark.parametrize(
    ("key", "name", "default"),
    [
        ("finetune.optimizer", "name", "adamw"),
        ("validate.images", "min", "32"),  # the default of this place, not of the class
        ("few_labels.finetune.optimizer.lr", "lr", "0.001"),
        ("methods.moco_v2", "temperature", "0.2"),
        ("methods.simclr.views.groups.global.recipe", "jitter", "0.8"),
        ("methods.simclr.loss.max_scale", "max_scale", "100"),
        ("methods.cpc_v2.patch_recipe.rotation", "rotation", "15"),
        ("transfer_eval.datasets.flowers", "size", "28"),
        ("pretrain", "images_seen", "null"),
    ],
)
def test_the_options_below_a_key_with_the_defaults_there(key, name, default):
    assert {option.key: option.default for option in listed(key)}[name] == default


def test_of_several_blocks_each_option_says_by_which_name():
    told = {(option.key, option.meaning.split(":")[0]) for option in listed("methods.simclr.loss")}
    assert ("max_scale", "With name=clip") in told
    assert {said for key, said in told if key == "positive_prior"} == {"With name=debiased", "With name=hard_negative"}


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("finetun", "parameter 'finetun' is unknown; did you mean 'finetune'?"),
        ("finetune.optimzer", "finetune.optimzer: key 'optimzer' of finetune is unknown; did you mean 'optimizer'?"),
        ("finetune.optimizer.lr.x", "finetune.optimizer.lr.x: finetune.optimizer.lr is a single value, there are no keys below it"),
        ("methods", "methods: the block of a method is expected, such as methods.simclr"),
        ("methods.simcrl", "method='simcrl' is unknown; did you mean 'simclr'?"),
        ("methods.simclr.views.groups.globl", "did you mean 'global'? Allowed: global"),
        ("", "parameter '' is unknown"),
        ("method.x", "method.x: method is a single value, there are no keys below it"),
    ],
)
def test_a_key_that_is_not_there_is_refused_in_one_line(key, says):
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        listed(key)
    assert "\n" not in str(caught.value)


def test_the_command_prints_a_table_or_objects():
    runner = CliRunner()
    table = runner.invoke(cli, ["parameters", "knn_eval"])
    assert table.exit_code == 0
    assert re.search(r"^k +20 +from 1 to 100000 +Number of nearest", table.output, re.MULTILINE)
    rows = json.loads(runner.invoke(cli, ["parameters", "knn_eval", "--json"]).output)
    assert [row["key"] for row in rows] == ["k", "temperature"]
    assert set(rows[0]) == {"key", "default", "allowed", "meaning"}
    refused = runner.invoke(cli, ["parameters", "knn_evl"])
    assert refused.exit_code == 1
    assert "did you mean 'knn_eval'" in refused.output
