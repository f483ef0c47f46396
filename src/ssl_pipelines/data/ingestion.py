"""ingest: raw files to the store. A row for every file, pixels for every usable one, the same for any number of workers."""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, write_json
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import DecodeSpec
from ssl_pipelines.data.decoding import decoded_chunks
from ssl_pipelines.data.fitting import kept_sides
from ssl_pipelines.data.manifest import (
    STORE_SCHEMA_VERSION,
    Columns,
    build_manifest,
    channel_statistics,
    content_digest,
    frequent_reasons,
    label_indices,
    write_manifest,
)
from ssl_pipelines.data.packing import pack_images
from ssl_pipelines.data.probing import decode_spec
from ssl_pipelines.data.readers import open_reader
from ssl_pipelines.data.readers.base import Origins
from ssl_pipelines.data.split_names import some
from ssl_pipelines.data.splits import SPLITS, assign_splits

log = logging.getLogger("ssl_pipelines")
LEAST_JUDGED = 10  # labeled images from which labels are judged: of fewer, each may well be of a class of its own


def raw_digest(config: DatasetConfig) -> str:
    """Changes when a raw file is added, removed or written anew (path, size, mtime). Raises InputError if the root is missing."""
    return digest(sorted(open_reader(config).raw_files()))


def ingest(config: DatasetConfig, seed: int, out: Path, workers: int) -> None:
    """Writes images.npy, fields/*.npy, manifest.parquet and store.json into the empty folder `out`.

    Raises InputError if the source is missing, holds nothing usable or nothing to train on, or does not fit on the disk."""
    start = time.perf_counter()
    reader = open_reader(config)
    for notice in reader.notices:
        log.warning(f"ingest: {notice}")
    spec = decode_spec(config, reader)
    _check_space(out, reader.total * (spec.image_bytes + len(spec.fields) * spec.size**2))
    columns, sums, fields = pack_images(out / "images.npy", decoded_chunks(reader, spec, workers), spec, reader.total_files)
    if not len(sums):
        raise InputError(f"{_where(config)}: {_nothing(columns)}")
    labels, classes = label_indices(columns["label"], columns["path"], reader.classes)
    _warn_of_names(columns, labels, config)
    splits = _splits(columns, labels, config, seed)
    kept = splits[np.array(columns["status"]) == "ok"]
    _warn_unlabeled(columns, kept)
    training = np.isin(kept, ["train", "unlabeled"])
    if not training.any():
        raise InputError(f"{_where(config)}: all usable images are {' or '.join(sorted(set(kept)))}; there is nothing to train on")
    manifest = build_manifest(columns, np.where(splits == "unlabeled", -1, labels), splits, sums, spec.size**2)
    write_manifest(manifest, out / "manifest.parquet")
    mean, std = channel_statistics(sums[training], spec.size**2)
    about = {
        "schema_version": STORE_SCHEMA_VERSION,
        "name": config.name or reader.name,
        "reader": config.reader,
        "size": spec.size,
        "view_size": config.size,
        "fit": spec.fit,
        "white": spec.white,
        "alpha": spec.alpha,
        "channels": spec.channels,
        "classes": classes,
        "mean": mean,
        "std": std,
        "fields": fields,
        **_of_sources(columns, training, spec),
    }
    about["sha256"] = content_digest(manifest, about)
    write_json(out / "store.json", about)
    _warn_of_stacks(columns)
    _warn_of_white(columns, spec.white)
    _summarize(about, columns, kept, reader.origins, time.perf_counter() - start)


def _where(config: DatasetConfig) -> str:
    return f"dataset.root={config.root!r}" if config.root else f"dataset.reader={config.reader!r}"


def _nothing(columns: Columns) -> str:
    files = len(columns["path"])
    return f"none of {files:,} files is a usable image: {frequent_reasons(columns)}" if files else "no files found"


def _of_sources(columns: Columns, training: NDArray[np.bool_], spec: DecodeSpec) -> dict[str, Any]:
    """What the sources of the usable images were, for the log, validation and pretraining.   training: (usable,) which are trained on.

    source_side: median px that the stored side shows. enlarged: mean factor by which training images smaller than the stored square were
    enlarged, 1 for the others. deep: of those with more than 8 bits a channel, their number and the median of the gray levels left."""
    ok = [i for i, status in enumerate(columns["status"]) if status == "ok"]
    sides = np.array(kept_sides(((columns["width"][i], columns["height"][i]) for i in ok), spec.fit))
    levels = [columns["levels"][i] for i in ok if columns["levels"][i] is not None]
    facts = {"source_side": float(np.median(sides)), "enlarged": float(np.maximum(1, spec.size / sides[training]).mean())}
    return facts | ({"deep": {"images": len(levels), "levels": float(np.median(levels))}} if levels else {})


