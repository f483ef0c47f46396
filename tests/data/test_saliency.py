"""Foreground masks made at ingestion: found where there is something to find, refused where not, the same for any number of workers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import DatasetConfig, Store, ingest
from ssl_pipelines.data.saliency import otsu_threshold, saliency_map, saliency_mask


def scene(size: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on noisy green, and where it is."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    disc = (y - 0.45 * size) ** 2 + (x - 0.55 * size) ** 2 < (0.28 * size) ** 2
    image = random.normal((60, 140, 70), 12, (size, size, 3))
    image[disc] = random.normal((190, 50, 60), 12, (int(disc.sum()), 3))
    return image.clip(0, 255).astype(np.uint8), disc


@pytest.mark.parametrize("size", [32, 48, 96])
def test_an_object_that_differs_from_the_border_is_found(size):
    image, disc = scene(size)
    mask = saliency_mask(image) > 0
    assert (mask & disc).sum() / (mask | disc).sum() > 0.85
    gray = saliency_mask(image[..., :1]) > 0
    assert (gray & disc).sum() / (gray | disc).sum() > 0.85


def test_an_object_that_touches_one_border_is_found_too():
    image, _ = scene()
    image[30:, 10:40] = (190, 50, 60)
    mask = saliency_mask(image) > 0
    assert mask[35:, 12:38].mean() > 0.9


def test_what_is_implausible_is_foreground_everywhere():
    random = np.random.default_rng(0)
    flat = np.full((32, 32, 3), 90, np.uint8)
    assert (saliency_mask(flat) == 255).all()
    tiny = random.normal(90, 3, (32, 32, 3)).clip(0, 255).astype(np.uint8)
    tiny[15:17, 15:17] = 255  # 0.4 % of the image, 3 x 3 more by the blur
    assert (saliency_mask(tiny) == 255).all()


def test_the_cue_is_that_of_the_formula():
    image, _ = scene(20)
    x = image.astype(np.float64) / 255
    found = np.zeros((20, 20))
    maps = []
    for strip in (x[:2], x[-2:], x[:, :2], x[:, -2:]):
        colors = strip.reshape(-1, 3)
        cov = np.cov(colors.T, bias=True) + 1e-4 * np.eye(3)
        d = np.array([[np.sqrt((p - colors.mean(0)) @ np.linalg.solve(cov, p - colors.mean(0))) for p in row] for row in x])
        maps.append(d / d.max())
    found = np.sum(maps, axis=0) - np.max(maps, axis=0)
    scaled = np.rint(255 * found / found.max())
    padded = np.pad(scaled, 1, mode="edge")
    blurred = sum(padded[i : i + 20, j : j + 20] for i in range(3) for j in range(3)) / 9
    assert np.abs(saliency_map(image).astype(float) - blurred).max() <= 1


def test_otsu_is_the_best_of_all_thresholds():
    values = np.random.default_rng(0).integers(0, 256, 500).astype(np.uint8)

    def between(t: int) -> float:
        low, high = values[values <= t].astype(float), values[values > t].astype(float)
        return 0 if not len(low) or not len(high) else len(low) * len(high) * (low.mean() - high.mean()) ** 2

    assert between(otsu_threshold(values)) == pytest.approx(max(map(between, range(256))))


def store_of(folder: Path, workers: int, fields=("saliency",)) -> Store:
    folder.mkdir()
    np.savez(folder / "images.npz", images=np.stack([scene(seed=k)[0] for k in range(150)]))
    (folder / "store").mkdir()
    config = DatasetConfig.of(
        {"reader": "npz", "root": str(folder / "images.npz"), "size": 32, "stored_size": 32, "fields": list(fields)}, "dataset"
    )
    ingest(config, 0, folder / "store", workers)
    return Store.open(folder / "store")


def test_the_store_gives_masks_beside_images_whatever_made_them(tmp_path):
    one, three, none = store_of(tmp_path / "one", 1), store_of(tmp_path / "three", 3), store_of(tmp_path / "none", 1, ())
    digests = [hashlib.sha256((store.folder / "fields/saliency.npy").read_bytes()).hexdigest() for store in (one, three)]
    assert digests[0] == digests[1]
    for name in ("images.npy", "manifest.parquet", "store.json"):
        assert (one.folder / name).read_bytes() == (three.folder / name).read_bytes()
    ids = np.array([7, 3, 3, 149])
    found = one.gather(ids).fields
    assert found["saliency"].shape == (4, 32, 32)
    for image, mask in zip(found["image"], found["saliency"], strict=True):
        assert np.array_equal(mask, saliency_mask(image))
    assert one.sha256 != none.sha256, "what is stored beside the images is part of the store"
    assert set(none.gather(ids).fields) == {"image"}
    assert one.fields["saliency"]["usable_share"] == 1


def test_an_unknown_field_is_refused():
    with pytest.raises(InputError, match=r"dataset\.fields"):
        DatasetConfig.of({"fields": ["depth"]}, "dataset")
    assert DatasetConfig.of({"fields": "saliency"}, "dataset").fields == ("saliency",)
