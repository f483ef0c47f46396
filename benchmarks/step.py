"""The tracked, logged loop against a bare hand-written loop of the same model on ready tensors: SimCLR, batch 256, 32 px.

Both take turns within one training: before each stretch of ours the bare loop runs one of the same length."""

from __future__ import annotations

import copy
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch

from benchmarks.measure import PAIRS, Bar, Row, row
from benchmarks.stores import photo_store, simclr_loop
from ssl_pipelines.data import Store
from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.orchestration.mlflow.tail import Tail
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.training.events import Events
from ssl_pipelines.training.loop import Loop, Pace, StepResult
from ssl_pipelines.training.pretrain import _train
from ssl_pipelines.training.runtime import RuntimeConfig, set_up
from ssl_pipelines.training.watch import Watch

BARS = {
    "step_small": Bar("step_small", 0.90),
    "step_small_noviews": Bar("step_small_noviews", 0.98),
    "step_resnet18": Bar("step_resnet18", 0.97),
}
BATCH = 256


class Measured(Exception):
    """Enough was seen; what ends a training is not its step."""


class Bare:
    """What one would write by hand, for the same model on ready views."""

    def __init__(self, loop: Loop, x1: torch.Tensor, x2: torch.Tensor):
        self.method, self.x1, self.x2 = copy.deepcopy(loop.method), x1, x2
        self.method.train()
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)

    def stretch(self, steps: int) -> None:
        encoder, projector = self.method.encoder, self.method.projector
        for _ in range(steps):
            loss = nt_xent(projector(encoder(self.x1)), projector(encoder(self.x2)), 0.5)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()


def measure(folder: Path, name: str, backbone: str, stretch: int, warmup: int, *, views: bool) -> Row:
    set_up(RuntimeConfig())  # for both: they share a process
    total = warmup + stretch * PAIRS + 1
    work = folder / name
    loop = simclr_loop(folder / "store", backbone, total)
    ready = loop.feed.batches(0, total)
    if not views:
        loop.feed.batches = lambda step, last_step: ready  # type: ignore[method-assign]
    x1, x2 = ready[0].views["global"].clone()
    bare, inner, ours, theirs = Bare(loop, x1, x2), loop.run_step, [], []
    bare.stretch(warmup)
    began = 0.0

    def run_step(step: int) -> StepResult:
        nonlocal began
        if step >= warmup and (step - warmup) % stretch == 0:
            now = time.perf_counter()
            if began:
                ours.append(BATCH * stretch / (now - began))
            if len(ours) == PAIRS:
                raise Measured
            bare.stretch(stretch)
            began = time.perf_counter()
            theirs.append(BATCH * stretch / (began - now))
        return inner(step)

    loop.run_step = run_step  # type: ignore[method-assign]
    tracker = Tracker("make bench", "unknown")
    tracker.uri = f"sqlite:///{folder}/mlflow.db"
    tracker.open_pretraining(work / "run.json", name, {}, {})
    events, device = Events(work / "events.jsonl", 0), torch.device("cpu")
    runtime = RuntimeConfig(watch_every=10**6)  # looking at the embedding is evaluation, ten times a run whatever its length
    with suppress(Measured), Tail(work / "events.jsonl", tracker):
        _train(loop, Watch(Store.open(loop.feed.store.folder), 0, device), runtime, events, work, Pace(BATCH), total)
    loop.feed.close()
    detail = f"{backbone}, batch {BATCH}, stretches of {stretch} steps"
    return row(BARS[name], ours, theirs, detail, "images/s")


def run(quick: bool) -> list[Row]:
    stretch = 2 if quick else 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo_store(folder, 4000)
        return [
            measure(folder, "step_small", "resnet_small", stretch, 2, views=True),
            measure(folder, "step_small_noviews", "resnet_small", stretch, 2, views=False),
            measure(folder, "step_resnet18", "resnet18", 1 if quick else 3, 0 if quick else 1, views=True),
        ]
