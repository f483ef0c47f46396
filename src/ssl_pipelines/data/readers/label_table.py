"""The CSV beside an image folder (dataset.labels): a path and a label in each row, and a split where a column says it."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.readers.columns import KEY, LABEL_COLUMNS, PATH_COLUMNS, chosen, label_problem, named, unread_split
from ssl_pipelines.data.split_names import SPLIT_COLUMNS, column_splits

if TYPE_CHECKING:
    import pandas as pd

ROWS_TRIED = 100  # from which the column of paths is told among several


@dataclass(frozen=True, slots=True)
class LabelTable:
    """What a CSV says of the files that it names."""

    labels: dict[str, str | None]  # path, as `normal` spells it -> class name
    label_column: str
    splits: dict[str, str | None] = field(default_factory=dict)  # path -> split
    split_column: str | None = None
    unread: list[str] = field(default_factory=list)  # columns
    notices: list[str] = field(default_factory=list)


def normal(path: str) -> str:
    """Comparable spelling: accents may be composed or not, and a CSV may say ./a.png."""
    return unicodedata.normalize("NFC", path.replace("\\", "/").removeprefix("./"))


def read_label_table(file: Path, root: Path, known: set[str], label_column: str | None) -> LabelTable:
    """known: the files below root, relative to it, as `normal` spells them. label_column: dataset.label_column.

    Raises InputError for a missing column, a file that is absent or outside the root, two labels or splits for one file, and for labels
    that are no classes."""
    import pandas as pd

    where = f"dataset.labels={str(file)!r}"
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise InputError(f"{where} is not a CSV ({error})") from None
    table.columns = table.columns.map(str)
    columns, find = list(table.columns), _finder(file, root, known)
    path = _path_column(where, table, find)
    label = _label_column(where, [name for name in columns if name != path], label_column)
    if problem := label_problem(Counter(table[label])):
        raise InputError(f"{where}: column {label} {problem}")
    keys = [find(one) for one in table[path]]
    if None in keys:
        line, given = next((i, given) for i, (given, key) in enumerate(zip(table[path], keys, strict=True), 2) if key is None)
        place = "outside" if Path(given).is_absolute() else "not in"
        raise InputError(f"{where} line {line}: {given!r} is {place} dataset.root={str(root)!r}")
    rows = [key for key in keys if key is not None]
    labels = _by_path(where, rows, [value or None for value in table[label]], "labeled")
    rest = [name for name in columns if name not in (path, label)]
    split, values, notices = _split_column(where, table, rest)
    unread = [name for name in rest if name != split]
    splits = _by_path(where, rows, [values.get(value) for value in table[split]], "put into a split") if split else {}
    said = [name for name in unread if not any(f" {name} is not used" in line for line in notices)]
    return LabelTable(labels, label, splits, split, unread, notices + unread_split(where, said))


def _finder(file: Path, root: Path, known: set[str]) -> Callable[[str], str | None]:
    """What turns a path of the CSV into one below the root: it may be relative to the root, to the CSV or to here, or absolute."""
    here = Path.cwd()
    roots = {normal(os.path.normpath(here / root)), normal(str(root.resolve()))}

    def find(path: str) -> str | None:
        key = normal(path)
        if key in known:
            return key
        for base in (here / file.parent, here):
            place = normal(os.path.normpath(base / path.replace("\\", "/")))
            for start in roots:
                inside = place.removeprefix(start.rstrip("/") + "/")
                if inside != place and inside in known:
                    return inside
        return None

    return find


def _path_column(where: str, table: pd.DataFrame, find: Callable[[str], str | None]) -> str:
    """The one that names most files, of those that are called as columns of paths are."""
    columns = [str(name) for name in table.columns]
    candidates = named(columns, PATH_COLUMNS)
    if not candidates:
        allowed = ", ".join(PATH_COLUMNS)
        raise InputError(f"{where} has no column of paths; found: {', '.join(columns)}; allowed, in any spelling: {allowed}")
    return max(candidates, key=lambda name: sum(find(path) is not None for path in map(str, table[name].iloc[:ROWS_TRIED])))


def _label_column(where: str, columns: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        return chosen(where, wanted, columns)
    found = ["label"] if "label" in columns else named(columns, LABEL_COLUMNS)
    if len(found) != 1:
        problem = f"has several columns that may hold labels ({', '.join(found)})" if found else "has no column 'label'"
        raise InputError(f"{where} {problem}; {KEY} names the one to read; found: {', '.join(columns) or 'nothing else'}")
    return found[0]


def _split_column(where: str, table: pd.DataFrame, columns: Sequence[str]) -> tuple[str | None, dict[str, str], list[str]]:
    """The column of splits, what its values mean, and why others are not used."""
    notices: list[str] = []
    for name in named(columns, SPLIT_COLUMNS):
        found = column_splits(where, name, table[name])
        if isinstance(found, dict):
            return name, found, notices
        notices.append(found)
    return None, {}, notices


def _by_path(where: str, paths: Sequence[str], values: Sequence[str | None], verb: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for line, (path, value) in enumerate(zip(paths, values, strict=True), start=2):
        if path in found and found[path] != value:
            raise InputError(f"{where} line {line}: {path!r} is {verb} twice, {found[path]!r} and {value!r}")
        found[path] = value
    return found
