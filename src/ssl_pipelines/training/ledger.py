"""The numbers of a step on their way from the device to whoever logs them. A step never waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean


@dataclass(frozen=True, slots=True)
class Entry:
    """What was logged of one step: mean over ranks."""

    step: int
    values: dict[str, float]
    clock: dict[str, float]  # learning rate, images a second: known without the device


class Ledger:
    """`put` as the step ends, `take` after it: on a GPU the newest entry stays behind until the next one, on all ranks alike."""

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
        """The entries that need not be waited for, oldest first."""
        while self._waiting:
            step, names, numbers, clock, ready = self._waiting[0]
            if ready is not None:
                if len(self._waiting) == 1 and not all_of_them:
                    return
                ready.synchronize()
            self._waiting.popleft()
            yield Entry(step, dict(zip(names, numbers.tolist(), strict=True)), clock)
