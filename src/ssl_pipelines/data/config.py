"""`dataset`: where the images come from, and how they are stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from ssl_pipelines.artifacts.config import ONE_OR_SEVERAL, Config, UserPath
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.data.readers import READERS
from ssl_pipelines.data.readers.torchvision_table import TORCHVISION

MAX_CHANNELS = 64
PILLOW_LIMIT = 178_956_970  # Pillow itself refuses larger headers


class SplitFractions(Config):
    """Shares of the images that are set aside, used only where the source has no such split itself."""

    validation: float = Field(default=0.1, ge=0, le=0.4)
    test: float = Field(default=0.2, ge=0, le=0.5)


class DatasetConfig(Config):
    """What `ingest` reads. `name` is what results carry; with reader torchvision it is the name of the class, such as CIFAR10."""

    reader: str = "mnist5k"
    root: UserPath | None = Field(default=None, min_length=1)
    name: str | None = Field(default=None, min_length=1)
    size: int = Field(default=28, ge=8, le=1024)  # side of the stored square, pixels
    channels: Literal["auto"] | int = "auto"
    splits: SplitFractions = SplitFractions()
    labels: UserPath | None = Field(default=None, min_length=1)  # CSV with columns path, label
    fields: Annotated[
        tuple[Literal["saliency"], ...], ONE_OR_SEVERAL
    ] = ()  # made of every image and stored beside it: a foreground mask
    max_pixels: int = Field(default=64_000_000, ge=64, le=PILLOW_LIMIT)  # of a source image; more is refused unread

    @field_validator("reader")
    @classmethod
    def _known_reader(cls, reader: str) -> str:
        if reader not in READERS:
            raise unknown("reader", reader, READERS)
        return reader

    @field_validator("root")
    @classmethod
    def _root_is_read(cls, root: str | None, info: ValidationInfo) -> str | None:
        reader = info.data.get("reader")
        if root is not None and reader in READERS and READERS[reader].root == "none":
            raise ValueError(f"reader {reader!r} brings its own images and reads no folder; leave root out or set dataset.reader")
        return root

    @field_validator("name")
    @classmethod
    def _known_class(cls, name: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("reader") == "torchvision" and name not in TORCHVISION:
            raise unknown("with reader torchvision: name", name, TORCHVISION)
        return name

    @field_validator("channels", mode="before")
    @classmethod
    def _channels_in_range(cls, channels: Any) -> Any:
        if channels != "auto" and (type(channels) is not int or not 1 <= channels <= MAX_CHANNELS):
            raise ValueError(f"allowed is 'auto' or a whole number from 1 to {MAX_CHANNELS}")
        return channels

    @field_validator("labels")
    @classmethod
    def _labels_are_read(cls, labels: str | None, info: ValidationInfo) -> str | None:
        if labels is not None and info.data.get("reader") != "image_folder":
            raise ValueError("only reader 'image_folder' takes labels from a CSV")
        return labels
