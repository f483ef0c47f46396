"""Splits of Parquet files: by the names of files and folders, or by a column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from ssl_pipelines.data.readers.columns import named
from ssl_pipelines.data.readers.parquet_shards import Shard
from ssl_pipelines.data.split_names import (
    SPLIT_COLUMNS,
    SPLIT_NAMES,
    column_splits,
    is_split_name,
    looks_like_split,
    some,
    split_word,
    splits_of,
)


def file_splits(names: Sequence[str]) -> dict[str, str | None]:
    """file -> split: by the word with which its name begins, else the nearest folder's; else by one word within such a name, where it
    agrees with a train name and a held-out name beside it."""
    first = {name: next((word for part in _parts(name) if (word := _first_word(part)) is not None), None) for name in names}
    within = {name: part for name in names if first[name] is None and (part := _speaking(name)) is not None}
    known = splits_of({word for word in first.values() if word is not None} | set(within.values()))
    found: dict[str, str | None] = {}
    for name in names:
        word = first[name]
        found[name] = known.get(within.get(name, "")) if word is None else SPLIT_NAMES[word]
    return found


def unused_names(shards: Sequence[Shard]) -> list[str]:
    """One line, or none, that names files that seem to say a split and are not used so."""
    odd = [one.name for one in shards if one.split is None and any(looks_like_split(part) for part in _parts(one.name))]
    return [f"names that look like splits and are not used for splits: {some(odd)}"] if odd else []


def split_column(where: str, shards: Sequence[Shard]) -> tuple[str, dict[str, str]] | list[str]:
    """The column that says the splits and what its values mean; or why there is none, one line a column."""
    notices = []
    by_name = {shard.split for shard in shards} - {None}
    for column in named(dict.fromkeys(name for shard in shards for name in shard.columns), SPLIT_COLUMNS):
        if not all(column in shard.columns for shard in shards):
            notices.append(f"{where}: {column} is not used for splits: not all files have it")
        elif len(by_name) > 1:
            notices.append(f"{where}: {column} is not used for splits: the names of the files say them")
        else:
            counts = sum((shard.counts(column) for shard in shards), Counter[str]())
            blank = sum(sum(shard.group_rows) for shard in shards) - counts.total()
            found = column_splits(where, column, counts + Counter({"": blank}))
            if isinstance(found, dict):
                return column, found
            notices.append(found)
    return notices


def _parts(name: str) -> list[str]:
    """The file's name, then its folders' from the nearest on."""
    return list(reversed(PurePath(name).with_suffix("").parts))


def _first_word(part: str) -> str | None:
    found = re.match(r"[a-zA-Z]+", part)
    return found[0].casefold() if found and is_split_name(found[0]) else None


def _speaking(name: str) -> str | None:
    return next((part for part in _parts(name) if split_word(part) is not None), None)
