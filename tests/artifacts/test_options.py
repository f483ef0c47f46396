"""The options of a block: keys, defaults, ranges and the sentences below them in the code."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from ssl_pipelines.artifacts import Config
from ssl_pipelines.artifacts.options import about, inner_blocks, name_of, options, sentences, written

Level = Annotated[int, Field(ge=1, le=9)]


class Small(Config):
    """Two numbers."""

    low: float = 0.5
    """Smallest value that counts."""
    high: float = 1.0


class Round(Config):
    name: Literal["round"] = "round"
    radius: float = Field(default=2.0, gt=0)
    """Distance in px from the middle to the rim."""


class Square(Config):
    name: Literal["square"] = "square"


class Base(Config):
    """What the block is about.

    This paragraph is for readers of the code."""

    rate: float = Field(default=1e-3, gt=0, le=1)
    """Step in the direction of the gradient."""
    kept: bool = True
    """Whether the former value is kept."""


class Block(Base):
    rate: float = 0.5  # a comment is no sentence
    kept: bool = False
    """Whether any value is kept,
    told in two lines."""
    word: Literal["a", "b"] | None = None
    size: Literal["auto"] | int = "auto"
    levels: tuple[Level, ...] = (1, 2)
    pair: tuple[float, float] = (0.1, 1.0)
    small: Small = Small()
    shape: Round | Square = Square()
    named: dict[str, Small] = Field(default_factory=dict)
    needed: int = Field(ge=3)


def told() -> dict[str, tuple[str, str]]:
    return {option.key: (option.default, option.allowed) for option in options(Block)}


def test_a_class_s_own_sentence_stands_before_its_base_s_and_a_comment_is_none():
    assert sentences(Block)["kept"] == "Whether any value is kept, told in two lines."
    assert sentences(Block)["rate"] == "Step in the direction of the gradient."
    assert "word" not in sentences(Block)
    assert sentences(Base)["kept"] == "Whether the former value is kept."


@pytest.mark.parametrize(
    ("key", "default", "allowed"),
    [
        ("kept", "false", "true, false"),
        ("word", "null", "a, b, null"),
        ("size", "auto", "auto, a whole number"),
        ("levels", "[1, 2]", "a list, each from 1 to 9"),
        ("pair", "[0.1, 1]", "2 numbers"),
        ("small", "{low: 0.5, high: 1}", "a block of keys"),
        ("shape", "square", "round, square"),
        ("named", "{}", "names, each with a block of keys"),
        ("needed", "needed", "from 3"),
    ],
)
def test_defaults_and_what_is_allowed(key, default, allowed):
    assert told()[key] == (default, allowed)


def test_bounds_of_a_number():
    assert {option.key: option.allowed for option in options(Base)} == {"rate": "above 0 to 1", "kept": "true, false"}


def test_values_that_were_given_stand_as_defaults():
    found = {option.key: option.default for option in options(Block, given=Block(rate=0.25, needed=7))}
    assert (found["rate"], found["needed"]) == ("0.25", "7")
    assert options(Block, given=Small()) == options(Block)  # a value of another block says nothing


def test_a_mark_that_tells_the_block_s_kind_is_no_option():
    assert [option.key for option in options(Round)] == ["radius"]
    assert (name_of(Round), name_of(Small)) == ("round", None)


def test_blocks_within_a_block_by_their_keys():
    assert list(inner_blocks(Block, "b")) == [("b.small", Small), ("b.shape", Round), ("b.named.<name>", Small)]


def test_what_a_block_is_about_is_its_own_first_paragraph():
    assert about(Base) == "What the block is about."
    assert about(Block) == ""


def test_values_as_they_stand_in_a_file():
    assert written({"a": Small(), "b": None}) == "{a: {low: 0.5, high: 1}, b: null}"
    assert written(1e-5) == "1e-05"
