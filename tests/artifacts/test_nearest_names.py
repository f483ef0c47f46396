"""The nearest match of a name that is unknown: what differs in case, spaces or punctuation is found first."""

from __future__ import annotations

import pytest

from ssl_pipelines.artifacts.errors import nearest, unknown
from ssl_pipelines.cli import _check_names
from ssl_pipelines.methods.registry import TABLE, method_class


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("SimCLR", "simclr"),
        ("SIMCLR-v2", "simclr_v2"),
        ("Barlow Twins", "barlow_twins"),
        ("MoCo v3", "moco_v3"),
        ("simsaim", "simsiam"),
        ("BYOL", "byol"),
    ],
)
def test_a_method_is_found_however_it_is_spelled(given, name):
    with pytest.raises(ValueError, match=rf"^method='{given}' is unknown; did you mean '{name}'\? Allowed: "):
        method_class(given)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_method_is_the_nearest_to_its_own_name_in_capitals(name):
    assert nearest(name.upper().replace("_", "-"), TABLE) == name


@pytest.mark.parametrize(
    ("given", "names", "near"),
    [
        ("Layer-4", ["layer3", "layer4"], "layer4"),
        ("@@", ["a", "b"], None),
        ("", ["a"], None),
        ("ResNet 18", ["resnet18"], "resnet18"),
    ],
)
def test_other_names_too(given, names, near):
    assert nearest(given, names) == near
    assert (f"did you mean {near!r}?" in str(unknown("key", given, names))) == (near is not None)


def test_pipelines_too():
    with pytest.raises(ValueError, match=r"did you mean 'linear_eval'\?"):
        _check_names({"pipelines": ["Linear-Eval"]})
