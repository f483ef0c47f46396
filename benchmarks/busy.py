"""Training, the linear probe and feature extraction on two cores, with another program busy on one of them, against the same in quiet."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.measure import PAIRS, Bar, Row, apart, row, turns
from benchmarks.photos import crops, green_ranks
from benchmarks.stores import photo_store, simclr_loop, timed_training
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import ExtractConfig, LinearConfig
from ssl_pipelines.evaluation.features import extract_features
from ssl_pipelines.evaluation.linear import REFIT, choose
from ssl_pipelines.evaluation.logistic import Problem
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.model import describe, save_weights, write_description
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.training.runtime import RuntimeConfig, set_up

BARS = {name: Bar(name, 0.45) for name in ("busy_train", "busy_linear", "busy_extract")}
CORES = 2
TWO_THREADS = RuntimeConfig(threads=CORES, accelerator="cpu")
BATCH = 256
SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nprint(flush=True)\nwhile True: pass"


def run(quick: bool) -> list[Row]:
    """No rows where the system cannot pin a process, or has not two cores for this one."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < CORES:
        print(f"busy: left out; it needs Linux and {CORES} cores", flush=True)
        return []
    before = os.sched_getaffinity(0)
    cores = sorted(before)[:CORES]
    os.sched_setaffinity(0, cores)  # of the processes that are started below too
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _rows(Path(folder), cores[0], quick)
    finally:
        os.sched_setaffinity(0, before)


def _rows(folder: Path, core: int, quick: bool, pairs: int = PAIRS) -> list[Row]:
    stored = 1_000 if quick else 4_000
    store = photo_store(folder, stored)
    model = written_model(folder / "model", store)
    steps, images = (3, 1_500) if quick else (15, 10_000)
    works: dict[str, tuple[Callable[..., float], tuple[object, ...], str]] = {
        "busy_train": (train, (store, steps), f"SimCLR, resnet_small, batch {BATCH}, {steps} steps"),
        "busy_linear": (linear, (images,), f"choice of l2 and refit, {images:,} x 192, 10 classes"),
        "busy_extract": (extract, (store, model, stored), f"{stored:,} images, trained and random resnet_small"),
    }
    return [compared(name, core, pairs, *work) for name, work in works.items()]


def compared(name: str, core: int, pairs: int, work: Callable[..., float], given: tuple[object, ...], detail: str) -> Row:
    """The rate of `work(*given)` in a process of its own, beside a busy one over without."""
    with apart(work, *given) as measured:

        def beside() -> float:
            with competitor(core):
                return measured()

        rates = turns({"busy": beside, "quiet": measured}, pairs)
    return row(
        BARS[name],
        rates["busy"],
        rates["quiet"],
        f"{CORES} threads, one process busy on one of {CORES} cores; {detail}",
        "images/s",
    )


@contextmanager
def competitor(core: int) -> Iterator[int]:
    """A process that computes on this core alone without a pause; its id."""
    with subprocess.Popen([sys.executable, "-c", SPIN, str(core)], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout is not None
            busy.stdout.readline()  # it is busy from here on
            yield busy.pid
        finally:
            busy.kill()


def train(store: Path, steps: int) -> float:
    return timed_training(store, 1, steps, TWO_THREADS)[0]


def linear(images: int) -> float:
    """Images a second of what linear_eval does with one stage: the path of penalties, the choice on validation, the refit."""
    set_up(TWO_THREADS)
    held_out = images // 5
    pixels = crops(images + held_out, 8)
    x, y = pixels.reshape(len(pixels), -1).astype(np.float32), green_ranks(pixels)
    x_val, y_val, x, y = x[:held_out], y[:held_out], x[held_out:], y[held_out:]
    config = LinearConfig()
    began = time.perf_counter()
    best = choose(x, y, x_val, y_val, "pixels", config)
    Problem(x, y, config.standardize, best.spectrum).solve(best.l2, best.solution, config.max_iterations, REFIT)
    return images / (time.perf_counter() - began)


def extract(store: Path, model: Path, images: int) -> float:
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        extract_features(model, store, ExtractConfig(random_init_seeds=1), 0, TWO_THREADS, Path(out))
        return images / (time.perf_counter() - began)


def written_model(folder: Path, store: Path) -> Path:
    """A model folder after one step of SimCLR with resnet_small."""
    loop = simclr_loop(store, "resnet_small", 1)
    loop.run_step(0)
    loop.feed.close()
    values = {"method": "simclr", "backbone": {"name": "resnet_small"}, "pretrain": {"images_seen": BATCH, "batch_size": BATCH}}
    folder.mkdir()
    save_weights(loop.method, folder)
    write_description(folder, describe(RunConfig.resolve(values), data_facts(Store.open(store)), loop.method, 1))
    return folder
