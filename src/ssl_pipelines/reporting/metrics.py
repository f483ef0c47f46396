"""metrics.json: every score under its dotted name, and what it was measured on."""

from __future__ import annotations

from typing import Any, Protocol

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.reporting.inputs import Model, Scores


class Named(Protocol):
    """What is needed of the store."""

    name: str
    sha256: str


def merge(store: Named, model: Model, scores: Scores, git_commit: str | None) -> dict[str, Any]:
    """Nested keys; `<metric>_low` and `<metric>_high` beside a metric with an interval; rooms that did not run are absent keys.

    mlflow_run_id is the run of the pretraining, whoever made the report."""
    nested: dict[str, Any] = {"method": model.method, "backbone": model.backbone}
    nested["dataset"] = {"name": store.name, "sha256": store.sha256}
    for metric, row in scores.by_metric.items():
        _put(nested, metric, row["value"])
        for end in ("low", "high"):
            if row.get(end) is not None:
                _put(nested, f"{metric}_{end}", row[end])
    _put(nested, "pretrain.images_seen", model.config.get("images_seen"))
    _put(nested, "pretrain.views_seen", model.config.get("views_seen"))
    _put(nested, "pretrain.images_per_second", model.provenance.get("images_per_second"))
    return nested | {
        "mlflow_run_id": model.provenance.get("mlflow_run_id"),
        "git_commit": git_commit or model.provenance.get("git_commit"),
    }


def _put(nested: dict[str, Any], name: str, value: Any) -> None:
    *path, leaf = name.split(".")
    for part in path:
        nested = nested.setdefault(part, {})
        if not isinstance(nested, dict):
            raise InputError(f"metric {name!r}: {part!r} is a value already, it cannot hold others")
    if isinstance(nested.get(leaf), dict):
        raise InputError(f"metric {name!r} is a group of metrics already, it cannot be a value")
    nested[leaf] = value
