"""What the folders of an image folder mean: splits, classes, or nothing. What looks like one and is not read as one is said.

- A lone folder that holds everything is looked into, below the root and below a folder of a split.
- Folders that are named as splits (`split_names`: train, test_set, seg_val, eval) are splits if there is one for training, or no other
  folder. A single `train` among two or more other folders of images is a class. Images outside the splits are unlabeled.
- Within a split (or the whole, without splits) two or more folders at the top that directly hold images are classes, if they hold at
  least half of the images. A folder whose images all lie deeper is a class as well where it holds about as many as these: half of the
  smallest, a tenth of the median. More images have to lie in the classes than beside them. Deeper folders belong to the class that they
  are in. A split that does not fulfill this alone (a test folder with one class) takes the class names of the others.
- Folders that are named after a kind of file alone (images beside masks) are no classes.
- Class folders that hold nothing but split folders (cat/train/1.jpg) are classes with these splits.
- Anything else (a flat folder, 2019/05/1.jpg) carries no labels, and everything in it is unlabeled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from statistics import median

from ssl_pipelines.data.split_names import (
    SAYS_NOTHING,
    SPLIT_NAMES,
    is_split_name,
    looks_like_split,
    some,
    split_word,
    splits_of,
    words,
)

Parts = tuple[str, ...]
FILES_TRIED = 2000  # whose names are asked for splits
NO_CLASS = frozenset(
    [
        "images",
        "image",
        "imgs",
        "img",
        "masks",
        "mask",
        "labels",
        "label",
        "annotations",
        "annotation",
        "depth",
        "gt",
        "groundtruth",
    ]
)


@dataclass(frozen=True)
class Layout:
    """How to read a path below the root."""

    depth: int  # folders that say nothing
    splits: Mapping[str, str]  # folder at the top -> split; empty: no splits there
    classes: list[str]
    skipped: Mapping[str, int] = field(default_factory=dict)  # folder of a split -> folders below it that say nothing
    below: Mapping[str, str] = field(default_factory=dict)  # folder within a class -> split

    @property
    def has_splits(self) -> bool:
        return bool(self.splits or self.below)

    @cached_property
    def _classes(self) -> frozenset[str]:
        return frozenset(self.classes)

    def place(self, parts: Parts) -> tuple[str | None, str | None]:
        """(split, class) of an image by its path's parts."""
        split, inner = self._split(parts)
        label = inner[0] if len(inner) > 1 and inner[0] in self._classes and split != "unlabeled" else None
        return (self.below.get(inner[1]) if self.below and len(inner) > 2 else split), label

    def _split(self, parts: Parts) -> tuple[str | None, Parts]:
        inner = parts[self.depth :]
        if not self.splits:
            return None, inner
        if len(inner) < 2 or inner[0] not in self.splits:
            return "unlabeled", inner
        return self.splits[inner[0]], inner[1 + self.skipped.get(inner[0], 0) :]

    def split_notices(self, images: Sequence[Parts]) -> list[str]:
        """One line each: images outside the splits, and folders that look like splits and are not read as such."""
        tops = Counter(parts[self.depth] if len(parts) > self.depth + 1 else "" for parts in images)
        if self.splits:
            outside = [
                f"{top} ({n:,})" if top else f"{n:,} files in no folder" for top, n in tops.items() if top not in self.splits
            ]
            splits = some(sorted(self.splits))
            return [f"outside the splits ({splits}), read as unlabeled images: {some(sorted(outside))}"] if outside else []
        odd = {top for top in tops if looks_like_split(top)}
        if not self.below:
            inner = (parts[self.depth + 1 : -1] for parts in images if len(parts) > self.depth + 2)
            odd |= {f".../{name}" for folders in inner for name in folders if is_split_name(name)}
            odd |= _split_files(images)
        return [f"names that look like splits and are not read as splits: {some(sorted(odd))}"] if odd else []

    def class_notices(self, images: Sequence[Parts]) -> list[str]:
        """One line each: folders that are read as no class, and classes that hold no image directly."""
        unread: Counter[str] = Counter()
        direct: set[str] = set()
        for parts in images:
            split, inner = self._split(parts)
            if len(inner) > 1 and split != "unlabeled":
                if inner[0] not in self._classes:
                    unread["/".join(parts[: len(parts) - len(inner) + 1])] += 1
                elif len(inner) == 2:
                    direct.add(inner[0])
        lines = []
        if unread:
            found = some(f"{folder} ({n:,})" for folder, n in sorted(unread.items()))
            why = "" if self.classes else "; classes are two or more folders that directly hold most of the images"
            if not self.classes and all(_names_no_class(folder.split("/")[-1]) for folder in unread):
                why = "; such names are no classes, dataset.labels gives labels"
            lines.append(f"folders that are read as no class, their images are unlabeled: {found}{why}")
        between = {
            "/".join(parts[: self.depth + 1 + self.skipped.get(parts[self.depth], 0)])
            for parts in images
            if self.skipped.get(parts[self.depth])
        }
        telling = [path for path in sorted(between) if _tells(path.split("/")[self.depth :])]
        if self.classes and telling:
            lines.append(f"classes are the folders below {some(telling)}")
        deep = [name for name in self.classes if name not in direct]
        if deep and not self.below:
            lines.append(f"classes whose images all lie in deeper folders: {some(deep)}")
        return lines


