"""A finished model as one function of encoded images. The embed tool and the served model both call it, so that their numbers are equal."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import DecodeSpec, Pixels, Unusable
from ssl_pipelines.data.decoding import decode_chunk
from ssl_pipelines.data.manifest import PLAIN
from ssl_pipelines.data.readers.base import RawImage
from ssl_pipelines.evaluation.eval_layer import check_eval_layer, recorded_eval_layer
from ssl_pipelines.training.model import load_method, read_description
from ssl_pipelines.views.plain import plain_view

MAX_PIXELS = DatasetConfig().max_pixels
Vectors = NDArray[np.float32]
log = logging.getLogger("ssl_pipelines")


@dataclass(frozen=True, slots=True)
class Embedded:
    """vectors: (usable, D), in order; errors: one an image, None where it is usable."""

    vectors: Vectors
    errors: list[str | None]


class ImageEncoder:
    """`spec` is how images are decoded: as the ingestion of the model's own training data did, with its limits."""

    def __init__(
        self,
        folder: Path,
        *,
        eval_layer: str | None = None,
        key: str = "eval_layer",
        device: str | torch.device = "cpu",
        max_pixels: int = MAX_PIXELS,
    ):
        """`eval_layer` None: the one that the folder records, and `final`, with one line in the log, where it records none.

        Raises InputError where `folder` is no model, or has no such layer (named `key` in the message)."""
        data = read_description(folder)["data"]
        told = {name: data.get(name, plain) for name, plain in PLAIN.items()}
        self.spec = DecodeSpec(data.get("stored_size", data["size"]), data["channels"], max_pixels, **told)
        self.method, self.device = load_method(folder).to(device), torch.device(device)
        check_eval_layer(key, eval_layer, self.method)
        if eval_layer is None:
            eval_layer = recorded_eval_layer(folder) or _unrecorded(folder)
            check_eval_layer(f"{folder}: eval_layer", eval_layer, self.method)
        self.eval_layer = eval_layer
        self.dim = self._encode(np.zeros((1, self.spec.size, self.spec.size, self.spec.channels), np.uint8)).shape[1]

    def embed(self, pixels: Pixels) -> Vectors:
        """uint8 (n, S, S, C) -> float32 (n, D). Each image by itself: what is beside it in the batch changes nothing."""
        return self._encode(pixels) if len(pixels) else np.empty((0, self.dim), np.float32)

    def embed_contents(self, contents: Sequence[object]) -> Embedded:
        """Encoded images as bytes; Unusable, or anything else, is an error of that image alone."""
        decoded = decode_chunk(_Contents(contents), self.spec)
        return Embedded(self.embed(decoded.pixels), [row["reason"] for row in decoded.rows])

    @torch.inference_mode()
    def _encode(self, pixels: Pixels) -> Vectors:
        images = plain_view(torch.from_numpy(pixels).to(self.device), self.method.image_size)
        return np.asarray(self.method.encode(images, self.eval_layer).float().cpu().numpy())


def _unrecorded(folder: Path) -> str:
    log.warning("%s records no eval layer: no evaluation of it was known when it was written, so it is read at %r", folder, FINAL)
    return FINAL


@dataclass(frozen=True, slots=True)
class _Contents:
    """Images in memory, as a chunk of a source."""

    contents: Sequence[object]

    def read(self) -> Iterator[RawImage]:
        for content in self.contents:
            yield RawImage("", None, None, _content(content))


def _content(content: object) -> bytes | Unusable:
    if isinstance(content, Unusable):
        return content
    return bytes(content) if isinstance(content, (bytes, bytearray, memoryview)) else Unusable(_no_bytes(content))


def _no_bytes(content: object) -> str:
    if content is None or (isinstance(content, float) and content != content):
        return "no bytes in this row"
    return f"the bytes of an encoded image are expected, found {type(content).__name__}"
