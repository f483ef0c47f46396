"""What `--params` makes of its text."""

from __future__ import annotations

import click
import pytest

from ssl_pipelines.cli import run
from ssl_pipelines.orchestration.params_option import split_params

OPTION = next(option for option in run.params if option.name == "params")


def split(text: str):
    return split_params(click.Context(run), OPTION, text)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a.b=1e-3,a.c=false, d = null ", {"a": {"b": 0.001, "c": False}, "d": None}),
        ("a=[x,y],b=[1,[2,3]],c={d: 1, e: [2]}", {"a": ["x", "y"], "b": [1, [2, 3]], "c": {"d": 1, "e": [2]}}),
        ("a='x,y]',b=\"p, q\",c=it's", {"a": "x,y]", "b": "p, q", "c": "it's"}),
        ("a=b=c,", {"a": "b=c"}),
        ("", {}),
    ],
)
def test_pairs_lists_and_quotes(text, tree):
    assert split(text) == tree


@pytest.mark.parametrize("text", ["a", "a=1,b", "=1", "a=[1,2],3"])
def test_what_is_no_pair_is_refused(text):
    with pytest.raises(click.BadParameter, match="is no KEY=VALUE"):
        split(text)


def test_it_is_what_the_command_uses():
    assert OPTION.callback is split_params


def test_an_alias_is_taken_as_it_is():
    assert split("embed.model=@champion,compare.runs=[@champion,other]") == {
        "embed": {"model": "@champion"}, "compare": {"runs": ["@champion", "other"]}
    }  # fmt: skip


def test_a_mark_within_a_name_is_no_comment():
    assert split("embed.source=/photos/my #1,search.k=3 ") == {"embed": {"source": "/photos/my #1"}, "search": {"k": 3}}
    assert split("a=it's #2,b='x #1'") == {"a": "it's #2", "b": "x #1"}


@pytest.mark.parametrize("pair", ["embed.source=[1", "embed.source=*.png", "embed.source=${a"])
def test_a_value_that_is_no_yaml_is_named(pair):
    with pytest.raises(click.BadParameter, match="the value cannot be read") as caught:
        split(f"seed=1,{pair}")
    assert repr(pair) in str(caught.value)
