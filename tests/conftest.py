"""Shared by all tests: one torch thread, and a store of a few hundred real digits."""

from __future__ import annotations

import os

# Before torch is loaded here or in a child: equal means equal, and idle threads do not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

from projects import write_digits


@pytest.fixture(autouse=True)
def _one_torch_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with 400 real digits at 16 px: train, validation and test."""
    from ssl_pipelines.data import DatasetConfig, ingest

    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder / "digits.npz", 400)
    store = folder / "store"
    store.mkdir()
    source = {"reader": "npz", "root": str(folder / "digits.npz"), "size": 16, "fields": ["saliency"]}
    ingest(DatasetConfig.of(source, "dataset"), seed=0, out=store, workers=1)
    return store
