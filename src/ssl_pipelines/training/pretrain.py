"""Pretraining from a store to a model folder: start or resume, train, watch, checkpoint, write the model."""

from __future__ import annotations

import copy
import logging
import math
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.progress import Progress, TaskID

from ssl_pipelines.artifacts import InputError, write_json
from ssl_pipelines.data import Store
from ssl_pipelines.distributed import world_size
from ssl_pipelines.methods.base import Method
from ssl_pipelines.training.checkpoints import load_weights, newest_checkpoint, save_checkpoint
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.crops import say_enlargement
from ssl_pipelines.training.events import Events, history
from ssl_pipelines.training.feed import Feed
from ssl_pipelines.training.interrupt import Interrupt
from ssl_pipelines.training.ledger import Entry, Ledger
from ssl_pipelines.training.loop import Loop, Pace, check_loss, check_weights, finite_weights, is_first
from ssl_pipelines.training.model import build_method, describe, init_from, save_weights, write_description
from ssl_pipelines.training.pictures import save_pictures, save_views
from ssl_pipelines.training.progress import say_where, training_progress
from ssl_pipelines.training.randomness import generator
from ssl_pipelines.training.runtime import RuntimeConfig, peak_memory, set_up
from ssl_pipelines.training.upstream import NOTE, check_same, facts, load_upstream
from ssl_pipelines.training.watch import Stopped, Watch

log = logging.getLogger("ssl_pipelines")
PREPARE_IMAGES = 2048  # largest sample that `Method.prepare` is given
NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")  # of the CPU's allocator and of MPS


def pretrain(config: RunConfig, runtime: RuntimeConfig, store_folder: Path, work: Path) -> None:
    """Trains in `work` (checkpoints, events.jsonl) and leaves the finished model in `work/final`.

    Called again after a kill it goes on from the newest checkpoint. Raises InputError for what does not fit, Stopped where the training
    ended itself, KeyboardInterrupt after writing a checkpoint when it was told to end."""
    store, device = Store.open(store_folder), set_up(runtime)
    check_ranks(config, world_size())
    data = data_facts(store)
    config, upstream = load_upstream(config, data)
    stands_on = {name: facts(Path(path)) for name, path in config.pretrain.upstream.items()}
    method = build_method(config, data, config.seed, upstream)
    plan = method.config.views
    batch_size, accumulate = config.pretrain.batch_size, config.pretrain.accumulate
    feed = Feed(store, plan, batch_size, accumulate, config.seed, device, runtime.residency)
    total = config.total_steps(len(feed.ids))
    precision = config.pretrain.precision
    precision = ("bf16" if device.type == "cuda" else "fp32") if precision == "auto" else precision
    state = newest_checkpoint(work)
    if state is None:
        _prepare(method, config, store, feed)
        if stands_on and is_first():
            write_json(work / NOTE, stands_on)
    else:
        check_same(work, stands_on)
        load_weights(method, state["method"], f"the checkpoint in {work}")
    method.to(device)
    loop = Loop(method, feed, config.pretrain.optimizer, total, config.seed, precision)
    start, before = 0, 0.0
    if state is not None:
        loop.load(state)
        start, before = int(state["step"]), float(state.get("seconds", 0.0))
        log.info("pretrain: going on from step %d of %d", start, total)
    _compile(method, runtime, device)
    events = Events(work / "events.jsonl", start) if is_first() else None
    try:
        if is_first() and start < total:
            say_enlargement(plan, store)
            announce(loop, start, total, device)
        watch = Watch(store, config.seed, device, _steps_between_looks(runtime, total) * batch_size)
        _train(loop, watch, runtime, events, work, Pace(batch_size, start, before), total)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in NO_MEMORY):
            raise Stopped(f"out of memory with pretrain.batch_size={config.pretrain.batch_size}; try half of it") from error
        raise
    finally:
        feed.close()
        if events:
            events.close()
    if is_first():
        final = work / "final"
        final.mkdir(exist_ok=True)
        save_weights(method.to("cpu"), final)
        history(work / "events.jsonl").to_parquet(final / "history.parquet", index=False)
        write_description(final, describe(config, data, method, total, stands_on))


