"""Writes and reads events.jsonl, the numbers and pictures of a training: the only channel to experiment trackers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from ssl_pipelines.artifacts import new_file

CLOCK_NAMES = ("train/images_per_second",)  # differ between equal runs, so they stay out of history.parquet


class Events:
    """Appends {"step", "name", "value"} (numbers) and {"step", "name", "picture"} (a path beside the file), a line each."""

    def __init__(self, path: Path, from_step: int):
        """Continues after `from_step` steps: lines that a killed run wrote after its checkpoint are dropped, since they will be
        written again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_events(path) if line["step"] <= from_step] if path.exists() and from_step else []
        with new_file(path) as partial:
            partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._file: TextIO = path.open("a", encoding="utf-8")

    def number(self, step: int, name: str, value: float) -> None:
        if math.isfinite(value):
            self._write({"step": step, "name": name, "value": value})

    def picture(self, step: int, name: str, path: str) -> None:
        self._write({"step": step, "name": name, "picture": path})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_events(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The whole lines of the file; a line that a kill cut short is left out."""
    with path.open(encoding="utf-8") as file:
        file.seek(offset)
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def history(path: Path) -> pd.DataFrame:
    """Step, name and value of every number that does not depend on the clock, so that equal runs have equal histories."""
    rows = [(e["step"], e["name"], e["value"]) for e in read_events(path) if "value" in e and e["name"] not in CLOCK_NAMES]
    frame = pd.DataFrame(rows, columns=["step", "name", "value"])
    return frame.astype({"step": "int64", "value": "float64"})
