"""Where a metric's score lies, and which stage made it."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.orchestration.stages import Stage, project_stages
from ssl_pipelines.reporting.inputs import PIXELS, Scores


def folder_of(metric: str) -> str:
    """Where its score lies: "transfer.knn.mean_rank" in the folder of transfer_eval, those of the whole road in one."""
    block, stages = metric.partition(".")[0], project_stages()
    asked = (one.folder for one in stages.making if one.on_request and one.name.startswith(block))
    return next(asked, stages["linear_eval"].folder)


def row_of(metric: str, scores: Scores) -> dict[str, Any]:
    if not scores.by_metric:
        raise InputError(f"METRIC={metric!r}: no stage has left a score here yet; kedro run makes them")
    if metric not in scores.by_metric:
        of_stage = [name for name in scores.by_metric if name.partition(".")[0] == metric.partition(".")[0]]
        raise unknown("METRIC", metric, of_stage or [name for name, row in scores.by_metric.items() if row.get("baseline") is None])
    return scores.by_metric[metric]


def stage_of(metric: str, scores: Scores) -> Stage:
    name = next(stage for stage, rows in scores.rooms.items() if any(row["metric"] == metric for row in rows))
    stage = project_stages().get("extract_features" if name == PIXELS else name)
    if stage is None:
        raise InputError(f"METRIC={metric!r} stands in {name}.json, which no stage of this project makes")
    return stage
