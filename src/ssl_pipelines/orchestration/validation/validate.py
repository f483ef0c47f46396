"""The gate: judges a store, or extracted features, and writes what it found. The caller acts on `failed_lines`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, read_json, write_json
from ssl_pipelines.orchestration.validation.config import CountAtLeast, CountAtMost, Rule, ShareAtLeast, ValidateConfig
from ssl_pipelines.orchestration.validation.expectations import Check, Outcome, run
from ssl_pipelines.orchestration.validation.manifest_checks import column_checks, manifest_checks

SCHEMA_VERSION = 1
SAMPLE = 2048  # rows from which the spread of the features is judged
MIN_STD = ShareAtLeast(min=0.01, severity="warning")  # 1 is spread evenly; untrained on digits: ResNet-18 0.14, ViT-tiny 0.11
MIN_RANK = CountAtLeast(min=2, severity="warning")  # 1 is collapsed; untrained on digits: ResNet-18 72, ViT-tiny 4.6


def validate(store_folder: Path, config: ValidateConfig, out: Path) -> list[Outcome]:
    """Judges the store; writes validation.json and validation.html into the existing folder `out`."""
    from ssl_pipelines.reporting.validation_page import write_validation_page  # plots: a run that finds its gate open needs none

    outcomes = judge(store_folder, config)
    found = {
        "schema_version": SCHEMA_VERSION,
        "passed": not failed_lines(outcomes, "critical"),
        "store": read_json(store_folder / "store.json")["sha256"],
        "outcomes": outcomes,
        "counts": _counts(outcomes),
    }
    write_json(out / "validation.json", found)
    write_validation_page(out / "validation.html", store_folder, outcomes)
    return outcomes


def judge(store_folder: Path, config: ValidateConfig) -> list[Outcome]:
    """Reads the files themselves, not through the reader: it is the reader's assumptions that are judged."""
    store, manifest = read_json(store_folder / "store.json"), _manifest(store_folder / "manifest.parquet")
    frames, checks = column_checks(manifest, config)
    outcomes = run(frames, checks)
    if bool(frames["columns"]["agrees"].all()):
        outcomes += run(*manifest_checks(manifest, store, config))
    return outcomes


def failed_lines(outcomes: Sequence[Outcome], severity: str) -> list[str]:
    """One line per failed expectation of that severity ("critical" or "warning")."""
    return [one["message"] for one in outcomes if not one["success"] and one["severity"] == severity]


def check_features(features_folder: Path) -> list[Outcome]:
    """Judges the stored features: finite and of the announced shape (critical), not collapsed (warning, trained ones)."""
    files = [_measured(features_folder, file) for file in _feature_files(features_folder)]
    if not files:
        raise InputError(f"{features_folder}: no features are stored there")
    frame = pd.DataFrame([file.row() for file in files])
    trained = frame[(frame["source"] == "trained") & frame["std"].notna()]
    return run({"features": frame, "trained": trained}, _feature_checks(frame, trained))


@dataclass(frozen=True, slots=True)
class Measured:
    """What one feature file holds."""

    name: str
    shape: tuple[int, ...]
    expected_dim: int
    ids: NDArray
    not_finite: int
    std: float  # algorithms.spectra.embedding_std of a sample
    rank: float  # algorithms.spectra.effective_rank of a sample

    def row(self) -> dict[str, Any]:
        different = len(np.unique(self.ids))
        expected = (len(self.ids), self.expected_dim)
        said = f"{self.name} is {list(self.shape)} with {different} different ids, expected {list(expected)}"
        row = {"name": self.name, "source": self.name.split("/")[0], "sound": self.shape == expected and different == len(self.ids)}
        return row | {"shape": said, "not_finite": self.not_finite, "std": self.std, "rank": self.rank}


def _measured(folder: Path, file: Path) -> Measured:
    """Reads one `<split>.npy` in blocks; the spread is that of evenly spaced rows."""
    import torch

    from ssl_pipelines.algorithms.spectra import effective_rank, embedding_std

    ids_file = file.with_name(f"{file.stem}.ids.npy")
    if not ids_file.is_file():
        raise InputError(f"{ids_file} is missing: features without ids belong to no image")
    values, ids = np.load(file, mmap_mode="r"), np.load(ids_file)
    not_finite = sum(int((~np.isfinite(block)).sum()) for block in _blocks(values))
    std = rank = float("nan")
    if values.ndim == 2 and not not_finite and len(values) > 1:
        sample = torch.from_numpy(np.array(values[np.linspace(0, len(values) - 1, min(SAMPLE, len(values)), dtype=int)]))
        std, rank = float(embedding_std(sample)), float(effective_rank(sample))
    name = file.relative_to(folder).with_suffix("").as_posix()
    return Measured(name, values.shape, _expected_dim(folder, name), ids, not_finite, std, rank)


def _feature_checks(frame: pd.DataFrame, trained: pd.DataFrame) -> list[Check]:
    none, shapes = CountAtMost(max=0), "; ".join(frame.loc[~frame.sound, "shape"].head(3))
    wrong = "{} feature files do not match their ids or stages.json"
    values = "; ".join(f"{name}: {count}" for name, count in zip(frame["name"], frame["not_finite"], strict=True) if count)
    checks = [
        Check("features_shape", "all files", Rule(), "features", "true", "sound", wrong, shapes),
        Check("features_finite", "all files", none, "features", "sum", "not_finite", "{} values are NaN or infinite", values),
    ]
    if len(trained):
        flat, narrow = (str(trained["name"].iloc[int(trained[column].to_numpy().argmin())]) for column in ("std", "rank"))
        std = f"the embedding standard deviation of {flat} is {{}}, of 1 if spread evenly and 0 if collapsed"
        rank = f"the effective rank of {narrow} is {{}}"
        checks += [
            Check("features_std", "trained", MIN_STD, "trained", "min", "std", std),
            Check("features_rank", "trained", MIN_RANK, "trained", "min", "rank", rank),
        ]
    return checks


def _feature_files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*.npy")) if not file.name.endswith(".ids.npy"))


def _expected_dim(folder: Path, name: str) -> int:
    """From stages.json, by the stage's name: `trained/final/test` -> final; -1 for a stage that it does not name."""
    announced = read_json(folder / "stages.json")
    if name.startswith("raw_pixels/"):
        return int(announced["raw_pixels"]["dim"])
    return next((int(stage["dim"]) for stage in announced["stages"] if stage["name"] == name.split("/")[-2]), -1)


def _blocks(values: NDArray, size: int = 8192) -> Iterator[NDArray]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _manifest(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path} is missing; `kedro run --pipelines=ingest` makes it")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError(f"{path} is not Parquet ({error})") from error


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {
        "passed": sum(one["success"] for one in outcomes),
        "critical": len(failed_lines(outcomes, "critical")),
        "warning": len(failed_lines(outcomes, "warning")),
    }
