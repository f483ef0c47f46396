"""Holds the training images while they are trained on: on the device, in main memory, or on disk behind the page cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.data.transfer import to_device

log = logging.getLogger("ssl_pipelines")
SHARE = 0.25  # share of the free memory that a training set may take with residency=auto
ROWS = 4096  # read at a time

Read = Callable[[NDArray[np.int64]], dict[str, Tensor]]  # rows of the training set (B,) -> {"image": uint8 (B, S, S, C), ...}


def reader(store: Store, ids: NDArray[np.int64], residency: str, device: torch.device, names: Sequence[str] = ("image",)) -> Read:
    """`names` of the store's fields. Raises InputError where they do not fit into the place that was asked for."""
    place = _auto(store, ids, device, names) if residency == "auto" else residency
    if place == "disk":
        return lambda rows: {name: _pinned(part, device) for name, part in _gathered(store, ids[rows], names).items()}
    where = device if place == "device" else torch.device("cpu")
    needed, free = _bytes(store, ids, names), _free(where)
    if needed > free:
        allowed = f"needs {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free; runtime.residency=disk always fits"
        raise InputError(f"runtime.residency={residency!r} {allowed}")
    held: dict[str, Tensor] = {}
    for start in range(0, len(ids), ROWS):
        for name, part in _gathered(store, ids[start : start + ROWS], names).items():
            if name not in held:
                held[name] = torch.empty(len(ids), *part.shape[1:], dtype=torch.uint8, device=where)
            held[name][start : start + len(part)] = part.to(where)
    if place == "device":
        return lambda rows: {name: pixels[to_device(torch.from_numpy(rows), where)] for name, pixels in held.items()}
    return lambda rows: {name: _pinned(pixels[torch.from_numpy(rows)], device) for name, pixels in held.items()}


def _gathered(store: Store, ids: NDArray[np.int64], names: Sequence[str]) -> dict[str, Tensor]:
    fields = store.gather(ids).fields
    return {name: torch.from_numpy(fields[name]) for name in names}


def _auto(store: Store, ids: NDArray[np.int64], device: torch.device, names: Sequence[str]) -> str:
    return "device" if device.type == "cuda" and _bytes(store, ids, names) < SHARE * _free(device) else "disk"


def _bytes(store: Store, ids: NDArray[np.int64], names: Sequence[str]) -> int:
    return len(ids) * store.size * store.size * (store.channels + len(names) - 1)


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _pinned(pixels: Tensor, device: torch.device) -> Tensor:
    """Page-locked memory where the device is a GPU, so that the copy to it is asynchronous."""
    return pixels.pin_memory() if device.type == "cuda" else pixels
