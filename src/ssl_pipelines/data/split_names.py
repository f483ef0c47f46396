"""Which split a name stands for: the names of folders, files, arrays and columns, and the values of a column.

One word of a name may say it (`seg_train`, `test_set`, `TrainingData`, `val2017`), but only where the names beside it agree: a train name
and a held-out name that differ in that word alone. A folder `test_tube` among other classes is no split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from ssl_pipelines.artifacts import InputError

SPLIT_NAMES = {  # how folders, files and columns call them
    **dict.fromkeys(["train", "training", "trainval"], "train"),
    **dict.fromkeys(["validation", "val", "valid", "dev"], "validation"),
    **dict.fromkeys(["test", "testing", "eval", "evaluation", "holdout"], "test"),
    **dict.fromkeys(["unlabeled", "unlabelled", "unsupervised"], "unlabeled"),
}
EVALUATION = {"eval", "evaluation", "holdout"}  # the test split, or the validation split of a source that has a test split as well
NEEDS_OTHERS = EVALUATION | {"trainval"}  # alone they may be the name of anything
SAYS_NOTHING = frozenset(
    [
        "set",
        "sets",
        "data",
        "dataset",
        "image",
        "images",
        "img",
        "imgs",
        "split",
        "splits",
        "file",
        "files",
        "folder",
        "final",
        "full",
        "part",
        "shard",
        "of",
        "the",
        "samples",
        "photos",
        "pictures",
    ]
)
SPLIT_COLUMNS = ("split", "splits", "datasplit", "subset", "partition", "usage", "phase", "set")
FOLD_COLUMNS = ("fold", "folds", "kfold")  # of cross-validation: they look like splits, and which fold is held out is not in them
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
_JOINED = re.compile(rf"({'|'.join(SPLIT_NAMES)})({'|'.join(SAYS_NOTHING)})")
_CHECKSUM = re.compile(r"(?=.*\d)[0-9a-f]{8,}")


def plain(name: str) -> str:
    """Letters and digits alone, in lower case: `File Name`, `file_name` and `filename` are one name."""
    return re.sub(r"[\W_]+", "", name.casefold())


def words(name: str) -> list[str]:
    """seg_train -> [seg, train]; TestSet -> [test, set]; trainset -> [train, set]; val2017 -> [val]. Checksums are left out."""
    found: list[str] = []
    for chunk in re.split(r"[\W_]+", name):
        if not _CHECKSUM.fullmatch(chunk.casefold()):
            for word in _WORD.findall(chunk):
                joined = _JOINED.fullmatch(word.casefold())
                found += joined.groups() if joined else [word.casefold()]
    return found


def split_word(name: str) -> str | None:
    """The one word of `name` that says a split; None where there is none, or words of two splits."""
    found = [word for word in words(name) if word in SPLIT_NAMES]
    return found[0] if len({SPLIT_NAMES[word] for word in found}) == 1 else None


def looks_like_split(name: str) -> bool:
    return any(word in SPLIT_NAMES for word in words(name))


def is_split_name(name: str) -> bool:
    """Whether `name` is a split's own word, whatever stands beside it."""
    return name.casefold() in SPLIT_NAMES and name.casefold() not in NEEDS_OTHERS


def rest_of(name: str) -> tuple[str, ...]:
    """What a name says beside its split."""
    return tuple(word for word in words(name) if word not in SPLIT_NAMES and word not in SAYS_NOTHING)


def splits_of(names: Iterable[str]) -> dict[str, str]:
    """name -> split of those among `names` that are a split's own word, or that agree with a train name and a held-out one."""
    known = sorted(set(names))
    found = {name: name.casefold() for name in known if is_split_name(name)}
    groups: dict[tuple[str, ...], dict[str, str]] = {(): dict(found)}
    for name in known:
        word = split_word(name)
        if name not in found and word is not None:  # also one of NEEDS_OTHERS
            groups.setdefault(rest_of(name), {})[name] = word
    for group in groups.values():
        splits = {SPLIT_NAMES[word] for word in group.values()}
        if "train" in splits and splits & {"validation", "test"}:
            found |= group
    return _resolved(found)


def _resolved(found: dict[str, str]) -> dict[str, str]:
    """name -> split, from name -> word."""
    tested = any(SPLIT_NAMES[word] == "test" and word not in EVALUATION for word in found.values())
    return {name: "validation" if tested and word in EVALUATION else SPLIT_NAMES[word] for name, word in found.items()}


def column_splits(where: str, column: str, values: Iterable[str] | Mapping[str, int]) -> dict[str, str] | str:
    """value -> split of a column that may say the splits, or one line why it is not used. Blank values have no split.
    values: of every row, or how many rows have each.

    Raises InputError where a column named split has values that are splits and others that are not. `where` begins the messages."""
    counts = Counter(values)
    different = sorted(value for value in counts if value.strip())
    found = {value: word for value in different if (word := split_word(value)) is not None}
    strange = [value for value in different if value not in found]
    if strange and found and plain(column) == "split":
        allowed = ", ".join(sorted(SPLIT_NAMES))
        raise InputError(f"{where}: {column}={strange[0]!r} is unknown. Allowed: {allowed}")
    splits = _resolved(found)
    if strange:
        return f"{where}: {column} is not used for splits: {some(map(repr, strange))} is no name of a split"
    if len(set(splits.values())) < 2:
        said, rows = sum(counts[value] for value in different), counts.total()
        place = f"in {said:,} of {rows:,} rows and is blank in the others" if 0 < said < rows else "in every row"
        return f"{where}: {column} is not used for splits: it says {some(map(repr, different)) or 'nothing'} {place}"
    return splits


def some(names: Iterable[str], limit: int = 5) -> str:
    """a, b, c and 4 more"""
    shown = list(names)
    more = f" and {len(shown) - limit:,} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
