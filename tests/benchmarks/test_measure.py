"""A bar is judged by the better end of its interval, pairs take turns, and the page says all that was measured."""

from __future__ import annotations

import os

import pytest

from benchmarks.__main__ import page
from benchmarks.measure import Bar, apart, row, turns


@pytest.mark.parametrize(
    ("better", "ratios", "verdict"),
    [
        ("more", [3.9, 3.8, 4.1], "ok"),
        ("more", [3.9, 3.8, 3.7], "short"),
        ("less", [1.2, 1.4, 1.5], "ok"),
        ("less", [1.4, 1.5, 1.6], "short"),
    ],
)
def test_the_better_end_decides(better, ratios, verdict):
    found = row(Bar("speed", 4.0 if better == "more" else 1.3, better), ratios, [1.0] * len(ratios), "by hand")
    assert found.verdict == verdict
    assert (found.low, found.value, found.high) == tuple(sorted(ratios))


def test_all_take_turns_after_one_unmeasured_call_of_each():
    calls = []

    def rate(name):
        def measured():
            calls.append(name)
            return float(len(calls))

        return measured

    found = turns({name: rate(name) for name in "abc"}, 4)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert found == {"a": [4.0, 9.0, 11.0, 13.0], "b": [5.0, 7.0, 12.0, 14.0], "c": [6.0, 8.0, 10.0, 15.0]}
    assert row(Bar("speed", 1.0), found["b"], found["a"], "", "things/s").detail == "4 pairs; : 9.5 against 10 things/s"


def test_work_apart_keeps_its_process():
    with apart(os.getpid) as one, apart(os.getpid) as other:
        assert len({one(), one(), other(), other(), os.getpid()}) == 3


def test_the_page_has_a_line_for_every_row():
    rows = [
        row(Bar("fast", 4.0), [5.0, 6.0, 7.0], [1.0] * 3, "one way").as_json(),
        row(Bar("small", 1.1, "less"), [1.2], [1.0], "another").as_json(),
    ]
    hardware = {"processor": "a processor", "cores": 2, "system": "Linux"}
    text = page(
        {"rows": rows, "form": "quick", "hardware": hardware, "versions": {"torch": "2"}, "commit": "abc", "date": "2026-01-01"}
    )
    assert "| fast | 6x | 5 to 7 | ≥ 4 | ok | 3 pairs; one way |" in text
    assert "| small | 1.2x | 1.2 to 1.2 | ≤ 1.1 | short | 1 pairs; another |" in text


def test_work_apart_gets_an_environment_of_its_own(monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    with (
        apart(os.getenv, "GOMP_SPINCOUNT", environment={"GOMP_SPINCOUNT": "2"}) as one,
        apart(os.getenv, "GOMP_SPINCOUNT") as other,
    ):
        assert (one(), other(), os.environ["GOMP_SPINCOUNT"]) == ("2", "1", "1")