def infer_layout(images: Sequence[Parts]) -> Layout:
    """From the paths of all image files."""
    depth = _lone_folders(images)
    splits = _split_folders([parts[depth:] for parts in images])
    if not splits:
        inner = [parts[depth:] for parts in images]
        if below := _splits_below(inner):
            return Layout(depth, {}, class_order({parts[0] for parts in inner}), below=below)
        return Layout(depth, {}, class_order(_classes(inner)))
    within: dict[str, list[Parts]] = defaultdict(list)  # folder of a split -> its images
    for parts in images:
        if len(parts) > depth + 1 and splits.get(parts[depth], "unlabeled") != "unlabeled":
            within[parts[depth]].append(parts[depth + 1 :])
    known = _all_classes(within, splits, dict.fromkeys(within, 0))
    if not known:  # a folder between the split and its classes; train first, of a test set all images may be of one class
        alone = {top: _lone_below(images, frozenset()) for top, images in within.items()}
        trained = {top: images for top, images in within.items() if splits[top] == "train"}
        known = _all_classes(trained, splits, alone) or _all_classes(within, splits, alone)
    skipped = {top: _lone_below(images, known) for top, images in within.items()}
    more = _all_classes(within, splits, skipped)
    return Layout(depth, splits, class_order(known | more if known & more else known), skipped)


def class_order(names: set[str]) -> list[str]:
    """By number where all are numbers, else by name."""
    return sorted(names, key=int) if all(name.isascii() and name.isdigit() for name in names) else sorted(names)


def _split_files(images: Sequence[Parts]) -> set[str]:
    """An example of each split, where the names of files (train_1.png, test_1.png) seem to say more than one."""
    step = max(1, len(images) // FILES_TRIED)
    found = {SPLIT_NAMES[word]: parts[-1] for parts in images[::step] if (word := split_word(PurePath(parts[-1]).stem)) is not None}
    return set(found.values()) if "train" in found and len(found) > 1 else set()


def _names_no_class(name: str) -> bool:
    """Whether a folder's name says what kind of files it holds (images, gt_masks)."""
    return set() < set(words(name)) <= NO_CLASS


def _tells(folders: Sequence[str]) -> bool:
    """Whether folders below a split, which comes first, may have been meant as a class: images and train/train may not."""
    split, *below = folders
    return any(name != split and set(words(name)) - SAYS_NOTHING - SPLIT_NAMES.keys() for name in below)


def _lone_folders(images: Sequence[Parts]) -> int:
    depth = 0
    while images and len({parts[depth] for parts in images}) == 1 and all(len(parts) > depth + 1 for parts in images):
        if is_split_name(images[0][depth]):
            break
        depth += 1
    return depth


def _lone_below(images: Sequence[Parts], classes: Iterable[str]) -> int:
    """How many folders follow that hold everything and are none of the classes."""
    depth = 0
    while len({parts[depth] for parts in images}) == 1 and all(len(parts) > depth + 1 for parts in images):
        if images[0][depth] in classes:
            break
        depth += 1
    return depth


def _split_folders(images: Sequence[Parts]) -> dict[str, str]:
    tops = {parts[0] for parts in images if len(parts) > 1}
    found = splits_of(tops)
    others = tops - found.keys()
    if not others or "train" not in found.values():
        return {} if others else found
    a_class = set(found.values()) == {"train"} and len(others) > 1 and all(len(parts) == 2 for parts in images if len(parts) > 1)
    return {} if a_class else found


def _splits_below(images: Sequence[Parts]) -> dict[str, str]:
    """folder -> split where every image lies in class/split/..., and every class has one for training; else empty."""
    if not images or any(len(parts) < 3 for parts in images):
        return {}
    folders: dict[str, set[str]] = defaultdict(set)
    for top, name, *_ in images:
        folders[top].add(name)
    names = set[str]().union(*folders.values())
    found = splits_of(names)
    held_out = {"validation", "test"} & set(found.values())
    trains = all(any(found.get(name) == "train" for name in inner) for inner in folders.values())
    if len(folders) < 2 or names - found.keys() or not held_out or not trains or any(map(_names_no_class, folders)):
        return {}
    return found


def _all_classes(within: Mapping[str, list[Parts]], splits: Mapping[str, str], skipped: Mapping[str, int]) -> set[str]:
    """The classes of every split, by the images of all its folders."""
    inside: dict[str, list[Parts]] = defaultdict(list)
    for top, images in within.items():
        inside[splits[top]] += [parts[skipped[top] :] for parts in images]
    return {name for images in inside.values() for name in _classes(images)}


def _classes(images: Sequence[Parts]) -> set[str]:
    counts = Counter(parts[0] for parts in images if len(parts) > 1)
    direct = {parts[0] for parts in images if len(parts) == 2}
    held = [counts[name] for name in direct]
    if len(direct) < 2 or 2 * sum(held) < len(images) or all(map(_names_no_class, direct)):
        return set()
    least = max(min(held) / 2, median(held) / 10)
    found = direct | {name for name, n in counts.items() if n >= least}
    inside = sum(counts[name] for name in found)
    return found if inside > len(images) - inside else set()
