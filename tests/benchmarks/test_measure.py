"""A bar is judged by the better end of its interval, pairs take turns, and the page says all that was measured."""

from __future__ import annotations

import pytest
from benchmarks.__main__ import page
from benchmarks.measure import Bar, pairs, row


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
    found = row(Bar("speed", 4.0 if better == "more" else 1.3, better), ratios, "by hand")
    assert found.verdict == verdict
    assert (found.low, found.value, found.high) == tuple(sorted(ratios))


def test_pairs_take_turns_after_one_unmeasured_call_of_each():
    calls = []

    def rate(name, value):
        def measured():
            calls.append(name)
            return value * len(calls)

        return measured

    ratios, ours, theirs = pairs(rate("ours", 2.0), rate("theirs", 1.0), 3)
    assert calls == ["ours", "theirs", "ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert ratios == [2 * 3 / 4, 2 * 6 / 5, 2 * 7 / 8]
    assert (ours, theirs) == (12.0, 5.0)


def test_the_page_has_a_line_for_every_row():
    rows = [row(Bar("fast", 4.0), [5.0, 6.0, 7.0], "one way").as_json(), row(Bar("small", 1.1, "less"), [1.2], "another").as_json()]
    hardware = {"processor": "a processor", "cores": 2, "system": "Linux"}
    text = page(
        {"rows": rows, "form": "quick", "hardware": hardware, "versions": {"torch": "2"}, "commit": "abc", "date": "2026-01-01"}
    )
    assert "| fast | 6x | 5 to 7 | ≥ 4 | ok | 3 pairs; one way |" in text
    assert "| small | 1.2x | 1.2 to 1.2 | ≤ 1.1 | short | 1 pairs; another |" in text
