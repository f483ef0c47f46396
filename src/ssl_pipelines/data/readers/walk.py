"""Every file below a folder, with the reason where one isn't read: nothing is passed over in silence."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssl_pipelines.data.image_files import is_image_name, not_an_image

# Kept by operating systems, network storage and archivers for themselves: thumbnails, deleted files, resource forks. In lower case;
# those that begin with a point are hidden anyway.
SYSTEM_FOLDERS = frozenset(
    [
        "@eadir",
        "@tmp",
        "@recycle",
        "#recycle",
        "@recently-snapshot",
        "#snapshot",
        "@sharebin",
        "@appstore",
        "@database",
        "@__thumb",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "found.000",
        "__macosx",
        "network trash folder",
        "temporary items",
        "thevolumesettingsfolder",
    ]
)
SYSTEM = "hidden folder of the system, not entered"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file below the root (or a folder that isn't entered)."""

    path: str  # relative to the root, with /
    bytes: int = 0
    mtime_ns: int = 0
    problem: str | None = None  # why it is not read

    @property
    def hidden(self) -> bool:
        return self.path.rpartition("/")[2].startswith(".") or self.system

    @property
    def system(self) -> bool:
        """Whether it is a folder of SYSTEM_FOLDERS."""
        return self.problem == SYSTEM


def walk(root: Path) -> list[Entry]:
    """Sorted by path. Links are followed, each folder once, real folders first: what a link repeats, or a loop, is one row."""
    return sorted(_entries(root), key=lambda entry: entry.path)


def is_system_folder(name: str) -> bool:
    return name.casefold() in SYSTEM_FOLDERS


def system_folders(entries: Iterable[Entry]) -> list[str]:
    """One line, or none, that names the folders of the system that were left out."""
    counts = Counter(entry.path.rpartition("/")[2] for entry in entries if entry.system)
    found = ", ".join(f"{name} ({n:,})" for name, n in sorted(counts.items()))
    return [f"left out, as folders of thumbnails and deleted files that systems keep: {found}"] if found else []


def _entries(root: Path) -> Iterator[Entry]:
    around = {_identity(folder) for folder in root.resolve().parents}
    seen: set[tuple[int, int]] = set()
    real, linked = deque([""]), deque[str]()
    while real or linked:
        folder = real.popleft() if real else linked.popleft()
        try:
            identity = _identity(root / folder)
            if identity in around:
                yield Entry(folder, problem="link to a folder around dataset.root")
                continue
            if identity in seen:
                yield Entry(folder, problem="link to a folder that is read already")
                continue
            seen.add(identity)
            with os.scandir(root / folder) as found:
                children = list(found)
        except OSError as error:
            yield Entry(folder, problem=f"folder cannot be read: {error.strerror}")
            continue
        for child in children:
            path = f"{folder}/{child.name}" if folder else child.name
            if not _is_folder(child):
                yield _file(child, path)
            elif child.name.startswith("."):
                yield Entry(path, problem="hidden folder, not entered")
            elif is_system_folder(child.name):
                yield Entry(path, problem=SYSTEM)
            else:
                (linked if child.is_symlink() else real).append(path)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link to itself
        return False


def _file(child: os.DirEntry[str], path: str) -> Entry:
    try:
        found = child.stat()
    except OSError as error:
        return Entry(path, problem=f"broken link: {error.strerror}" if child.is_symlink() else f"cannot be read: {error.strerror}")
    return Entry(path, found.st_size, found.st_mtime_ns, _problem(child.name, found.st_mode))


def _problem(name: str, mode: int) -> str | None:
    if name.startswith("."):
        return "hidden file"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return None if is_image_name(name) else not_an_image(name)
