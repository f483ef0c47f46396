"""A finished model as one function of encoded images. The embed tool and the served model both call it, so that their numbers are equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import DecodeSpec, Pixels, Unusable
from ssl_pipelines.data.decoding import decode_chunk
from ssl_pipelines.data.manifest import PLAIN
from ssl_pipelines.data.readers.base import RawImage
from ssl_pipelines.training.model import load_method, read_description
from ssl_pipelines.views.plain import plain_view

MAX_PIXELS = DatasetConfig().max_pixels
Vectors = NDArray[np.float32]


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
        stage: str | None = None,
        key: str = "stage",
        device: str | torch.device = "cpu",
        max_pixels: int = MAX_PIXELS,
    ):
        """Raises InputError where `folder` is no model, or has no such stage (named `key` in the message)."""
        data = read_description(folder)["data"]
        told = {name: data.get(name, plain) for name, plain in PLAIN.items()}
        self.spec = DecodeSpec(data.get("stored_size", data["size"]), data["channels"], max_pixels, **told)
        self.method, self.device, self.stage = load_method(folder).to(device), torch.device(device), stage
        blank = np.zeros((1, self.spec.size, self.spec.size, self.spec.channels), np.uint8)
        if stage is not None:
            with torch.inference_mode():
                stages = {"final", *self.method.stages(plain_view(torch.from_numpy(blank).to(self.device), self.method.image_size))}
            if stage not in stages:
                raise unknown(key, stage, stages)
        self.dim = self._encode(blank).shape[1]

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
        return np.asarray(self.method.encode(images, self.stage).float().cpu().numpy())


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
