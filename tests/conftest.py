"""Shared by all tests: a worker for each core, one torch thread each, a store of a few hundred real digits, one of crops of color photographs."""

from __future__ import annotations

import os

# Before torch is loaded here or in a child: equal means equal, and idle threads do not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from kedro.framework.project import configure_project

from projects import write_digits, write_photos
from ssl_pipelines.artifacts.cores import usable_cores

configure_project("ssl_pipelines")  # once, and here: it sets up logging, which would end what a test listens to
MadeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """How many workers `-n auto` starts: one for each core that may be used; no extra process where that is one core."""
    if config.option.numprocesses != "auto" or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = usable_cores()
    return cores if cores > 1 else 0


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
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder / "digits.npz", 400)
    return ingested(folder, "digits.npz", 16)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with 96 color crops at 32 px: train, validation and test."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder / "photos.npz", 96, 32)
    return ingested(folder, "photos.npz", 32)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """`made_once(name, make)`: the folder that `make(folder)` fills, by the first worker that needs it, for all workers.

    It is only read: tests copy it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # each worker has its own below the common one

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, finished = base / name, base / f"{name}.finished"
        with FileLock(base / f"{name}.lock"):
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a worker left whose `make` failed
                folder.mkdir()
                make(folder)
                finished.touch()
        return folder

    return folder_of


def ingested(folder: Path, name: str, size: int) -> Path:
    from ssl_pipelines.data import DatasetConfig, ingest

    store = folder / "store"
    store.mkdir()
    source = {"reader": "npz", "root": str(folder / name), "size": size, "stored_size": size, "fields": ["saliency"]}
    ingest(DatasetConfig.of(source, "dataset"), seed=0, out=store, workers=1)
    return store