def _check_space(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out.parent).free
    if needed > free:
        sizes = f"needs about {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free"
        raise InputError(f"{out.parent}: the store {sizes}; free some or lower dataset.stored_size")


def _splits(columns: Columns, labels: NDArray[np.int64], config: DatasetConfig, seed: int) -> NDArray[Any]:
    """(N,) names, of all files; an unusable one has the source's split, else it counts to train or unlabeled."""
    source, status, hashes = (np.array(columns[name], dtype=object) for name in ("split", "status", "sha256"))
    ok = status == "ok"
    splits = np.where(labels < 0, "unlabeled", np.where(source == None, "train", source))  # noqa: E711 (elementwise)
    fractions = config.splits.validation, config.splits.test
    splits[ok] = assign_splits(source[ok].tolist(), labels[ok], hashes[ok].tolist(), *fractions, seed)
    return splits


def _summarize(about: dict[str, Any], columns: Columns, kept: NDArray[Any], origins: Origins, seconds: float) -> None:
    files, counts = len(columns["path"]), Counter(kept.tolist())
    splits = ", ".join(f"{split} {counts[split]:,}" for split in SPLITS if counts[split])
    if origins.splits:
        drawn = [split for split in ("validation", "test") if counts[split] and split not in columns["split"]]
        splits = f"splits from {origins.splits}: {splits}" + (f"; {' and '.join(drawn)} drawn from train" if drawn else "")
    shape = "{size}x{size}x{channels}".format(**about)
    labels = f", labels from {origins.labels}" if origins.labels else ""
    unread = f"; not read: {some(origins.unread)}" if origins.unread else ""
    refused = f"; not usable: {frequent_reasons(columns)}" if len(kept) < files else ""
    speed = f"{files / max(seconds, 1e-9):,.0f} files/s"
    found = "".join(f", {name} found in {facts['usable_share']:.0%} of the images" for name, facts in about["fields"].items())
    log.info(
        f"ingest {about['name']}: {len(kept):,} of {files:,} files usable ({splits}){labels}, {shape}{found}, {speed}{refused}{unread}"
    )


def _warn_unlabeled(columns: Columns, kept: NDArray[Any]) -> None:
    """Warns that images of a held-out split without a label, which cannot be scored, are trained on with the others."""
    usable = [split for split, status in zip(columns["split"], columns["status"], strict=True) if status == "ok"]
    moved = Counter(
        split for split, now in zip(usable, kept, strict=True) if split in ("validation", "test") and now == "unlabeled"
    )
    for split, count in sorted(moved.items()):
        log.warning(
            f"ingest: {count:,} images of the source's {split} split have no label: they are pretrained on as unlabeled images"
        )


def _warn_of_stacks(columns: Columns) -> None:
    several = [path for path, pages in zip(columns["path"], columns["pages"], strict=True) if pages]
    if several:
        log.warning(f"ingest: of {len(several):,} files with several pages or frames the first is read, such as {several[0]}")


def _warn_of_white(columns: Columns, white: int) -> None:
    """Warns where pixels lie above white: the sample that it is chosen by may lack the brightest images, or a given white is too
    low."""
    facts = zip(columns["cut_share"], columns["brightest"], columns["path"], columns["status"], strict=True)
    above = [(share, brightest, path) for share, brightest, path, status in facts if share and status == "ok"]
    if above:
        share, _, worst = max(above, key=lambda one: one[0])
        most = max(brightest for _, brightest, _ in above)
        log.warning(
            f"ingest: {len(above):,} images of 16-bit gray have pixels above dataset.white={white}, which are cut to it "
            f"({100 * share:.3g}% of {worst}): dataset.white={most} keeps all of them apart"
        )


def _warn_of_names(columns: Columns, labels: NDArray[np.int64], config: DatasetConfig) -> None:
    """Warns where most images have a label of their own, such as a file number, which is no class."""
    known = [label for label, status in zip(labels.tolist(), columns["status"], strict=True) if status == "ok" and label >= 0]
    different = len(set(known))
    if len(known) >= LEAST_JUDGED and 2 * different > len(known):
        key = f"dataset.label_column={config.label_column!r}: " if config.label_column else ""
        log.warning(
            f"ingest: {key}{len(known):,} labeled images have {different:,} different labels; what tells images apart is no class"
        )
