"""The `runtime` block: how a run is carried out, never what it computes. It stays out of fingerprints."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ssl_pipelines.artifacts import Config, InputError
from ssl_pipelines.artifacts.cores import usable_cores

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc
Count = Annotated[int, Field(ge=1, le=512)] | Literal["auto"]


class RuntimeConfig(Config):
    """How a run is carried out, never what it computes: changing it makes nothing stale."""

    devices: int = Field(default=1, ge=1, le=64)
    """Number of processes that train together on this machine, one a GPU. Raise it to the number of GPUs."""
    workers: Count = "auto"
    """Number of processes that decode images; `auto`: one for each core that the affinity mask and the container's CPU quota allow.
    Lower it where memory is short."""
    threads: Count = "auto"
    """Number of CPU threads with which torch computes, in each process; `auto`: one for each core that the affinity mask and the
    container's CPU quota allow, shared out among `runtime.devices`, or OMP_NUM_THREADS where that is set. Set 1 where results must equal
    an earlier run's bit for bit on another number of cores, or where other programs need the cores."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device that computes; `auto` takes CUDA where it is there, then MPS, then the CPU. Set `cpu` where results are to repeat bit
    for bit."""
    residency: Literal["auto", "device", "host", "disk"] = "auto"
    """Where training images lie while a run reads them: in the GPU's memory (`device`), in main memory (`host`) or on `disk`.
    `auto` takes the GPU where they fit into a quarter of its free memory, else disk."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether torch.compile is used; `auto` is on a GPU only. Turn it off where compiling takes longer than it saves."""
    log_every: int = Field(default=10, ge=1)
    """Number of steps between two logged points of the loss. Raise it for very long runs."""
    watch_every: int | None = Field(default=None, ge=1)
    """Number of steps between two looks of the collapse monitor; null is ten looks a run. Lower it to see a collapse sooner."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Number of steps between two checkpoints; null goes by `checkpoint_seconds`. Set it where checkpoints are to stand at fixed
    steps."""
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    """Seconds of training between two checkpoints. Raise it where writing a large model takes long."""
    on_collapse: Literal["stop", "warn"] = "stop"
    """What happens where the representation has collapsed: `stop` ends the run with its last good checkpoint, `warn` goes on."""
    on_code_change: Literal["warn", "rerun"] = "warn"
    """What happens where only code has changed since an artifact was made: `warn` keeps it with one line, `rerun` makes it anew."""


def device_of(runtime: RuntimeConfig) -> torch.device:
    """The device that `runtime.accelerator` means here. Raises InputError where it is not there."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    wanted = runtime.accelerator
    if wanted == "auto":
        wanted = "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if not available[wanted]:
        found = ", ".join(name for name, there in available.items() if there)
        raise InputError(f"runtime.accelerator={wanted!r} is not on this machine. Allowed here: auto, {found}")
    return torch.device(wanted)


def set_up(runtime: RuntimeConfig) -> torch.device:
    """Sets threads and allocator as the run wants them, once before a stage computes, and returns the device. Raises InputError as
    `device_of`."""
    device = device_of(runtime)
    set_threads(runtime)
    keep_freed_memory()
    return device


def set_threads(runtime: RuntimeConfig) -> None:
    """Torch computes with `runtime.threads` in this process."""
    import torch

    torch.set_num_threads(num_threads(runtime, torch.get_num_threads()))


def num_threads(runtime: RuntimeConfig, own: int, ranks: int = 1) -> int:
    """Torch's threads in each of `ranks` processes. `own`: what torch has chosen; hyperthreads and CPU quotas are not in it.

    OMP_NUM_THREADS, which is in `own`, is the user's word: one process follows it also where there are fewer cores."""
    if runtime.threads != "auto":
        return runtime.threads
    if ranks == 1 and "OMP_NUM_THREADS" in os.environ:
        return own
    return max(1, min(own, usable_cores() // ranks))


def keep_freed_memory() -> None:
    """Freed memory stays with the process, for the next tensor of that size.

    By itself glibc returns every block of 32 MB or more to the system and takes it anew, each page a fault and filled with zeros: a
    third of a small network's step. Elsewhere (macOS, musl) nothing is done."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that the GPU's allocator has held, on a GPU; else the most that this process has."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    # getrusage comes second: a new process inherits its parent's peak, which may be higher than its own.
    lines = status.read_text().splitlines() if status.is_file() else []
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
    if kilobytes is not None:
        return 1024 * kilobytes
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def num_workers(runtime: RuntimeConfig) -> int:
    """Processes for decoding: as asked, or one for each core that this process may use."""
    return usable_cores() if runtime.workers == "auto" else runtime.workers
