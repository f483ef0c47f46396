"""The features folder: who wrote which rows, at which stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, read_json
from ssl_pipelines.artifacts.errors import unknown

TRAINED, RANDOM_INIT, RAW_PIXELS, PIXELS = "trained", "random_init", "raw_pixels", "pixels"
SPLITS = ("train", "validation", "test", "unlabeled")


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """`source` below is "trained", "random_init/<i>" or "raw_pixels"."""

    folder: Path
    judged_at: str  # "final" | "best"
    stages: tuple[str, ...]
    random_inits: tuple[str, ...]

    @staticmethod
    def open(folder: Path) -> StoredFeatures:
        about = read_json(folder / "stages.json")
        inits = sorted((path for path in (folder / RANDOM_INIT).glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
        if not inits:
            raise InputError(f"{folder / RANDOM_INIT} holds no features of a random initialization; run extract_features again")
        stages = tuple(stage["name"] for stage in about["stages"])
        return StoredFeatures(folder, about["judged_at"], stages, tuple(f"{RANDOM_INIT}/{path.name}" for path in inits))

    def stages_of(self, source: str) -> tuple[str, ...]:
        return (PIXELS,) if source == RAW_PIXELS else self.stages

    def stage_named(self, wanted: str | None, key: str) -> str:
        """The one asked for, else the deepest: what `encode` gives. Needs no labels, as what is made of it is to hold without them.

        Raises InputError, which begins with `key`, for one that the encoder has not."""
        if wanted is not None and wanted not in self.stages:
            raise unknown(key, wanted, list(self.stages))
        return wanted or self.stages[-1]

    def rows(self, source: str, stage: str, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of `ids`, in that order: (n, D). Raises InputError where an id has none or a value is not finite."""
        folder, found, rows = self.folder / source / stage, np.zeros(len(ids), dtype=bool), None
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
