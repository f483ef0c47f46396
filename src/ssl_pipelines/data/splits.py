"""Splits where the source brings none: seeded, stratified by label, duplicates kept together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data.seeding import generator

SPLITS = ("train", "validation", "test", "unlabeled")

Labels = NDArray[np.int64]
Group = list[int]  # rows with equal pixels


def assign_splits(
    source: Sequence[str | None], labels: Labels, hashes: Sequence[str], validation: float, test: float, seed: int
) -> list[str]:
    """The split of every usable image. source: its split in the source, if any; labels: -1 for none; hashes: of the pixels.

    The source's splits are kept. No test split there: that share of train becomes one. No split at all there: a validation share as
    well. An image without a label is "unlabeled". Equal pixels never straddle splits made here: where one of them lies outside
    train already, the others stay in train. Every class keeps something in train, however few or alike its images are."""
    splits = ["unlabeled" if label < 0 else (split or "train") for split, label in zip(source, labels, strict=True)]
    given = {split for split, made in zip(source, splits, strict=True) if split and made != "unlabeled"}
    if "test" in given:
        return splits
    strata = _strata(splits, labels, hashes, generator(seed, "splits"))
    train = labels[[split == "train" for split in splits]]
    for name, fraction in [("test", test)] if given else [("test", test), ("validation", validation)]:
        for label, quota in _quotas(train, fraction).items():
            for row in _take(strata.get(label, []), quota):
                splits[row] = name
    return splits


def _strata(splits: list[str], labels: Labels, hashes: Sequence[str], draw: np.random.Generator) -> dict[int, list[Group]]:
    """label -> its groups, shuffled; without those that have a twin outside train. A group has the label of its first image."""
    groups: dict[str, Group] = {}
    for row, digest in enumerate(hashes):
        groups.setdefault(digest, []).append(row)
    free = [rows for rows in groups.values() if all(splits[row] == "train" for row in rows)]
    strata: dict[int, list[Group]] = {}
    for i in draw.permutation(len(free)):
        strata.setdefault(int(labels[free[i][0]]), []).append(free[i])
    return strata


def _quotas(labels: Labels, fraction: float) -> dict[int, int]:
    """How many images of every class make up `fraction` of all: rounded by largest remainder, so that the sum is right too."""
    classes, counts = np.unique(labels, return_counts=True)
    ideal = counts * fraction
    quota = np.floor(ideal).astype(int)
    short = round(float(ideal.sum())) - int(quota.sum())
    quota[np.argsort(quota - ideal, kind="stable")[:short]] += 1
    return dict(zip(classes.tolist(), quota.tolist(), strict=True))


def _take(groups: list[Group], quota: int) -> list[int]:
    """Rows of whole groups, at most `quota`, removed from `groups`; the last group is never taken."""
    taken: list[int] = []
    for group in groups[:-1]:
        if len(taken) + len(group) <= quota:
            taken += group
            groups.remove(group)
    return taken
