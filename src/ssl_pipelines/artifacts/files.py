"""Files and folders that appear whole or not at all: written beside, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts.errors import InputError

PARTIAL = ".partial"
FORMER = ".former"
FULL = (errno.ENOSPC, errno.EDQUOT)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_space(target: Path, error: OSError) -> InputError:
    return InputError(f"{target}: no space left on the device ({error.strerror}); free some, nothing was replaced")


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Gives a path to write to; on success that file takes the place of `path`, on any error nothing changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in FULL:
            raise _no_space(path, error) from error
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives an empty folder to write into; on success it takes the place of `path`, on any error nothing changes."""
    path = _real(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(path)
    partial, former = path.with_name(path.name + PARTIAL), path.with_name(path.name + FORMER)
    partial.mkdir()
    try:
        yield partial
        for item in (*partial.rglob("*"), partial):
            if not item.is_symlink():
                _sync(item)
        if path.exists():
            path.rename(former)
        partial.rename(path)
        _sync(path.parent)
    except OSError as error:
        recover_folder(path)
        if error.errno in FULL:
            raise _no_space(path, error) from error
        raise
    except BaseException:
        recover_folder(path)
        raise
    shutil.rmtree(former, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Undoes what a kill left of `new_folder`: scraps go, and a former folder whose successor never arrived comes back.

    To be called by the only writer: another one's folder in the making would be scraps as well."""
    path = _real(path)
    partial, former = path.with_name(path.name + PARTIAL), path.with_name(path.name + FORMER)
    if partial.exists():
        shutil.rmtree(partial)
    if former.exists():
        if path.exists():
            shutil.rmtree(former)
        else:
            former.rename(path)


def _real(path: Path) -> Path:
    """Where a link leads, so that the folder on the other disk is replaced and the link stays."""
    return path.resolve() if path.is_symlink() else path


def replace_files(folder: Path, fresh: Path, former: Iterable[Path]) -> None:
    """`former` go, in their order; all that lies in `fresh` moves into `folder`. Those that vouch for the others go first."""
    for path in former:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in sorted(fresh.iterdir()):
        path.rename(folder / path.name)
    _sync(folder)


def write_json(path: Path, value: Any) -> None:
    """JSON, indented, keys in the order given, whole or not at all."""
    with new_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error})") from error
