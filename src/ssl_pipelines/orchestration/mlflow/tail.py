"""Follows events.jsonl into MLflow while a training writes it, strictly after what MLflow already has."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ssl_pipelines.orchestration.mlflow.tracking import Tracker

EVERY = 2.0  # seconds


class Tail:
    """A thread that reads whole lines. A number goes out once a (name, step), also after a kill; pictures as they come."""

    def __init__(self, path: Path, tracker: Tracker):
        self.path, self.tracker = path, tracker
        self._sent = tracker.last_steps(tracker.known_metrics())
        self._offset = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is None:
            self.pump()
        elif error is None:
            raise self._error

    def _follow(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self.pump()
            except BaseException as error:  # told at the end: the training does not fall with its listener
                self._error = error
                return

    def pump(self) -> None:
        """Sends what is new."""
        numbers, pictures = [], {}
        for event in self._new_events():
            name, step = event["name"], int(event["step"])
            if "picture" in event:
                pictures[name] = event["picture"]
            elif step > self._sent.get(name, 0):
                numbers.append((name, event["value"], step))
                self._sent[name] = step
        if numbers:
            self.tracker.metrics(numbers)
        for picture in pictures.values():
            if (self.path.parent / picture).is_file():
                self.tracker.file(self.path.parent / picture, "pictures")

    def _new_events(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        if self.path.stat().st_size < self._offset:  # a resumed training dropped what lay beyond its checkpoint
            self._offset = 0
        with self.path.open("rb") as file:
            file.seek(self._offset)
            block = file.read()
        whole = block[: block.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
