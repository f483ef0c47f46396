"""Ctrl-C and SIGTERM end a training at a step's border, on all ranks at the same one."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

import torch

from ssl_pipelines.distributed import all_reduce_mean, world_size


class Interrupt:
    """While entered, the two signals set a flag instead of raising. A second Ctrl-C raises at once."""

    def __init__(self) -> None:
        self.wanted = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = True

    def agreed(self) -> bool:
        """True on every rank as soon as one rank has received a signal."""
        if world_size() == 1:
            return self.wanted
        return bool(all_reduce_mean(torch.tensor(float(self.wanted))) > 0)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
