"""What a method sees and makes, as PNG files beside its events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_pipelines.training.events import Events
from ssl_pipelines.training.loop import Loop
from ssl_pipelines.views import plain_view

ROWS, SCALE_TO = 8, 64  # images shown; px to which small ones are enlarged
GAP = 4  # px to either side: wider than the lines within a picture that is put together from tiles


def save_views(loop: Loop, work: Path, events: Events) -> None:
    """pictures/views.png: a row an image, the original first, then its views."""
    batch = loop.feed.batches(0, 1)[0]
    ids = loop.feed.ids[loop.feed.rows(0)[:ROWS]]
    originals = plain_view(torch.from_numpy(loop.feed.store.gather(ids).fields["image"]), loop.method.image_size)
    if loop.feed.plan.fields:
        masks = torch.from_numpy(loop.feed.store.gather(ids).fields["saliency"]).unsqueeze(3)  # (n, S, S, 1)
        cut = originals * plain_view(masks, loop.method.image_size)
        _save(_grid([originals, cut]), work / "pictures" / "saliency.png")
        events.picture(0, "saliency", "pictures/saliency.png")
    columns = [originals, *(view[:ROWS].cpu() for group in batch.views.values() for view in group)]
    _save(_grid(columns), work / "pictures" / "views.png")
    events.picture(0, "views", "pictures/views.png")


@torch.no_grad()
def save_pictures(loop: Loop, work: Path, events: Events, step: int) -> None:
    """pictures/<name>.png: what `Method.pictures` makes of the first batch, the newest in place of the older."""
    loop.method.eval()
    batch = loop.feed.batches(0, 1)[0]
    rows = min(ROWS, len(batch.ids))
    torch.manual_seed(0)
    for name, images in loop.method.pictures(batch).items():
        columns = list(images.unflatten(0, (rows, -1)).unbind(1)) if len(images) % rows == 0 else [images]
        _save(_grid(columns), work / "pictures" / f"{name}.png")
        events.picture(step, name, f"pictures/{name}.png")
    loop.method.train()


def _grid(columns: list[Tensor]) -> Tensor:
    """columns of (n, C, h, w), sizes may differ -> one picture (C, H, W) with white gaps."""
    side = max(SCALE_TO, *(column.shape[-1] for column in columns))
    tiles = []
    for column in columns:
        tile = torch.nn.functional.interpolate(column.float().cpu(), size=(side, side), mode="nearest")
        tiles.append(torch.nn.functional.pad(tile, (GAP, GAP, 2, 2), value=1.0))
    return torch.cat([torch.cat(list(tile), dim=1) for tile in tiles], dim=2)


def _save(picture: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = picture.shape[0]
    pixels = (picture[: 3 if channels >= 3 else 1].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.squeeze(pixels, 2) if pixels.shape[2] == 1 else pixels).save(path)