def _steps_between_looks(runtime: RuntimeConfig, total: int) -> int:
    return runtime.watch_every or max(1, total // 10)


def _train(loop: Loop, watch: Watch, runtime: RuntimeConfig, events: Events | None, work: Path, pace: Pace, total: int) -> None:
    start, saved, ledger = pace.total_steps, time.monotonic(), Ledger()
    watch_every = _steps_between_looks(runtime, total)
    with Interrupt() as interrupt, training_progress(enabled=events is not None) as bar:
        task = bar.add_task("pretrain", total=total, completed=start, loss="", speed="")

        def log_entries(*, all_of_them: bool) -> None:
            for entry in ledger.take(all_of_them=all_of_them):
                _log_entry(entry, events, bar, task)

        for step in range(start, total):
            if interrupt.agreed():
                log_entries(all_of_them=True)
                _save(loop, work, step, pace)
                raise KeyboardInterrupt
            if step == 0 and events:
                save_views(loop, work, events)
            result = loop.run_step(step)
            pace.tick()
            done = step + 1
            looked_at = done % watch_every == 0 or done == total
            logged = done % runtime.log_every == 0 or done == 1 or looked_at
            bar.update(task, completed=done)
            due = events is not None and _is_due(runtime, done, saved)
            if logged:
                clock = {"learning_rate": result.learning_rate, "images_per_second": pace.lap()}
                ledger.put(done, {"loss": result.loss, **result.metrics}, clock)
            # Every entry is logged before the checkpoint, from which a resumed run continues.
            log_entries(all_of_them=looked_at or due)
            if events and looked_at:
                with pace.paused():
                    watch.report(loop.method, events, done, runtime.on_collapse)
                    save_pictures(loop, work, events, done)
                say_where(bar)
            if done == total:
                check_weights(loop.method, done)
                if events:  # written before the last checkpoint: a run killed after that one has no step left to measure
                    _measure(work, pace, loop.device)
            if events and (due or done == total) and math.isfinite(float(result.loss)) and finite_weights(loop.method):
                _save(loop, work, done, pace)
                saved = time.monotonic()


def _is_due(runtime: RuntimeConfig, done: int, saved: float) -> bool:
    """Whether a checkpoint is due, by steps or by the clock."""
    if runtime.checkpoint_every:
        return done % runtime.checkpoint_every == 0
    return time.monotonic() - saved > runtime.checkpoint_seconds


def _log_entry(entry: Entry, events: Events | None, bar: Progress, task: TaskID) -> None:
    loss = check_loss(entry.values["loss"], entry.step)
    if not events:
        return
    for name, value in {"loss": loss, "learning_rate": entry.clock["learning_rate"], **entry.values}.items():
        events.number(entry.step, f"train/{name}", value)
    speed = entry.clock["images_per_second"]
    events.number(entry.step, "train/images_per_second", speed)
    bar.update(task, loss=f"loss {loss:.3f}", speed=f"{speed:,.0f} images/s")


def _measure(work: Path, pace: Pace, device: torch.device) -> None:
    """Writes measured.json: speed, time and memory over all sittings of the training, apart from the files that are equal in equal
    runs."""
    body = {
        "images_per_second": round(pace.overall(), 1),
        "seconds": round(pace.elapsed(), 1),
        "peak_memory": peak_memory(device),  # bytes
        "device": device.type,
        "ranks": world_size(),
        # Of each rank; another number of threads sums in another order, which changes last bits.
        "threads": torch.get_num_threads(),
    }
    write_json(work / "measured.json", body)


def _save(loop: Loop, work: Path, step: int, pace: Pace) -> None:
    if is_first():
        save_checkpoint(work, step, loop.state() | {"seconds": pace.elapsed()})


def _prepare(method: Method, config: RunConfig, store: Store, feed: Feed) -> None:
    if config.pretrain.init_from:
        init_from(method, config.pretrain.init_from)
    most = store.within_memory(PREPARE_IMAGES)
    rows = torch.randperm(len(feed.ids), generator=generator(config.seed, "prepare"))[:most].sort().values.numpy()
    with torch.no_grad():
        method.prepare(torch.from_numpy(store.gather(feed.ids[rows]).fields["image"]))


def _compile(method: Method, runtime: RuntimeConfig, device: torch.device) -> None:
    if runtime.compile == "on" or (runtime.compile == "auto" and device.type == "cuda"):
        for name in method.encoders:
            encoder = method.get_submodule(name)
            for part in encoder if isinstance(encoder, torch.nn.ModuleList) else [encoder]:  # a list has no forward
                part.compile()


def announce(loop: Loop, start: int, total: int, device: torch.device) -> None:
    """One line before the first step: steps, expected time and memory, from two trial steps on a copy that is thrown away."""
    if world_size() > 1:
        log.info("pretrain: %d steps of %d images on %d ranks (%s)", total - start, loop.feed.batch_size, world_size(), device.type)
        return
    # The beginning of an epoch may take long (clustering), so the trial steps lie inside an epoch.
    step = start + 1 if start % loop.feed.steps_per_epoch == 0 and loop.feed.steps_per_epoch > 1 else start
    trial = Loop(copy.deepcopy(loop.method), loop.feed, loop.optimizers["main"][1], total, loop.seed, loop.precision)
    seconds = 0.0
    for _ in range(2):  # the first one includes allocations and the choice of kernels
        began = time.monotonic()
        trial.run_step(min(step, total - 1))
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.monotonic() - began
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else psutil.Process().memory_info().rss
    log.info(
        "pretrain: %d steps of %d images on %s (%s), about %s, %.1f GB of memory",
        total - start, loop.feed.batch_size, device.type, loop.precision, _span(seconds * (total - start)), memory / 1e9,
    )  # fmt: skip


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def data_facts(store: Store) -> dict[str, Any]:
    """The facts of the data that a model is built from."""
    return {
        "name": store.name,
        "sha256": store.sha256,
        "channels": store.channels,
        "size": store.view_size,
        "stored_size": store.size,
        **store.decoding,
        "mean": [float(x) for x in store.mean],
        "std": [float(x) for x in store.std],
        "num_samples": len(store.pretraining_ids()),
        "fields": list(store.fields),
    }


def check_ranks(config: RunConfig, ranks: int) -> None:
    share = config.pretrain.batch_size // config.pretrain.accumulate
    if share % ranks:
        parts = f"pretrain.batch_size={config.pretrain.batch_size} (over accumulate={config.pretrain.accumulate})"
        raise InputError(f"{parts} is to be a multiple of runtime.devices={ranks}")
