"""What the report reads: the model's history and notes, score files, predictions, stored features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, read_json
from ssl_pipelines.evaluation.protocols import eval_layer_of

ROOMS = {"linear_eval": "Linear probe", "knn_eval": "Nearest neighbors", "finetune": "Fine-tuning"}
PIXELS, LIKELIHOOD = "likelihood", "likelihood.json"  # of evaluation.likelihood


@dataclass(frozen=True)
class Model:
    """The model folder, without its weights."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        return dict(read_json(self.folder / "config.json"))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        path = self.folder / "provenance.json"
        return dict(read_json(path)) if path.is_file() else {}

    @cached_property
    def history(self) -> pd.DataFrame:
        """Columns step, name, value; empty where nothing was recorded."""
        path = self.folder / "history.parquet"
        return pd.read_parquet(path) if path.is_file() else pd.DataFrame({"step": [], "name": [], "value": []})

    @property
    def method(self) -> str:
        return str(self.config["parameters"]["method"])

    @property
    def backbone(self) -> str:
        return str(self.config["backbone"]["name"])

    def curve(self, name: str) -> pd.DataFrame:
        """Columns step, value; in order of step, finite values alone."""
        rows = self.history[self.history.name == name].sort_values("step", kind="stable")
        return rows.loc[np.isfinite(rows.value.astype(float)), ["step", "value"]].reset_index(drop=True)

    def pictures(self) -> list[Path]:
        """The views first, then reconstructions, then the rest by name."""
        first = {"views": 0, "reconstructions": 1}
        return sorted((self.folder / "pictures").glob("*.png"), key=lambda path: (first.get(path.stem, 2), path.name))


@dataclass(frozen=True)
class Scores:
    """The score folder: rows of {metric, value, low, high, n, protocol, seed, baseline, eval_layer, chosen} by room.

    `features`: the feature folder, where a model with an exact likelihood has left what its pixels cost."""

    folder: Path
    features: Path | None = None

    @cached_property
    def rooms(self) -> dict[str, list[dict[str, Any]]]:
        """The known rooms in their order, then others; a room that did not run is absent."""
        files = {path.stem: path for path in sorted(self.folder.glob("*.json")) if "." not in path.stem}  # no record, no notes
        order = [*(room for room in ROOMS if room in files), *(room for room in files if room not in ROOMS)]
        found = {room: _score_rows(files[room]) for room in order}
        if self.features is not None and (self.features / LIKELIHOOD).is_file():
            found[PIXELS] = _score_rows(self.features / LIKELIHOOD)
        return {room: rows for room, rows in found.items() if rows}

    @cached_property
    def by_metric(self) -> dict[str, dict[str, Any]]:
        return {row["metric"]: row for rows in self.rooms.values() for row in rows}

    @property
    def eval_layer(self) -> str | None:
        """Of whose features the linear probe, else kNN, made most on validation."""
        return next(filter(None, map(eval_layer_of, self.by_metric.values())), None)

    def predictions(self) -> tuple[str, pd.DataFrame] | None:
        """(room, columns id, label, prediction) of the first room that stored them: the linear probe's, if it ran."""
        found = ((room, self.predictions_of(room)) for room in ROOMS)
        return next(((room, table) for room, table in found if table is not None), None)

    def predictions_of(self, room: str) -> pd.DataFrame | None:
        """Columns id, label, prediction; None where the room stored none, or had nothing to score."""
        path = self.folder / f"{room}.predictions.parquet"
        found = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
        return found if len(found) else None


def _score_rows(path: Path) -> list[dict[str, Any]]:
    rows = read_json(path)
    if not isinstance(rows, list) or any(not isinstance(row, Mapping) or not {"metric", "value"} <= row.keys() for row in rows):
        raise InputError(f"{path} is no list of scores: every entry needs at least the keys metric and value")
    return [dict(row) for row in rows]


@dataclass(frozen=True)
class Features:
    """The feature folder, at one layer: the one that the linear probe chose; where none did, what `encode` gives."""

    folder: Path
    chosen: str | None = None

    @cached_property
    def layer(self) -> str:
        if self.chosen:
            return self.chosen
        about = read_json(self.folder / "stages.json")
        return str(about.get("final") or about["stages"][-1]["name"])

    def splits(self) -> list[str]:
        return sorted(path.stem for path in (self.folder / "trained" / self.layer).glob("*.npy") if not path.stem.endswith(".ids"))

    def has(self, source: str, split: str) -> bool:
        return (self.folder / source / self.layer / f"{split}.npy").is_file()

    def read(self, split: str, source: str = "trained") -> tuple[NDArray, NDArray]:
        """(N, D) memory map and its ids (N,).   source: "trained" or "random_init/0"."""
        folder = self.folder / source / self.layer
        return np.load(folder / f"{split}.npy", mmap_mode="r"), np.load(folder / f"{split}.ids.npy")
