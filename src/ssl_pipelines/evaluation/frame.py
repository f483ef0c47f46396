"""The labeled images of a store, split into fitting, validation and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data import Store
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.protocols import data_words

Ids = NDArray[np.int64]
HELD_OUT = 0.2  # of train, where the store has no validation split
HOW = "give labels by class folders or dataset.labels=<csv with columns path, label>"


@dataclass(frozen=True, slots=True)
class Frame:
    """Ids of labeled images. Fitted on `fit`, chosen on `validation`, refit on both, scored on `test` once, at the end."""

    store: Store
    fit: Ids
    validation: Ids
    test: Ids
    own_validation: bool  # the store's split; else a seeded, stratified share of train

    @staticmethod
    def of(store: Store, seed: int, room: str) -> Frame:
        """Raises NotApplicable where labels, a second class, test images or images to choose on are missing."""
        train, validation, test = (_labeled(store, split) for split in ("train", "validation", "test"))
        if len(train) == 0:
            raise NotApplicable(f"{room} needs labels, and no training image of {store.name!r} has one: {HOW}")
        classes = np.unique(store.labels(train))
        if len(classes) < 2:
            raise NotApplicable(f"{room} needs at least 2 classes, and the training images of {store.name!r} have 1: {HOW}")
        if len(test) == 0:
            raise NotApplicable(f"{room} needs labeled test images, and {store.name!r} has none: {HOW}")
        if len(validation):
            return Frame(store, train, validation, test, own_validation=True)
        held_out = hold_out(store.labels(train), generator(seed, "evaluation/held_out"))
        if not held_out.any():
            raise NotApplicable(f"{room} needs 2 training images of some class, and every class of {store.name!r} has 1: {HOW}")
        return Frame(store, train[~held_out], train[held_out], test, own_validation=False)

    def thinned(self, fraction: float, seed: int) -> Frame:
        """The same with a seeded `fraction` of every class's labels to learn from, at least one; tested on all."""
        if fraction == 1:
            return self
        random = generator(seed, "evaluation/labels")
        fit, validation = (ids[some_of_each(self.store.labels(ids), random, fraction)] for ids in (self.fit, self.validation))
        return replace(self, fit=fit, validation=validation)

    @property
    def both(self) -> Ids:
        return np.sort(np.concatenate([self.fit, self.validation]))

    def facts(self) -> dict[str, Any]:
        """{fit, validation, test: images; held_out: the share of train that is validation, where the store has no such split}."""
        sizes: dict[str, Any] = {"fit": len(self.fit), "validation": len(self.validation), "test": len(self.test)}
        return sizes if self.own_validation else sizes | {"held_out": HELD_OUT}

    def describe(self) -> str:
        """The sizes, and where validation comes from."""
        return data_words(self.facts())


def hold_out(labels: NDArray, rng: np.random.Generator, share: float = HELD_OUT) -> NDArray[np.bool_]:
    """True for `share` of every class, at least one image and never the last one; a class with a single image stays."""
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out[rows[: min(max(1, round(share * len(rows))), len(rows) - 1)]] = True
    return held_out


def folds(labels: NDArray, rng: np.random.Generator, most: int) -> NDArray[np.int64]:
    """(n,): the fold that each image is held out in, 0, 1, ...; -1, never, where it is the only one of its class.

    As many folds as the largest class has images, `most` at most, every class spread over them evenly. No fold takes a class's last image."""
    fold = np.full(len(labels), -1, dtype=np.int64)
    classes, counts = np.unique(labels, return_counts=True)
    count = min(most, int(counts.max()))
    for label in classes[counts > 1]:
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold[rows] = (rng.integers(count) + np.arange(len(rows))) % count
    return fold


def some_of_each(labels: NDArray, rng: np.random.Generator, fraction: float) -> NDArray[np.int64]:
    """Ascending places of `fraction` of every class, at least one."""
    return of_each(labels, rng, lambda count: max(1, round(fraction * count)))


def of_each(labels: NDArray, rng: np.random.Generator, wanted: Callable[[int], int]) -> NDArray[np.int64]:
    """Ascending places of `wanted(size)` rows of each class, `size` its number of rows."""
    kept = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.sort(np.concatenate([rows[: wanted(len(rows))] for rows in kept]))


def _labeled(store: Store, split: str) -> Ids:
    ids = store.ids(split)
    labeled: Ids = ids[store.labels(ids) >= 0]
    return labeled
