"""Writes and reads checkpoints, which are whole or absent and hold nothing but tensors and plain values."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from ssl_pipelines.artifacts import InputError, new_file

log = logging.getLogger("ssl_pipelines")
KEEP = 2


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Writes step-<step>.pt beside the others and keeps the newest two."""
    with new_file(folder / f"step-{step:08d}.pt") as partial, partial.open("wb") as file:
        told = _Told(file)
        try:
            torch.save(state | {"step": step, "threads": torch.get_num_threads()}, told)  # type: ignore[arg-type]
        except RuntimeError as error:
            raise told.error or error from error
    for old in sorted(folder.glob("step-*.pt"))[:-KEEP]:
        old.unlink()


class _Told:
    """A file that remembers why a write failed: torch.save hides a full disk behind an error of its own."""

    def __init__(self, file: BinaryIO):
        self._file, self.flush = file, file.flush
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise


def newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint that can be read, or None."""
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged by a full disk or another program: the checkpoint before it is read
            log.warning("%s cannot be read (%s); trying the one before it", path.name, type(error).__name__)
            continue
        if state["threads"] != torch.get_num_threads():
            log.warning(
                "this checkpoint was made with %d threads, now there are %d: the result may differ in the last bits",
                state["threads"],
                torch.get_num_threads(),
            )
        return state
    return None


def load_weights(module: nn.Module, weights: dict[str, torch.Tensor], source: str) -> None:
    """Loads a state dict that must fit. Raises InputError in one line: how many keys are off, and the first of them."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = [k for k in own.keys() & weights.keys() if own[k].shape != weights[k].shape]
    if missing or extra or shapes:
        first = (
            f"{min(shapes)} is {tuple(weights[min(shapes)].shape)} there and {tuple(own[min(shapes)].shape)} here"
            if shapes
            else f"first: {(missing or extra)[0]}"
        )
        raise InputError(
            f"{source} is of another architecture: {len(missing)} tensors missing, {len(extra)} unknown, {len(shapes)} of another shape ({first})"
        )
    module.load_state_dict(weights)
