"""The manifest: one row a source file, usable or not; and the numbers that describe the store as a whole."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.decode import WHITE
from ssl_pipelines.data.readers.layout import class_order

STORE_SCHEMA_VERSION = 1
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("path", pa.string()),
        ("split", pa.string()),
        ("label", pa.int64()),  # index into the classes; null: none
        ("sha256", pa.string()),  # of the pixels as stored
        ("width", pa.int64()),  # of the source
        ("height", pa.int64()),
        ("mode", pa.string()),
        ("channels", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("mean", pa.float64()),  # of the stored pixels / 255
        ("std", pa.float64()),
    ]
)
Columns = dict[str, list[Any]]  # name -> one value a file
DECODED = ("path", "split", "label", "sha256", "width", "height", "mode", "channels", "status", "reason")  # known file by file
COUNTED = ("pages", "levels", "cut_share", "brightest")  # the same, summed up in store.json and the log alone


PLAIN = {"fit": "square", "white": WHITE, "alpha": True}  # how images are decoded where nothing else is recorded


def label_indices(labels: Sequence[Any], paths: Sequence[str], classes: list[str] | None) -> tuple[NDArray[np.int64], list[str]]:
    """(N,) indices, -1 for none, and the class names: the given ones, or else the labels that occur. Raises InputError."""
    present = [None if label is None or (not isinstance(label, str) and label < 0) else label for label in labels]
    if classes is None:
        classes = class_order({str(label) for label in present if label is not None})
        present = [None if label is None else str(label) for label in present]
    index = {name: i for i, name in enumerate(classes)}
    found = [-1 if label is None else index.get(label, -2) if isinstance(label, str) else int(label) for label in present]
    for i, number in enumerate(found):
        if not -1 <= number < len(classes):
            raise InputError(
                f"{paths[i]}: label {labels[i]!r} is none of the {len(classes)} classes ({', '.join(classes[:10])} ...)"
            )
    return np.array(found, dtype=np.int64).reshape(-1), classes


def build_manifest(
    columns: Columns, labels: NDArray[np.int64], splits: NDArray[Any], sums: NDArray[np.int64], pixels: int
) -> pd.DataFrame:
    """columns, labels, splits: of all N files; sums (usable, 2, C): over `pixels` positions of each usable one, in their order."""
    frame = pd.DataFrame(columns | {"id": np.arange(len(labels)), "split": splits})
    frame["label"] = pd.array(labels, dtype="Int64")
    frame.loc[labels < 0, "label"] = pd.NA
    for name in ("width", "height", "channels"):
        frame[name] = frame[name].astype("Int64")
    usable = (frame["status"] == "ok").to_numpy(dtype=bool)
    for name, values in zip(("mean", "std"), _mean_std(sums.sum(2), pixels * sums.shape[2]), strict=True):
        column = np.full(len(frame), np.nan)
        column[usable] = values
        frame[name] = column
    return frame.reindex(columns=[field.name for field in SCHEMA])


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(frame, SCHEMA, preserve_index=False), path)


def content_digest(frame: pd.DataFrame, store: Mapping[str, Any]) -> str:
    """sha256 over the usable content: shape, classes, the digests of the fields beside the images and what decoding was told, then id,
    pixels' sha256, split and label of every usable image.   store: the content of store.json.

    What is as it is by default has no part in it: images stored at the size of their views, in squares, are the same data as ever."""
    about = {name: store[name] for name in ("size", "channels", "classes")}
    if store.get("fields"):
        about["fields"] = {name: facts["sha256"] for name, facts in store["fields"].items()}
    told = {"view_size": store["size"], **PLAIN}
    about |= {name: store[name] for name, plain in told.items() if store.get(name, plain) != plain}
    found = hashlib.sha256(json.dumps(about).encode())
    usable = frame[frame["status"] == "ok"]
    labels = usable["label"].fillna(-1)
    for row in zip(usable["id"], usable["sha256"], usable["split"], labels, strict=True):
        found.update("{} {} {} {}\n".format(*row).encode())
    return found.hexdigest()


def channel_statistics(sums: NDArray[np.int64], pixels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel in [0, 1] over the images in sums (n, 2, C); integers until the last step."""
    mean, std = _mean_std(sums.sum(0).T, len(sums) * pixels)
    return mean.tolist(), std.tolist()


def _mean_std(sums: NDArray[np.int64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """In [0, 1] from sums (n, 2) of `count` values in [0, 255] and of their squares; constant values give exactly 0."""
    mean = sums[:, 0] / count
    return mean / 255, np.sqrt(np.maximum(sums[:, 1] / count - mean**2, 0)) / 255


def frequent_reasons(columns: Columns, most: int = 3) -> str:
    """empty file (3), not an image file: .txt (1)"""
    counts = Counter(reason for reason in columns["reason"] if reason)
    return ", ".join(f"{reason} ({count:,})" for reason, count in counts.most_common(most))
