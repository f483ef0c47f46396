"""Every refusal is one line that says which key, what was found, what is allowed."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, model_validator

from ssl_pipelines.artifacts import Config, InputError
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.training.runtime import RuntimeConfig


class Inner(Config):
    rate: float = Field(default=0.5, gt=0, le=1)
    span: tuple[float, float] = (0.0, 1.0)


class Outer(Config):
    inner: Inner = Inner()
    maybe: Inner | None = None
    by_name: dict[str, Inner] = {}
    listed: list[Inner] = []
    kind: Literal["a", "b"] = "a"
    workers: int | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _fits(self):
        if self.kind == "b" and self.inner.rate > 0.9:
            raise ValueError("kind b takes a rate up to 0.9")
        return self


def refusal(values: Any, key: str = "room") -> str:
    with pytest.raises(InputError) as caught:
        Outer.of(values, key)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "place", "hint"),
    [
        ({"inmer": 1}, "room.inmer", "'inner'"),
        ({"inner": {"rtae": 1}}, "room.inner.rtae", "'rate'"),
        ({"maybe": {"rtae": 1}}, "room.maybe.rtae", "'rate'"),
        ({"by_name": {"x": {"rtae": 1}}}, "room.by_name.x.rtae", "'rate'"),
        ({"listed": [{}, {"rtae": 1}]}, "room.listed.1.rtae", "'rate'"),
    ],
)
def test_an_unknown_key_is_told_its_nearest_match(values, place, hint):
    message = refusal(values)
    assert message.startswith(place)
    assert f"did you mean {hint}?" in message
    assert f"Allowed: {'by_name, inner' if hint == chr(39) + 'inner' + chr(39) else 'rate, span'}" in message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"inner": {"rate": -1}}, ["room.inner.rate=-1 is refused", "greater than 0"]),
        ({"inner": {"rate": 2}}, ["room.inner.rate=2", "less than or equal to 1"]),
        ({"inner": {"rate": "fast"}}, ["room.inner.rate='fast'", "number"]),
        ({"inner": {"rate": float("nan")}}, ["room.inner.rate=nan", "finite"]),
        ({"inner": 3}, ["room.inner=3"]),
        ({"inner": {"span": [1]}}, ["room.inner.span"]),
        ({"kind": "c"}, ["room.kind='c'", "'a' or 'b'"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values, words):
    message = refusal(values)
    assert all(word in message for word in words), message


def test_a_key_of_several_types_is_named_as_the_user_wrote_it():
    message = refusal({"workers": "many"})
    assert message.startswith("room.workers='many' is refused")
    assert "integer" in message
    assert "'auto'" in message


def test_what_does_not_fit_together_is_said_without_the_whole_block():
    message = refusal({"kind": "b", "inner": {"rate": 0.95}})
    assert message == "room: kind b takes a rate up to 0.9"


def test_something_else_than_a_block_is_refused():
    assert "a block of keys is expected" in refusal("resnet18", "backbone")
    assert Outer.of(None, "room") == Outer()


def test_a_missing_key_is_named():
    class Needs(Config):
        must: int

    with pytest.raises(InputError, match=r"^a\.must is missing and has no default$"):
        Needs.of({}, "a")


def test_configs_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Outer().kind = "b"


def test_keys_deep_in_a_view_recipe_are_told_their_nearest_match():
    with pytest.raises(InputError, match=r"views\.groups\.global\.recipe\.jiter.*did you mean 'jitter'\?"):
        method_config("simclr", {"views": {"groups": {"global": {"recipe": {"jiter": 0.5}}}}})


def test_a_negative_temperature_names_its_key():
    with pytest.raises(InputError, match=r"^methods\.simclr\.temperature=-1 is refused: allowed is greater than 0$"):
        method_config("simclr", {"temperature": -1})


def test_workers_are_named_without_a_type_behind():
    with pytest.raises(InputError, match=r"^runtime\.workers='two' "):
        RuntimeConfig.of({"workers": "two"}, "runtime")


@pytest.mark.parametrize(
    ("values", "place"), [({"inner": 3}, "room.inner=3"), ({"by_name": "x"}, "room.by_name='x'"), ({"maybe": 1}, "room.maybe=1")]
)
def test_a_block_is_no_class_to_the_user(values, place):
    assert refusal(values) == f"{place} is refused: allowed is a block of keys"
