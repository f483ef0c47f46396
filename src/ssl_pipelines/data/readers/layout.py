"""What the folders of an image folder mean: splits, classes, or nothing.

- A lone folder that holds everything is looked into.
- Folders named train, val, valid, validation, test or unlabeled (any case) are splits if there is a train folder, or no other
  folder. Images outside them are unlabeled.
- Within a split (or the whole, without splits) the folders at the top are classes if there are at least two, each directly holds an
  image, and fewer images lie beside them than in them. Deeper folders belong to the class that they are in. A split that does not
  fulfill this alone (a test folder with one class) takes the class names of the others.
- Anything else (a flat folder, 2019/05/1.jpg) carries no labels, and everything in it is unlabeled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl_pipelines.data.splits import SPLIT_NAMES

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a path below the root."""

    depth: int  # folders that say nothing
    splits: bool
    classes: list[str]

    def place(self, parts: Parts) -> tuple[str | None, str | None]:
        """(split, class) of an image by its path's parts."""
        split, inner = _split(parts[self.depth :], self.splits)
        folder = inner[0] if len(inner) > 1 else None
        return split, folder if folder in self.classes and split != "unlabeled" else None


def infer_layout(images: Sequence[Parts]) -> Layout:
    """From the paths of all image files."""
    depth = _lone_folders(images)
    tops = {parts[depth] for parts in images if len(parts) > depth + 1}
    known = {top for top in tops if top.casefold() in SPLIT_NAMES}
    splits = bool(known) and (known == tops or any(SPLIT_NAMES[top.casefold()] == "train" for top in known))
    inside: dict[str | None, list[Parts]] = {}
    for parts in images:
        split, inner = _split(parts[depth:], splits)
        inside.setdefault(split, []).append(inner)
    inside.pop("unlabeled", None)
    return Layout(depth, splits, class_order({name for inner in inside.values() for name in _classes(inner)}))


def class_order(names: set[str]) -> list[str]:
    """By number where all are numbers, else by name."""
    return sorted(names, key=int) if all(name.isascii() and name.isdigit() for name in names) else sorted(names)


def _lone_folders(images: Sequence[Parts]) -> int:
    depth = 0
    while images and len({parts[depth] for parts in images}) == 1 and all(len(parts) > depth + 1 for parts in images):
        if images[0][depth].casefold() in SPLIT_NAMES:
            break
        depth += 1
    return depth


def _split(parts: Parts, splits: bool) -> tuple[str | None, Parts]:
    if not splits:
        return None, parts
    name = SPLIT_NAMES.get(parts[0].casefold()) if len(parts) > 1 else None
    return (name, parts[1:]) if name else ("unlabeled", parts)


def _classes(images: list[Parts]) -> set[str]:
    folders = {parts[0] for parts in images if len(parts) > 1}
    direct = {parts[0] for parts in images if len(parts) == 2}
    beside = sum(len(parts) == 1 for parts in images)
    return folders if len(folders) > 1 and folders == direct and beside < len(images) - beside else set()
