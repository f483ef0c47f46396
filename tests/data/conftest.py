"""Shared by the tests of ingestion: one way to ingest a source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssl_pipelines.data import DatasetConfig, Store, ingest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Store]:
    """Ingests dataset{...} into a new folder and opens it."""

    def make(seed: int = 0, workers: int = 1, **dataset: Any) -> Store:
        out = tmp_path_factory.mktemp("store")  # not below the source
        ingest(DatasetConfig.of({"size": 8, **dataset}, "dataset"), seed, out, workers)
        return Store.open(out)

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the repository: real Parquet samples are not here")
    return folder
