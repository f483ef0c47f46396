"""What a method makes, as a file of rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_pipelines.training.events import Events, read_events
from ssl_pipelines.training.pictures import GAP, SCALE_TO, save_pictures


class Painter(torch.nn.Module):
    """Three columns an image: black, gray, white."""

    def pictures(self, batch):
        n = min(8, len(batch.ids))
        return {"columns": torch.tensor([0.0, 0.4, 1.0]).view(1, 3, 1, 1, 1).expand(n, 3, 1, 16, 16).flatten(0, 1)}


@pytest.mark.parametrize("batch", [4, 8, 12])
def test_an_image_has_a_row_also_in_small_batches(tmp_path, batch):
    feed = SimpleNamespace(batches=lambda step, total: [SimpleNamespace(ids=torch.arange(batch))])
    events = Events(tmp_path / "events.jsonl", 0)
    save_pictures(SimpleNamespace(method=Painter(), feed=feed), tmp_path, events, 7)  # type: ignore[arg-type]
    events.close()
    assert list(read_events(tmp_path / "events.jsonl")) == [{"step": 7, "name": "columns", "picture": "pictures/columns.png"}]
    found = np.asarray(Image.open(tmp_path / "pictures" / "columns.png"))
    tile, wide = SCALE_TO + 4, SCALE_TO + 2 * GAP
    assert found.shape == (min(8, batch) * tile, 3 * wide)
    for row in range(min(8, batch)):
        assert found[row * tile + 10, 10::wide].tolist() == [0, 102, 255]
