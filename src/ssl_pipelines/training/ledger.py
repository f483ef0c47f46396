"""Holds the metrics of a step until they have arrived from the device, so that no step waits for its own log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean


@dataclass(frozen=True, slots=True)
class Entry:
    """The metrics of one step, each the mean over ranks."""

    step: int
    values: dict[str, float]
    clock: dict[str, float]  # learning rate, images a second: known without the device


class Ledger:
    """`put` is called as a step ends, `take` after it. On a GPU `take` holds the newest entry back until the next one, on all ranks
    alike."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, list[str], Tensor, dict[str, float], torch.cuda.Event | None]] = deque()

    def put(self, step: int, values: Mapping[str, Tensor], clock: Mapping[str, float]) -> None:
        """On every rank: the values, all (), become their means over ranks."""
        numbers = all_reduce_mean(torch.stack([value.detach().float() for value in values.values()]))
        ready = None
        if numbers.device.type == "cuda":
            here = torch.empty(numbers.shape, pin_memory=True)
            numbers = here.copy_(numbers, non_blocking=True)
            ready = torch.cuda.Event()
            ready.record()
        self._waiting.append((step, list(values), numbers, dict(clock), ready))

    def take(self, *, all_of_them: bool) -> Iterator[Entry]:
        """The entries whose values have arrived, oldest first."""
        while self._waiting:
            step, names, numbers, clock, ready = self._waiting[0]
            if ready is not None:
                if len(self._waiting) == 1 and not all_of_them:
                    return
                ready.synchronize()
            self._waiting.popleft()
            yield Entry(step, dict(zip(names, numbers.tolist(), strict=True)), clock)
