"""Images of the store through a function of a method, outside of training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_pipelines.data import Store
from ssl_pipelines.views.plain import plain_view

BATCH = 256  # images


@torch.no_grad()
def embed_images(
    store: Store, ids: np.ndarray, function: Callable[[Tensor], Tensor | None], image_size: int, device: torch.device
) -> Tensor | None:
    """`function` of the plain views of the images `ids`, (n, D) on the CPU; None where the function gives none."""
    parts = []
    for start in range(0, len(ids), BATCH):
        pixels = torch.from_numpy(store.gather(ids[start : start + BATCH]).fields["image"]).to(device)
        z = function(plain_view(pixels, image_size))
        if z is None:
            return None
        parts.append(z.float().cpu())
    return torch.cat(parts)
