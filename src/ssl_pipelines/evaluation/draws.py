"""Draws of labels to learn from: n of every class, or a share of every class, many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.config import FewLabelsConfig
from ssl_pipelines.evaluation.frame import Ids, of_each, some_of_each

LEAST_DRAWS = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """`key` names its scores, `words` its rows: "10pct", "10 %"; "5shot", "5 a class"."""

    key: str
    words: str
    shots: int | None = None
    fraction: float | None = None

    def draw(self, pool: Ids, labels: NDArray, rng: np.random.Generator) -> Ids:
        """Ascending ids drawn from `pool`, whose labels are `labels`."""
        if self.fraction is not None:
            return pool[some_of_each(labels, rng, self.fraction)]
        shots = self.shots
        assert shots is not None
        return np.sort(pool[of_each(labels, rng, lambda count: shots)])

    def why_not(self, labels: NDArray, names: Sequence[str]) -> str | None:
        """One line why these labels do not allow it, or None."""
        classes, counts = np.unique(labels, return_counts=True)
        if self.shots is not None and counts.min() < self.shots:
            least = counts.argmin()
            return f"{self.words} is skipped: class {names[classes[least]]!r} has {counts[least]} labeled images"
        if self.fraction is not None and self.fraction * len(labels) < len(classes):
            share, all_of_them = self.fraction * len(labels), len(labels)
            return f"{self.words} is skipped: of {all_of_them:,} labels that is {share:.1f}, less than one for each of {len(classes)} classes"
        return None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A setting, the same draws for everything that learns from them, and a seed a draw."""

    setting: Setting
    ids: list[Ids]
    seeds: list[int]

    @property
    def labels(self) -> int:
        """Number of labeled images in each draw."""
        return len(self.ids[0])


def settings_of(config: FewLabelsConfig) -> list[Setting]:
    """Shots, then fractions, each once and in ascending order."""
    shots = [Setting(f"{n}shot", f"{n} a class", shots=n) for n in sorted(set(config.shots))]
    percents = [(f"{100 * share:.6g}", share) for share in sorted(set(config.fractions))]
    return shots + [Setting(f"{text}pct", f"{text} %", fraction=share) for text, share in percents]


def draw_all(settings: Sequence[Setting], pool: Ids, labels: NDArray, config: FewLabelsConfig, seed: int) -> list[Drawn]:
    """A function of (seed, setting, number of the draw): one draw more changes none before it."""
    found = []
    for setting in settings:
        purpose = f"few_labels/{setting.key}"
        ids = [setting.draw(pool, labels, generator(seed, purpose, 0))]
        if len(ids[0]) < len(pool):  # all labels can be drawn in one way alone
            count = min(config.draws, max(LEAST_DRAWS, config.labels_drawn // len(ids[0])))
            ids += [setting.draw(pool, labels, generator(seed, purpose, k)) for k in range(1, count)]
        seeds = [int(generator(seed, f"{purpose}/seed", k).integers(2**31)) for k in range(len(ids))]
        found.append(Drawn(setting, ids, seeds))
    return found
