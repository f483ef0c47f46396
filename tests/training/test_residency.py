"""Wherever the pixels lie, a step draws the same ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.training import residency
from ssl_pipelines.training.feed import Feed

CPU = torch.device("cpu")


@pytest.mark.parametrize("place", ["disk", "host", "device", "auto"])
def test_every_place_gives_the_pixels_of_the_store(digits, place, monkeypatch):
    monkeypatch.setattr(residency, "ROWS", 100)
    store = Store.open(digits)
    ids = store.pretraining_ids()
    rows = np.array([len(ids) - 1, 0, 7, 7, 101])
    found = residency.reader(store, ids, place, CPU, ("image", "saliency"))(rows)
    assert set(found) == {"image", "saliency"}
    for name, pixels in found.items():
        assert np.array_equal(pixels.numpy(), store.gather(ids[rows]).fields[name])
    assert set(residency.reader(store, ids, place, CPU)(rows)) == {"image"}


@pytest.mark.parametrize("name", ["simclr", "background_aug"])
def test_steps_do_not_depend_on_the_place(digits, name):
    store, config = Store.open(digits), small_config(name)
    views = []
    for place in ("disk", "host", "device"):
        feed = Feed(store, small_method(config, store).config.views, 16, 1, 3, CPU, place)
        views.append([feed.batches(step, 8)[0].views["global"] for step in (0, 1, 5)])
        feed.close()
    for other in views[1:]:
        assert all(torch.equal(a, b) for a, b in zip(views[0], other, strict=True))


def test_what_does_not_fit_is_refused_in_one_line(digits, monkeypatch):
    store = Store.open(digits)
    monkeypatch.setattr(residency, "_free", lambda device: 1000)
    with pytest.raises(InputError, match=r"runtime\.residency='host' needs .* GB are free; runtime\.residency=disk always fits"):
        residency.reader(store, store.pretraining_ids(), "host", CPU)
    residency.reader(store, store.pretraining_ids(), "auto", CPU)
