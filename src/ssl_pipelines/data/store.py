"""The store: all usable images in one memory map, one row of the manifest for every file of the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, read_json
from ssl_pipelines.data.manifest import PLAIN, STORE_SCHEMA_VERSION
from ssl_pipelines.data.splits import SPLITS

Ids = NDArray[np.int64]
HELD_BYTES = 320 << 20  # 2,048 images of 224 px


@dataclass(frozen=True, slots=True)
class Sample:
    """Fields by name, one row for each id that was asked for: {"image": (B, S, S, C), "saliency": (B, S, S) where stored}, uint8."""

    fields: Mapping[str, NDArray[Any]]


class Store:
    """Opened by reading one small JSON; manifest and images are read when first needed."""

    def __init__(self, folder: Path, about: Mapping[str, Any]):
        self.folder = folder
        self.name: str = about["name"]
        self.reader: str = about["reader"]
        self.classes: list[str] = list(about["classes"])
        self.size: int = about["size"]
        self.about = dict(about)
        self.view_size: int = about.get(
            "view_size", self.size
        )  # px of the views that a method draws where it has no size of its own
        self.channels: int = about["channels"]
        self.sha256: str = about["sha256"]
        self.mean: list[float] = list(about["mean"])  # (C,) in [0, 1], of train and unlabeled images
        self.std: list[float] = list(about["std"])
        self.fields: dict[str, dict[str, Any]] = dict(about.get("fields", {}))  # beside the images: name -> what is known of it

    @property
    def decoding(self) -> dict[str, Any]:
        """How the images were made what they are, beside size and channels: fit, white, alpha."""
        return {name: self.about.get(name, plain) for name, plain in PLAIN.items()}

    @classmethod
    def open(cls, folder: Path | str) -> Store:
        """Raises InputError if there is no store, or one of another schema."""
        folder = Path(folder)
        about = read_json(folder / "store.json")
        version = about.get("schema_version")
        if version != STORE_SCHEMA_VERSION:
            raise InputError(
                f"{folder}/store.json: schema_version={version!r} is not read, allowed is {STORE_SCHEMA_VERSION}; run ingest again"
            )
        return cls(folder, about)

    @cached_property
    def manifest(self) -> pd.DataFrame:
        return pd.read_parquet(self._manifest_file())

    def _manifest_file(self) -> Path:
        path = self.folder / "manifest.parquet"
        if not path.is_file():
            raise InputError(f"{path} is missing; run ingest again")
        return path

    def _column(self, name: str) -> pa.ChunkedArray:
        """One column alone: paths and digests of millions of files have no place in the memory of a training."""
        return pq.read_table(self._manifest_file(), columns=[name], read_dictionary=["status", "split"])[name]

    @cached_property
    def _images(self) -> NDArray[np.uint8]:
        return self._mapped("images.npy", self.size, self.size, self.channels)

    @cached_property
    def _beside(self) -> dict[str, NDArray[np.uint8]]:
        return {name: self._mapped(f"fields/{name}.npy", self.size, self.size) for name in self.fields}

    def _mapped(self, name: str, *shape: int) -> NDArray[np.uint8]:
        path = self.folder / name
        try:
            images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}); run ingest again") from None
        if images.shape != (int(self._usable.sum()), *shape) or images.dtype != np.uint8:
            raise InputError(f"{path} is {images.dtype} {list(images.shape)}, not what its manifest describes; run ingest again")
        return images

    @cached_property
    def _usable(self) -> NDArray[np.bool_]:
        return np.asarray(pc.equal(self._column("status"), "ok"))

    @cached_property
    def _rows(self) -> Ids:
        """id -> row of images.npy, -1 where unusable (ids count from 0)."""
        return np.where(self._usable, np.cumsum(self._usable) - 1, -1)

    @cached_property
    def _labels(self) -> Ids:
        return np.asarray(pc.fill_null(self._column("label"), -1))

    @cached_property
    def _splits(self) -> NDArray[np.int8]:
        """(N,) places in SPLITS, -1 for none"""
        return np.asarray(pc.fill_null(pc.index_in(self._column("split"), pa.array(SPLITS)), -1)).astype(np.int8)

    def ids(self, *splits: str) -> Ids:
        """Ids of the usable images of these splits, ascending."""
        assert set(splits) <= set(SPLITS), splits
        return np.flatnonzero(self._usable & np.isin(self._splits, [SPLITS.index(split) for split in splits]))

    def pretraining_ids(self) -> Ids:
        return self.ids("train", "unlabeled")

    def labels(self, ids: Ids) -> Ids:
        """(B,) indices into classes, -1 for none."""
        return self._labels[np.asarray(ids)]

    def within_memory(self, count: int) -> int:
        """`count`, or as many images as may be held at once by a method that turns all their pixels into larger numbers."""
        return max(1, min(count, HELD_BYTES // (self.size * self.size * self.channels)))

    def gather(self, ids: Ids) -> Sample:
        """The images with these ids and what is stored beside them, in their order; any may come twice. Raises IndexError for an id
        without an image."""
        ids = np.asarray(ids, dtype=np.int64)
        if len(ids) and (ids.min() < 0 or ids.max() >= len(self._rows) or (self._rows[ids] < 0).any()):
            raise IndexError(f"{self.folder}: an id asked for has no usable image")
        rows = self._rows[ids]
        order = np.argsort(rows, kind="stable")  # rows are read in ascending order, which is faster from a disk
        fields = {}
        for name, stored in {"image": self._images, **self._beside}.items():
            fields[name] = np.empty((len(ids), *stored.shape[1:]), np.uint8)
            fields[name][order] = stored[rows[order]]
        return Sample(fields)
