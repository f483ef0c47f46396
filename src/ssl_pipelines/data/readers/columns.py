"""Columns of tables by what they hold: paths, labels, splits. Labels are refused where they are numbers on a scale, or several an image."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.split_names import FOLD_COLUMNS, SPLIT_COLUMNS, looks_like_split, plain, some

# As `plain` spells them, the likeliest first.
PATH_COLUMNS = [
    "path",
    "filepath",
    "filename",
    "imagepath",
    "imagefile",
    "imagefilename",
    "imagename",
    "imgpath",
    "imgfile",
    "imgname",
    "relativepath",
    "relpath",
    "file",
    "image",
    "img",
]
LABEL_COLUMNS = [
    "label",
    "labels",
    "class",
    "category",
    "target",
    "cls",
    "classname",
    "categoryname",
    "labelname",
    "targetname",
    "classlabel",
    "finelabel",
    "classid",
    "categoryid",
    "labelid",
    "labelsid",
    "targetid",
    "y",
]
KEY = "dataset.label_column"
SEPARATORS = "|;,"
_LIST = re.compile(r"""\[\s*(['"].*['"]|[-+.\de]+([\s,]+[-+.\de]+)+)\s*\]""")  # ['cat', 'dog'], [0, 1], [0. 1.]
MOST_VALUES = 20  # different numbers with decimals in a column of labels: more of them are a scale


def named(columns: Iterable[str], names: Sequence[str]) -> list[str]:
    """Those of `columns` whose plain spelling is in `names`, in the order of `names`."""
    return sorted((column for column in columns if plain(column) in names), key=lambda column: names.index(plain(column)))


def chosen(where: str, column: str, columns: Iterable[str], kind: str = "column") -> str:
    """`column`, the value of dataset.label_column. Raises InputError where it is none of `columns`."""
    present = list(columns)
    if column not in present:
        raise InputError(f"{KEY}={column!r} is no {kind} of {where}; found: {', '.join(present) or 'nothing'}")
    return column


def like_splits(columns: Iterable[str]) -> list[str]:
    """Those that seem to say splits."""
    return [name for name in columns if plain(name) in (*SPLIT_COLUMNS, *FOLD_COLUMNS) or looks_like_split(name)]


def unread_split(where: str, columns: Iterable[str]) -> list[str]:
    """One line, or none, that names columns that seem to say splits and were not read."""
    found = like_splits(columns)
    return [f"{where}: not read, though it looks like splits: {some(found)}"] if found else []


def label_problem(counts: Mapping[str, int]) -> str | None:
    """Why these values are no classes: continuous numbers, or several labels in one. counts: value -> rows; blank values are no labels."""
    kept = {value: n for value, n in counts.items() if value.strip()}
    if example := _continuous(kept):
        return f"holds continuous numbers ({example}); whole numbers or names are read as labels"
    if several := next((value for value in kept if _several(value, kept)), None):
        return f"holds several labels an image ({several!r}); one label an image is read"
    return None


def _continuous(counts: Mapping[str, int]) -> str | None:
    """An example, where all values are numbers, some have decimals, and there are too many different ones for classes."""
    try:
        numbers = {value: float(value) for value in counts}
    except ValueError:
        return None
    decimals = [value for value, number in numbers.items() if math.isfinite(number) and not number.is_integer()]
    many = len(counts) > MOST_VALUES or 2 * len(counts) > sum(counts.values())
    return decimals[0] if decimals and many else None


def _several(value: str, counts: Mapping[str, int]) -> bool:
    """A list as programs write it, or names between separators that are values of the column themselves."""
    if _LIST.fullmatch(value.strip()):
        return True
    for mark in SEPARATORS:
        parts = [part.strip() for part in value.split(mark)]
        if len(parts) > 1 and all(part in counts for part in parts):
            return True
    return False
