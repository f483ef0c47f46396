"""What the arrays of an .npz file hold, by name and shape: images, their labels, their splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data.readers.columns import KEY, LABEL_COLUMNS, chosen, like_splits
from ssl_pipelines.data.split_names import SAYS_NOTHING, SPLIT_COLUMNS, SPLIT_NAMES, plain, some, split_word, splits_of, words

IMAGE_WORDS = frozenset(["x", "images", "image", "imgs", "img", "pixels", "data"])
LARGEST_WHOLE = 2.0**53  # up to which float64 holds every whole number
FINE = "fine"  # of two levels of classes, as for Parquet files
_USUAL = re.compile(r"x_[a-z]+|[a-z]+_images", re.IGNORECASE)
_JOINED = re.compile(r"([xy])(train|test|val|valid|validation)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    problem: str = ""  # why it cannot be read

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Part:
    """The arrays of one split, or of all."""

    images: str
    labels: str | None
    split: str | None


def find_parts(headers: Mapping[str, Header]) -> list[Part]:
    """Finds arrays of images, with their labels, by usual names: `images` and `labels`; x_train and y_train; train_images and
    train_labels; else other spellings. Labels of another name are left out. Empty where no array is named like images."""
    if "images" in headers:
        return [Part("images", "labels" if "labels" in headers else None, None)]
    splits = _splits(headers)
    pairs = {name: splits[name] for name in headers if name in splits and _is_image(name, headers[name])}
    pairs = {name: split for name, split in pairs.items() if _USUAL.fullmatch(name)} or pairs
    if pairs:
        return sorted((Part(name, _partner(name, headers), split) for name, split in pairs.items()), key=lambda part: part.images)
    alone = [name for name, header in headers.items() if len(header.shape) in (3, 4) and set(_rest(name)) & IMAGE_WORDS]
    alone = [name for name in alone if set(words(name)) <= IMAGE_WORDS | SAYS_NOTHING]
    return [Part(alone[0], None, None)] if len(alone) == 1 else []


def find_labels(
    parts: Sequence[Part], headers: Mapping[str, Header], wanted: str | None, where: str, read: Callable[[str], NDArray[Any]]
) -> tuple[list[Part], list[str]]:
    """The parts with their labels, and arrays that might be labels and are not read. read: gives an array's values, for floating point
    ones.

    wanted: dataset.label_column, an array; each split has its own, named like it. Raises InputError where it is absent."""
    if wanted is not None:
        chosen(where, wanted, headers, "array")
        return [Part(part.images, _like(wanted, part.split, headers), part.split) for part in parts], []
    found, unsure = [], list[str]()
    for part in parts:
        names = [] if part.labels else [name for name in headers if _may_label(name, part, headers)]
        shaped = [name for name in names if _fits(headers[name], headers[part.images].shape[0])]
        fit = [name for name in shaped if headers[name].dtype.kind != "f"]
        fit = fit or [name for name in shaped if whole_numbers(read(name)) is not None]
        exact = [name for name in fit if set(_rest(name)) <= {*LABEL_COLUMNS, "targets"}] or [
            name for name in fit if FINE in words(name)
        ]
        best = exact if len(exact) == 1 else fit
        if len(best) == 1:
            part = Part(part.images, best[0], part.split)
        elif names:
            unsure += [f"{name} ({headers[name]})" for name in names]
        found.append(part)
    return found, unsure


def whole_numbers(values: NDArray[np.floating]) -> NDArray[np.int64] | None:
    """The labels that floating point numbers stand for, -1 (none) for NaN; None where some are not whole."""
    filled = np.where(np.isnan(values), -1.0, values.astype(np.float64))
    whole = (filled == np.floor(filled)) & (np.abs(filled) <= LARGEST_WHOLE)
    return filled.astype(np.int64) if whole.all() else None


def split_arrays(names: Sequence[str]) -> list[str]:
    return sorted((name for name in names if plain(name) in SPLIT_COLUMNS), key=lambda name: (name != "split", name))


def label_notices(parts: Sequence[Part], unsure: Sequence[str], unread: Sequence[str]) -> list[str]:
    """One line each for arrays that are not read and might hold labels or splits."""
    said = []
    if unsure:
        said.append(f"arrays that might hold labels and are not read: {some(unsure)}; {KEY} names the one to read")
    elif unread and not any(part.labels for part in parts):
        said.append(f"no labels are read; other arrays: {some(unread)}; {KEY} names the one that holds them")
    like = [] if parts[0].split else [name for name in like_splits(unread) if not any(name in line for line in said)]
    return said + ([f"arrays not read, though they look like splits: {some(like)}"] if like else [])


def _spelled(name: str) -> str:
    """xtrain as x_train."""
    return _JOINED.sub(r"\1_\2", name) if _JOINED.fullmatch(name) else name


def _rest(name: str) -> list[str]:
    return [word for word in words(_spelled(name)) if word not in SPLIT_NAMES]


def _splits(names: Mapping[str, Header]) -> dict[str, str]:
    """array -> split of those with a split in their name."""
    said = {name: word for name in names if (word := split_word(_spelled(name))) is not None}
    meaning = splits_of(said.values())
    return {name: meaning.get(word, SPLIT_NAMES[word]) for name, word in said.items()}


def _is_image(name: str, header: Header) -> bool:
    rest = set(_rest(name))
    shaped = len(header.shape) in (3, 4) or _USUAL.fullmatch(name) is not None
    return bool(rest) and rest <= IMAGE_WORDS and shaped


def _partner(name: str, headers: Mapping[str, Header]) -> str | None:
    """x_train -> y_train, train_images -> train_labels."""
    pairs = ((r"(x)_(\w+)", lambda found: f"y_{found[2]}"), (r"(\w+)_(images)", lambda found: f"{found[1]}_labels"))
    for pattern, partner in pairs:
        found = re.fullmatch(pattern, name, re.IGNORECASE)
        if found and partner(found) in headers:
            return partner(found)
    return None


def _may_label(name: str, part: Part, headers: Mapping[str, Header]) -> bool:
    """Whether an array is called as labels of this part are, with at most other words beside (y_train_fine)."""
    word = split_word(_spelled(name))
    same = (word is None) if part.split is None else word is not None and _splits(headers)[name] == part.split
    return same and name not in ("split", "classes") and bool(set(_rest(name)) & {*LABEL_COLUMNS, "targets"})


def _fits(header: Header, count: int) -> bool:
    return header.dtype.kind in "fiubUS" and header.shape in ((count,), (count, 1))


def _like(wanted: str, split: str | None, headers: Mapping[str, Header]) -> str | None:
    """The array of this split that is named as the wanted one, which may be of another split or of none."""
    splits = _splits(headers)
    if split is None or wanted not in splits or splits[wanted] == split:
        return wanted
    return next((name for name in headers if splits.get(name) == split and _rest(name) == _rest(wanted)), None)
