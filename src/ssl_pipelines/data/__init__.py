"""From raw files to the store: readers, one decoder, splits, the packed images and the order in which training draws them.

Names are imported when first used: configs and look-ups read `ssl_pipelines.data.config` without paying for pandas."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_pipelines.data.config import DatasetConfig
    from ssl_pipelines.data.ingestion import ingest, raw_digest
    from ssl_pipelines.data.readers import READERS
    from ssl_pipelines.data.sampler import Sampler, batch_ids, steps_per_epoch
    from ssl_pipelines.data.store import Sample, Store

__all__ = ["READERS", "DatasetConfig", "Sample", "Sampler", "Store", "batch_ids", "ingest", "raw_digest", "steps_per_epoch"]

_HOMES = {
    "READERS": "readers",
    "DatasetConfig": "config",
    "Sample": "store",
    "Sampler": "sampler",
    "Store": "store",
    "batch_ids": "sampler",
    "ingest": "ingestion",
    "raw_digest": "ingestion",
    "steps_per_epoch": "sampler",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
