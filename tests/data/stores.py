"""What tests ask of an ingested store, and of what was said while it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from tests.data.image_samples import encoded, noise

Make = Callable[..., Store]


def counts(store: Store) -> dict[str, int]:
    return {split: len(store.ids(split)) for split in ("train", "validation", "test", "unlabeled") if len(store.ids(split))}


def by_path(store: Store, column: str) -> dict[str, Any]:
    values = store.manifest.set_index("path")[column]
    return {path: None if pd.isna(value) else value for path, value in values.items()}


def labels(store: Store) -> dict[str, str | None]:
    return {path: None if index is None else store.classes[index] for path, index in by_path(store, "label").items()}


def refusal(make_store: Make, **dataset: Any) -> str:
    with pytest.raises(InputError) as refused:
        make_store(**dataset)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def said(caplog: pytest.LogCaptureFixture) -> tuple[str, list[str]]:
    """The line of what was ingested, and the warnings, of the last store; forgets them."""
    records = [record for record in caplog.records if record.name == "ssl_pipelines"]
    lines = [record.getMessage() for record in records if record.levelname == "INFO"]
    warnings = [record.getMessage().removeprefix("ingest: ") for record in records if record.levelname == "WARNING"]
    caplog.clear()
    return lines[-1], warnings


def write_parquet(path: Path, seeds: Iterable[int], **columns: Any) -> None:
    """One image of 8 x 8 pixels for every seed, in the column `image`, beside these columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encoded(noise(seed, 8, 8)), "path": None} for seed in seeds]
    pq.write_table(pa.table({"image": images, **columns}), path)
