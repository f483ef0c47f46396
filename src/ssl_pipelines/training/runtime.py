"""The `runtime` block: how a run is carried out, never what it computes. It stays out of fingerprints."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ssl_pipelines.artifacts import Config, InputError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc


class RuntimeConfig(Config):
    devices: int = Field(default=1, ge=1, le=64)  # ranks on this machine
    workers: int | Literal["auto"] = "auto"  # processes that decode images
    threads: int | None = Field(default=None, ge=1, le=512)  # of torch on CPU; None: torch's choice
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    residency: Literal["auto", "device", "host", "disk"] = (
        "auto"  # where training images lie; auto: on a GPU if they fit, else on disk
    )
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on a GPU
    log_every: int = Field(default=10, ge=1)  # steps
    watch_every: int | None = Field(default=None, ge=1)  # steps; None: ten times a run
    checkpoint_every: int | None = Field(default=None, ge=1)  # steps; None: by the clock
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    on_collapse: Literal["stop", "warn"] = "stop"
    on_code_change: Literal["warn", "rerun"] = "warn"


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
    """Once, before a room computes: threads and allocator as the run wants them; the device. Raises InputError as `device_of`."""
    import torch

    device = device_of(runtime)
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    keep_freed_memory()
    return device


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
    # getrusage would name the parent's peak where that was higher: a process that is started inherits it.
    lines = status.read_text().splitlines() if status.is_file() else []
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
    if kilobytes is not None:
        return 1024 * kilobytes
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def num_workers(runtime: RuntimeConfig) -> int:
    """Processes for decoding: as asked, or one a core."""
    import os

    if runtime.workers != "auto":
        return max(1, runtime.workers)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
