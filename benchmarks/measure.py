"""Interleaved pairs, their median with an interval, and the line that says whether a bar was reached."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Literal, TypeVar
from unittest.mock import patch

T = TypeVar("T")
PAIRS = 7


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    bar: float
    better: Literal["more", "less"] = "more"
    unit: str = "x"


@dataclass(frozen=True, slots=True)
class Row:
    """`low` and `high` are the smallest and the largest pair: of 7, an interval of 98 % for the median."""

    name: str
    value: float
    bar: float
    unit: str
    low: float
    high: float
    detail: str
    better: str = "more"

    @property
    def verdict(self) -> str:
        reached = self.high >= self.bar if self.better == "more" else self.low <= self.bar
        return "ok" if reached else "short"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}


def row(bar: Bar, ours: Sequence[float], theirs: Sequence[float], detail: str, unit: str = "") -> Row:
    """Of what took turns. `unit`: of both medians, which are then told too."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    if unit:
        said = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (median(ours), median(theirs))]
        detail += f": {said[0]} against {said[1]} {unit}"
    values = [round(value, 3) for value in (median(ratios), min(ratios), max(ratios))]
    return Row(bar.name, values[0], bar.bar, bar.unit, values[1], values[2], f"{len(ratios)} pairs; {detail}", bar.better)


def turns(works: Mapping[str, Callable[[], float]], count: int = PAIRS, *, warm: bool = True) -> dict[str, list[float]]:
    """Rates by name: all take turns `count` times, each time another one first.

    One call of each goes before, unmeasured (`warm`): caches, allocators and lazy imports are nobody's merit."""
    if warm:
        for work in works.values():
            work()
    names = list(works)
    found: dict[str, list[float]] = {name: [] for name in names}
    for k in range(count):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            found[name].append(works[name]())
    return found


def rate(work: Callable[[], Any], units: float) -> Callable[[], float]:
    """Units a second of one call of `work`."""

    def measured() -> float:
        began = time.perf_counter()
        work()
        return units / (time.perf_counter() - began)

    return measured


@contextmanager
def apart(work: Callable[..., T], *arguments: Any, environment: Mapping[str, str] | None = None) -> Iterator[Callable[[], T]]:
    """`work(*arguments)`, every call in the same process of its own: neither side's threads, allocator or caches touch the other's.

    `environment`: variables that the process gets instead of those of the same names here."""
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    child = spawn.Process(target=_serve, args=(there, work, arguments))
    with patch.dict(os.environ, environment or {}):
        child.start()
    there.close()

    def call() -> T:
        here.send(True)
        found: T = here.recv()
        return found

    try:
        yield call
    finally:
        here.close()
        child.join()


def _serve(pipe: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    with suppress(EOFError):
        while pipe.recv():
            pipe.send(work(*arguments))
