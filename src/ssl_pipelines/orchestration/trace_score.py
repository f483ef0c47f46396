"""Where a metric's score lies, and which room made it."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.orchestration.rooms import ROOMS, Room
from ssl_pipelines.reporting.inputs import PIXELS, Scores


def folder_of(metric: str) -> str:
    """Where its score lies: "transfer.knn.mean_rank" in the folder of transfer_eval, those of the whole road in one."""
    block = metric.partition(".")[0]
    return next(
        (room.folder for room in ROOMS.values() if room.on_request and room.name.startswith(block)), ROOMS["linear_eval"].folder
    )


def row_of(metric: str, scores: Scores) -> dict[str, Any]:
    if not scores.by_metric:
        raise InputError(f"METRIC={metric!r}: no room has left a score here yet; kedro run makes them")
    if metric not in scores.by_metric:
        of_room = [name for name in scores.by_metric if name.partition(".")[0] == metric.partition(".")[0]]
        raise unknown("METRIC", metric, of_room or [name for name, row in scores.by_metric.items() if row.get("baseline") is None])
    return scores.by_metric[metric]


def room_of(metric: str, scores: Scores) -> Room:
    name = next(room for room, rows in scores.rooms.items() if any(row["metric"] == metric for row in rows))
    room = ROOMS.get("extract_features" if name == PIXELS else name)
    if room is None:
        raise InputError(f"METRIC={metric!r} stands in {name}.json, which no room of this project makes")
    return room
