"""Real images to compare two networks on: the store's, or photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_pipelines.data import Store
from ssl_pipelines.views.plain import plain_view

COUNT = 5


def real_images(store: Path | None, channels: int, size: int) -> Tensor:
    """(5, channels, size, size) in [0, 1]: of the store where there is one with as many channels, else crops of scikit-learn's two
    photographs."""
    if store is not None and (store / "store.json").is_file():
        opened = Store.open(store)
        ids = opened.ids("test", "validation", "train", "unlabeled")
        if opened.channels == channels and len(ids) >= COUNT:
            chosen = ids[np.linspace(0, len(ids) - 1, COUNT).astype(int)]
            return plain_view(torch.from_numpy(opened.gather(chosen).fields["image"]), size)
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    crops = np.stack([photos[k % 2][40 * k : 40 * k + 240, 60 * k : 60 * k + 240] for k in range(COUNT)])
    images = plain_view(torch.from_numpy(crops), size)
    gray = images.mean(1, keepdim=True)
    return images if channels == 3 else gray.expand(-1, channels, -1, -1).contiguous()
