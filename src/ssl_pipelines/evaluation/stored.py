"""Reads the features folder: rows of each source and layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, read_json
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.artifacts.layer import FINAL

TRAINED, RANDOM_INIT, RAW_PIXELS, PIXELS = "trained", "random_init", "raw_pixels", "pixels"
SPLITS = ("train", "validation", "test", "unlabeled")


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """`source` below is "trained", "random_init/<i>" or "raw_pixels"."""

    folder: Path
    layers: tuple[str, ...]  # shallow to deep
    random_inits: tuple[str, ...]
    final: str  # the layer among `layers` that `encode` gives

    @staticmethod
    def open(folder: Path) -> StoredFeatures:
        about = read_json(folder / "stages.json")
        inits = sorted((path for path in (folder / RANDOM_INIT).glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
        if not inits:
            raise InputError(f"{folder / RANDOM_INIT} holds no features of a random initialization; run extract_features again")
        layers = tuple(layer["name"] for layer in about["stages"])
        final = about.get("final", layers[-1])  # folders of earlier versions do not say it
        return StoredFeatures(folder, layers, tuple(f"{RANDOM_INIT}/{path.name}" for path in inits), final)

    def layers_of(self, source: str) -> tuple[str, ...]:
        return (PIXELS,) if source == RAW_PIXELS else self.layers

    def eval_layer(self, wanted: str, key: str, *others: str) -> str:
        """The name of a stored layer: `wanted` itself, or what `final` stands for.

        Raises InputError, which begins with `key`, for one that the encoder has not; `others`: what else the key may be."""
        if wanted not in (*self.layers, FINAL):
            raise unknown(key, wanted, {*self.layers, FINAL, *others})
        return wanted if wanted in self.layers else self.final

    def at(self, layer: str) -> StoredFeatures:
        """The same with `layer` alone, so that no layer is chosen."""
        return replace(self, layers=(layer,))

    def rows(self, source: str, layer: str, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of `ids`, in that order: (n, D). Raises InputError where an id has none or a value is not finite."""
        folder, found, rows = self.folder / source / layer, np.zeros(len(ids), dtype=bool), None
        for path in (folder / f"{split}.npy" for split in SPLITS):
            if not path.is_file():
                continue
            known = np.load(path.with_suffix(".ids.npy"))
            place = np.searchsorted(known, ids).clip(max=len(known) - 1)
            here = known[place] == ids
            table = np.load(path, mmap_mode="r")
            rows = np.empty((len(ids), table.shape[1]), dtype=np.float32) if rows is None else rows
            rows[here] = table[place[here]]
            found |= here
        if rows is None or not found.all():
            raise InputError(f"{folder} lacks {np.count_nonzero(~found):,} of {len(ids):,} images; run extract_features again")
        if not np.isfinite(rows).all():
            raise InputError(f"{folder} holds values that are not finite; the encoder diverged, or the folder is damaged")
        return rows
