"""Images a second from JPEG files: on one core against a plain Pillow loop, and on both cores against one."""

from __future__ import annotations

import logging
import os
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import Bar, Row, rate, row, turns
from benchmarks.photos import write_jpegs
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.ingestion import ingest

BARS = {"ingest": Bar("ingest", 0.9), "ingest_two_cores": Bar("ingest_two_cores", 1.7)}
SIDE, SIZE = 256, 96


def run(quick: bool) -> list[Row]:
    logging.getLogger("ssl_pipelines").setLevel(logging.WARNING)
    count = 2_500 if quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        paths = write_jpegs(Path(folder) / "photos", count, SIDE)
        config = DatasetConfig.of({"reader": "image_folder", "root": f"{folder}/photos", "size": SIZE}, "dataset")

        def store(workers: int) -> None:
            with tempfile.TemporaryDirectory(dir=folder) as out:
                ingest(config, 0, Path(out), workers)

        def loop() -> None:
            pixels = np.empty((count, SIZE, SIZE, 3), np.uint8)
            for k, path in enumerate(paths):
                with Image.open(BytesIO(path.read_bytes())) as image:
                    pixels[k] = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            np.save(f"{folder}/plain.npy", pixels)

        cores = min(2, os.cpu_count() or 1)
        works = {"one": lambda: store(1), "both": lambda: store(cores), "plain": loop}
        found = turns({name: rate(work, count) for name, work in works.items()})
    detail = f"{count:,} JPEG files of {SIDE} px to {SIZE} px"
    return [
        row(BARS["ingest"], found["one"], found["plain"], f"{detail}, one core", "images/s"),
        row(BARS["ingest_two_cores"], found["both"], found["plain"], f"{detail}, {cores} cores", "images/s"),
    ]
