"""`dataset`: where the images come from, and how they are stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ssl_pipelines.artifacts.config import ONE_OR_SEVERAL, Config, UserPath
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.data.readers import READERS
from ssl_pipelines.data.readers.torchvision_table import TORCHVISION

MAX_CHANNELS = 64
Fit = Literal["square", "pad", "long"]  # how an image of any shape fills a stored square
LEAST_SIDE, MOST_SIDE = 8, 2048  # px of the stored square
WHITES = (1, 65535)


class SplitFractions(Config):
    """Shares of the images that are set aside, used only where the source has no such split itself."""

    validation: float = Field(default=0.1, ge=0, le=0.4)
    """Share of the images, 0 to 0.4, that is set aside to choose hyper-parameters on. Used only where the source has no validation
    split itself; raise it where the images are few."""
    test: float = Field(default=0.2, ge=0, le=0.5)
    """Share of the images, 0 to 0.5, that is set aside for the final scores. Used only where the source has no test split itself;
    raise it for narrower intervals."""


class DatasetConfig(Config):
    """Where the images come from, and how they are stored."""

    reader: str = "mnist5k"
    """Name of the reader that opens the images; `kedro datasets` lists all. Change it to read your own images (`image_folder`,
    `parquet`, `npz`, ...)."""
    root: UserPath | None = Field(default=None, min_length=1)
    """Folder or file that the reader reads, null for readers that bring their own images. A relative path starts at the project's
    folder."""
    name: str | None = Field(default=None, min_length=1)
    """Name under which results report the data set, null for the reader's own choice. With reader `torchvision` it is the class to
    load, such as CIFAR10."""
    size: int = Field(default=28, ge=LEAST_SIDE, le=1024)
    """Side in px of the square that networks see; what a method's `views.size` is where it has none of its own. Larger shows more detail
    and takes longer by its square."""
    stored_size: Literal["auto"] | int = "auto"
    """Side in px of the square that is stored, from which views are cut: `auto` is the median side of the sources, at least `size` and at
    most twice it. Raise it where crops are enlarged, lower it to `size` to save disk space."""
    fit: Fit = "square"
    """How an image that is no square fills one: `square` keeps its middle; `pad` all of it, the rest black; `long` all of it, the rest
    mirrored. Choose one of the latter for panoramas and documents, whose ends count."""
    channels: Literal["auto"] | int = "auto"
    """Number of channels that are stored, 1 to 64: `auto` follows the sources. Set 1 to turn all images to gray, 3 where gray and
    color images are mixed."""
    white: Literal["auto"] | int = "auto"
    """Value of a 16-bit gray pixel that becomes white, 1 to 65535: `auto` is the largest number of the fewest bits that hold a sample's
    bright pixels (4095 for 12 bits). Give it where the sample misleads, so that all images stay comparable."""
    alpha: Literal["auto", "composite", "ignore"] = "auto"
    """What a band called alpha is: `composite` puts the colors on white by it, `ignore` leaves it out (near infrared), `auto` ignores it
    where most of a sample's values are neither 0 nor 255. Choose where translucent graphics or satellite images are taken for the other."""
    splits: SplitFractions = SplitFractions()
    """Shares of the images that become validation and test, each used only where the source has no such split itself."""
    labels: UserPath | None = Field(default=None, min_length=1)
    """CSV with a row an image: a column of paths (headers such as path, file_name, Path, image), one of labels (label, class, category,
    target or `label_column`) and, where there is one, of splits (split, subset, partition). Set it where folders are no classes."""
    label_column: str | None = Field(default=None, min_length=1)
    """Column of a Parquet file or of the CSV in `labels`, or array of an .npz file, that holds the labels (whole numbers or names, one an
    image); set it where the labels stand under a name that is not found, or where several could be meant."""
    fields: Annotated[tuple[Literal["saliency"], ...], ONE_OR_SEVERAL] = ()
    """Further maps that are made of every image and stored beside it. Set `saliency` for foreground masks, which
    `views.backgrounds` needs."""
    max_megapixels: float = Field(default=64, ge=1e-4, le=10_000)
    """Largest source image that is decoded, in millions of pixels; larger ones are refused unread. Raise it for scans and mosaics that
    you trust: each takes up to 8 bytes a pixel of memory."""

    @property
    def max_pixels(self) -> int:
        return round(self.max_megapixels * 1e6)

    @field_validator("root", "name", "labels", "label_column", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """`--params dataset.name=10` is read as a number."""
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

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

    @field_validator("stored_size", "white", mode="before")
    @classmethod
    def _number_in_range(cls, value: Any, info: ValidationInfo) -> Any:
        least, most = (LEAST_SIDE, MOST_SIDE) if info.field_name == "stored_size" else WHITES
        if value != "auto" and (type(value) is not int or not least <= value <= most):
            raise ValueError(f"allowed is 'auto' or a whole number from {least} to {most}")
        return value

    @model_validator(mode="after")
    def _stored_is_no_smaller(self) -> Self:
        if self.stored_size != "auto" and self.stored_size < self.size:
            raise ValueError(
                f"stored_size={self.stored_size} is smaller than size={self.size}: allowed is {self.size} to {MOST_SIDE}"
            )
        return self

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

    @field_validator("label_column")
    @classmethod
    def _label_column_is_read(cls, label_column: str | None, info: ValidationInfo) -> str | None:
        reader = info.data.get("reader")
        if label_column is not None and reader == "image_folder" and info.data.get("labels") is None:
            raise ValueError("with reader 'image_folder' it is a column of the CSV in dataset.labels, which is not set")
        if label_column is not None and reader not in ("image_folder", "npz", "parquet"):
            raise ValueError(
                "only readers 'image_folder' (with dataset.labels), 'npz' and 'parquet' have columns or arrays to choose from"
            )
        return label_column
