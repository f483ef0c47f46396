"""One writer a room: a second run says who holds it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ssl_pipelines.artifacts.errors import InputError


@contextlib.contextmanager
def only_writer(path: Path, wait: float = 0) -> Iterator[None]:
    """Holds `path` (a lock file that the system frees when the process dies). Raises InputError naming the holder, after `wait` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(path), path.with_suffix(".holder.json")
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise InputError(f"{path.stem} is being made by another run ({_holder(note)}); wait for it or stop it") from None
    try:
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        body = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%H:%M:%S"), "command": command}
        note.write_text(json.dumps(body), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return "it has left no name"
    return f"process {held['pid']} on {held['host']} since {held['since']}: {held['command']}"
