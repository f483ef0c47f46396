"""Encodes images of the store by a function of a method, outside of training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_pipelines.data import Store
from ssl_pipelines.distributed import gather_rows, rank, world_size
from ssl_pipelines.views.plain import plain_view

BATCH = 256  # images, of all ranks


@torch.no_grad()
def embed_images(
    store: Store, ids: np.ndarray, function: Callable[[Tensor], Tensor | None], image_size: int, device: torch.device
) -> Tensor | None:
    """`function` of the plain views of the images `ids`, (n, D) on the CPU; None where the function gives none."""
    parts = []
    for start in range(0, len(ids), BATCH):
        z = _embed(store, ids[start : start + BATCH], function, image_size, device)
        if z is None:
            return None
        parts.append(z)
    return torch.cat(parts)


@torch.no_grad()
def embed_on_all_ranks(
    store: Store, ids: np.ndarray, function: Callable[[Tensor], Tensor | None], image_size: int, device: torch.device
) -> Tensor:
    """(n, D) on every rank, each of which encodes its share of every batch, so that batch norms see the batches of a single
    process."""
    ranks, total = world_size(), len(ids)
    padded = ids[np.arange(-(-total // ranks) * ranks).clip(max=total - 1)]
    parts = []
    for batch in np.split(padded, range(BATCH // ranks * ranks, len(padded), BATCH // ranks * ranks)):
        z = _embed(store, batch.reshape(ranks, -1)[rank()], function, image_size, device)
        assert z is not None
        parts.append(gather_rows(z))
    return torch.cat(parts)[:total]


def _embed(
    store: Store, ids: np.ndarray, function: Callable[[Tensor], Tensor | None], image_size: int, device: torch.device
) -> Tensor | None:
    pixels = torch.from_numpy(store.gather(ids).fields["image"]).to(device)
    z = function(plain_view(pixels, image_size))
    return None if z is None else z.float().cpu()
