"""Batches for the loop: which rows a step draws, read ahead in a thread, viewed on the device."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_pipelines.data import Store
from ssl_pipelines.data.sampler import batch_ids, steps_per_epoch
from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.distributed import local_rows
from ssl_pipelines.methods.base import Sampling
from ssl_pipelines.training.randomness import derive
from ssl_pipelines.training.residency import reader
from ssl_pipelines.views import Batch, ViewPlan, make_views
from ssl_pipelines.views.background import Layers

AHEAD = 2  # batches read ahead


class Feed:
    """The batch of a step is a function of (seed, step) and of the epoch's `sampling`, so any step can be asked for at any time."""

    def __init__(
        self,
        store: Store,
        plan: ViewPlan,
        batch_size: int,
        accumulate: int,
        seed: int,
        device: torch.device,
        residency: str = "auto",
    ):
        self.store, self.plan, self.seed, self.device = store, plan, seed, device
        self.batch_size, self.accumulate = batch_size, accumulate
        self.ids = store.pretraining_ids()
        # Steps from one beginning of an epoch to the next; the loop lowers it for methods that need more epochs (`min_epochs`).
        self.steps_per_epoch = steps_per_epoch(len(self.ids), batch_size)
        self._pixels_of = reader(store, self.ids, residency, device, ("image", *plan.fields))
        self._sampling: Sampling | None = None
        self._reader = ThreadPoolExecutor(1)
        self._reading: dict[int, Future[dict[str, Tensor]]] = {}

    @property
    def sampling(self) -> Sampling | None:
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: Sampling | None) -> None:
        self._sampling = sampling
        self._reading.clear()  # batches that were read ahead may hold other rows

    def rows(self, step: int) -> NDArray[np.int64]:
        """The global batch of `step` as rows of the training set, (batch_size,) int64."""
        if self.sampling is None:
            return batch_ids(np.arange(len(self.ids)), self.batch_size, self.seed, step)
        epoch, position = divmod(step, self.steps_per_epoch)
        if self.sampling.ids is not None:
            start = position * self.batch_size
            return self.sampling.ids.numpy()[np.arange(start, start + self.batch_size) % len(self.sampling.ids)]
        assert self.sampling.weights is not None
        weights = self.sampling.weights.double().numpy()
        random = np.random.default_rng(derive(self.seed, "sampler/weights", epoch, position))
        return random.choice(len(weights), self.batch_size, p=weights / weights.sum()).astype(np.int64)

    def batches(self, step: int, last_step: int) -> list[Batch]:
        """This rank's part of the batch of `step`, in `accumulate` micro-batches."""
        pixels, rows, parts = self._pixels(step, last_step), self.rows(step), []
        for k, mine in enumerate(self._mine()):
            part = slice(k * len(mine), (k + 1) * len(mine))
            images, layers = self._layers({name: field[:, part] for name, field in pixels.items()})
            ids = to_device(torch.from_numpy(rows[mine]), self.device)
            whole = slice(int(mine[0]), int(mine[-1]) + 1)
            parts.append(make_views(images, ids, self.plan, self.seed, step, whole, self.batch_size, layers))
        return parts

    def _layers(self, fields: dict[str, Tensor]) -> tuple[Tensor, Layers | None]:
        """(1 + V, B, S, S, ...) on the reader's device, the batch's own first -> the images, and the layers of other backgrounds
        where the plan asks for them."""
        there = {name: field.to(self.device, non_blocking=True) for name, field in fields.items()}
        if not self.plan.fields:
            return there["image"][0], None
        return there["image"][0], Layers(there["saliency"][0], there["image"][1:], there["saliency"][1:])

    def _mine(self) -> NDArray[np.int64]:
        """(accumulate, share) places in the global batch. A micro-batch, over all ranks, is a contiguous part of it, as on one
        rank."""
        whole = np.arange(self.batch_size).reshape(self.accumulate, -1)
        return whole[:, local_rows(whole.shape[1])]

    def _pixels(self, step: int, last_step: int) -> dict[str, Tensor]:
        # What is read ahead stops at the epoch's end: the next epoch's sampling is not known yet.
        border = (step // self.steps_per_epoch + 1) * self.steps_per_epoch
        for ahead in range(step, min(step + 1 + AHEAD, border, last_step)):
            if ahead not in self._reading:
                self._reading[ahead] = self._reader.submit(self._read, self.rows(ahead), ahead)
        return self._reading.pop(step).result()

    def _read(self, rows: NDArray[np.int64], step: int) -> dict[str, Tensor]:
        """name -> (1 + V, share, S, S, ...): this rank's rows, then for each of V views those of the images that lend it a
        background or a foreground."""
        mine = self._mine().ravel()
        places = [mine, *(donors[mine] for donors in self._donors(step))]
        fields = self._pixels_of(np.concatenate([rows[place] for place in places]))
        return {name: field.unflatten(0, (len(places), len(mine))) for name, field in fields.items()}

    def _donors(self, step: int) -> NDArray[np.int64]:
        """(V, batch_size) places of the lending images in the global batch, never an image's own; V = 0 where backgrounds stay."""
        views = sum(group.count for group in self.plan.groups.values() if group.same_as is None) if self.plan.fields else 0
        offsets = np.random.default_rng(derive(self.seed, "views/donors", step)).integers(
            1, self.batch_size, (views, self.batch_size)
        )
        return (np.arange(self.batch_size) + offsets) % self.batch_size

    def close(self) -> None:
        self._reader.shutdown(wait=False, cancel_futures=True)
