"""Several ranks below one process: torchrun starts `python -m ssl_pipelines.training SPEC`, and what rank 0 wrote is read here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import psutil
import torch

from ssl_pipelines.artifacts import InputError, read_json, write_json
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.pretrain import check_ranks, pretrain
from ssl_pipelines.training.runtime import RuntimeConfig, device_of, num_threads
from ssl_pipelines.training.watch import Stopped

PARENT = "SSL_PIPELINES_PARENT"  # environment variable with the launching process's id, which the ranks read
WATCH_SECONDS = 0.5


def run(config: RunConfig, runtime: RuntimeConfig, store: Path, work: Path) -> None:
    """`pretrain` on `runtime.devices` ranks. Raises what `pretrain` raises."""
    work.mkdir(parents=True, exist_ok=True)
    if runtime.devices == 1:
        pretrain(config, runtime, store, work)
        return
    check_ranks(config, runtime.devices)
    check_devices(runtime)
    spec, problem = work / "spec.json", work / "problem.json"
    problem.unlink(missing_ok=True)
    body = {"config": config.dump(), "runtime": runtime.model_dump(mode="json"), "store": str(store), "work": str(work)}
    write_json(spec, body)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={runtime.devices}"]
    command += ["-m", "ssl_pipelines.training", str(spec)]
    threads = num_threads(runtime, torch.get_num_threads(), runtime.devices)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": python_path(), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment[PARENT] = str(os.getpid())
    with (
        (work / "ranks.log").open("ab") as noise,
        subprocess.Popen(command, env=environment, stderr=noise if not sys.stderr.isatty() else None) as ranks,
        forwarding(ranks),
    ):
        code = ranks.wait()
    if problem.is_file():
        found = read_json(problem)
        if found["kind"] == "interrupted":
            raise KeyboardInterrupt
        raise (Stopped if found["kind"] == "stopped" else InputError)(found["message"])
    if code:
        raise RuntimeError(f"a rank ended with code {code}; see {work / 'ranks.log'}")


def check_devices(runtime: RuntimeConfig) -> None:
    """Raises InputError where this machine has fewer accelerators than ranks are asked for."""
    kind = device_of(runtime).type
    count = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, runtime.devices)
    if runtime.devices > count:
        raise InputError(
            f"runtime.devices={runtime.devices}, this machine has {count} of {kind}; allowed: up to {count}, or accelerator=cpu"
        )


def end_with_parent() -> None:
    """In a rank: ends it when the process that launched the ranks was killed, so that a second run never meets the first one's ranks."""
    parent = int(os.environ.get(PARENT, "0"))
    if parent:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(parent)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(WATCH_SECONDS)
    os._exit(1)


def python_path() -> str:
    source = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])


@contextlib.contextmanager
def forwarding(ranks: subprocess.Popen[bytes]):  # type: ignore[no-untyped-def]
    """Ctrl-C and SIGTERM go to torchrun, which hands them to the ranks; they end at a step's border."""

    def send(number: int, frame: FrameType | None) -> None:
        ranks.send_signal(signal.SIGTERM)

    former = {number: signal.signal(number, send) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
