"""What transfer_eval is given, found before any stage runs: the files of the data sets, and the further models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import raw_digest
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import Upstream, find_model, is_reference
from ssl_pipelines.orchestration.parameters import PATHS, Parameters
from ssl_pipelines.orchestration.paths import home_root
from ssl_pipelines.pipelines.transfer_eval.config import TransferConfig

NAME = "transfer_eval"
KEY = f"{NAME}.datasets"


def check_transfer(parameters: Parameters, tracker: Tracker | None) -> None:
    """Raises InputError for what cannot be read; reads no image."""
    resolve(parameters.block(NAME, TransferConfig), tracker)


def resolve(given: TransferConfig, tracker: Tracker | None) -> tuple[TransferConfig, dict[str, str], Mapping[str, Upstream]]:
    """(the block with paths as they are to be opened, digests of the raw files, the further models). Raises InputError as `check_transfer`."""
    config = _located(given)
    if not config.datasets:
        raise InputError(
            f"{KEY} is empty: name a data set or more, as with --params {KEY}.digits.reader=mnist5k "
            f"or {KEY}.photos.reader=image_folder,{KEY}.photos.root=<folder> (`kedro datasets` lists the readers)"
        )
    digests = {}
    for name, one in config.datasets.items():
        with named(name):
            digests[f"raw files of {name}"] = raw_digest(one)
    found = {name: find_model(f"{NAME}.models.{name}={one!r}", one, tracker) for name, one in config.models.items()}
    return config, digests, found


def _located(config: TransferConfig) -> TransferConfig:
    located = {
        name: one.model_copy(update={key: str(home_root() / value) for key in PATHS if (value := getattr(one, key))})
        for name, one in config.datasets.items()
    }
    models = {name: given if is_reference(given) else str(home_root() / given) for name, given in config.models.items()}
    return config.model_copy(update={"datasets": located, "models": models})


@contextmanager
def named(name: str) -> Iterator[None]:
    """Readers speak of `dataset.<key>`: here it stands elsewhere."""
    try:
        yield
    except InputError as error:
        text = str(error)
        key = f"{KEY}.{name}"
        if text.startswith("dataset."):
            text = f"{key}.{text.removeprefix('dataset.')}"
        raise InputError(text if text.startswith(key) else f"{key}: {text}") from error
