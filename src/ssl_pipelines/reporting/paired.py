"""Two runs on the same test images: who is right where the other is wrong, and whether that is more than chance.

Paired bootstrap over test images, Efron & Tibshirani 1993, chapter 13."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ssl_pipelines.algorithms.intervals import paired_bootstrap
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.reporting.inputs import Scores

OTHER_DATA = "not comparable: other data"


class Judged(Protocol):
    """What is needed of a run."""

    @property
    def digest(self) -> str: ...
    @property
    def scores(self) -> Scores: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Ours minus theirs, fractions; `alone`: images that only ours, and that only theirs, gets right."""

    value: float
    low: float
    high: float
    n: int
    alone: tuple[int, int]

    @property
    def sign(self) -> int:
        """1: ours is better, -1: theirs is, 0: the interval holds both."""
        return (self.low > 0) - (self.high < 0)

    @property
    def turned(self) -> Difference:
        return Difference(-self.value, -self.high, -self.low, self.n, (self.alone[1], self.alone[0]))


def difference(ours: Judged, theirs: Judged, room: str, seed: int) -> Difference | str:
    """Of the room's top-1; or why there is none."""
    if ours.digest != theirs.digest:
        return OTHER_DATA
    tables = [run.scores.predictions_of(room) for run in (ours, theirs)]
    a, b = (None if table is None else table.set_index("id").sort_index() for table in tables)
    if a is None or b is None:
        return "not comparable: no answers kept"
    if not a.index.equals(b.index) or not a.label.equals(b.label):
        return OTHER_DATA
    we, they = (a.prediction == a.label).to_numpy(), (b.prediction == b.label).to_numpy()
    value, low, high = paired_bootstrap(we, they, generator(seed, f"compare/{room}"))
    return Difference(value, low, high, len(a), (int((we & ~they).sum()), int((they & ~we).sum())))


def all_pairs(runs: Sequence[Judged], room: str, seed: int) -> dict[tuple[int, int], Difference | str]:
    """(i, j), i before j, for all runs that the room has judged."""
    known = [index for index, run in enumerate(runs) if room in run.scores.rooms]
    return {(i, j): difference(runs[i], runs[j], room, seed) for i in known for j in known if i < j}


def best(values: Mapping[int, float], pairs: Mapping[tuple[int, int], Difference | str]) -> int | None:
    """The run that is better than each of the others by a paired interval above 0; None where that is not shown."""
    if len(values) < 2:
        return None
    first = max(values, key=lambda index: values[index])
    return first if all(_beats(first, other, pairs) for other in values if other != first) else None


def _beats(ours: int, theirs: int, pairs: Mapping[tuple[int, int], Difference | str]) -> bool:
    found = pairs[min(ours, theirs), max(ours, theirs)]
    return not isinstance(found, str) and found.sign == (1 if ours < theirs else -1)
