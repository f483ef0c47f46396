"""The report: metrics.json, data for `dvc plots`, figures, and one HTML page that holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import write_json
from ssl_pipelines.data.store import Store
from ssl_pipelines.reporting import figures, results, sections, tables
from ssl_pipelines.reporting.config import ReportConfig
from ssl_pipelines.reporting.diagnosis import diagnosis
from ssl_pipelines.reporting.inputs import Features, Model, Scores
from ssl_pipelines.reporting.metrics import merge
from ssl_pipelines.reporting.page import write_page
from ssl_pipelines.reporting.plots import write_plots
from ssl_pipelines.reporting.theme import Figure


def report(
    store: Path,
    model: Path,
    features: Path | None,
    scores: Path,
    provenance: Mapping[str, Any],
    config: ReportConfig,
    seed: int,
    out: Path,
) -> dict[str, Any]:
    """Writes metrics.json, report.html, plots/*.csv and figures/*.png into the existing empty folder `out`; returns the metrics.

    provenance: git_commit, mlflow_run_id, command (text); parameters, fingerprints, seconds (by room), hardware, versions,
    upstream (mappings); what is missing of it is left out. Where features or a room's scores are missing, the page says so."""
    data, trained, scored = Store.open(store), Model(model), Scores(scores, features)
    metrics = merge(data, trained, scored, provenance.get("git_commit"))
    if provenance.get("upstream"):
        metrics["upstream"] = dict(provenance["upstream"])
    write_json(out / "metrics.json", metrics)
    shown = _shown(data, trained, None if features is None else Features(features, scored.eval_layer), scored, config, seed)
    write_plots(out / "plots", trained, shown["predictions"], data.classes)
    (out / "figures").mkdir()
    for picture in _pictures(shown):
        picture.save(out / "figures")
    write_page(out / "report.html", "report.html.j2", **shown, **_identity(data, trained, provenance, metrics, seed))
    return metrics


def _shown(
    store: Store, model: Model, features: Features | None, scores: Scores, config: ReportConfig, seed: int
) -> dict[str, Any]:
    """The page's content but for its provenance; `why` holds the lines for what is left out."""
    by_class = sections.class_results(scores, store.classes)
    grid = sections.retrieval_grid(store, features, config, seed)
    maps = sections.embedding_maps(store, features, config, seed)
    curves, absent_curves = sections.training_curves(model)
    labeled = bool(store.manifest.label.notna().any())
    why = {
        "results": "No scores: evaluation needs labeled train and test images."
        if not labeled
        else "No scores: no evaluation has run.",
        "diagnosis": "No diagnosis: the room diagnose has left no numbers.",
        "classes": by_class if isinstance(by_class, str) else "",
        "retrieval": grid if isinstance(grid, str) else "",
        "map": maps if isinstance(maps, str) else "",
        "curves": absent_curves,
        "pictures": "No pictures: the training left none.",
        "labels": "The images have no labels.",
    }
    found: dict[str, Any] = {
        "per_class": None,
        "predictions_of": "",
        "confusion": None,
        "predictions": None,
        "maps": [],
        "map_says": "",
    }
    found |= by_class if isinstance(by_class, dict) else {}
    found |= maps if isinstance(maps, dict) else {}
    charts = {
        "results": figures.result_bars(scores),
        "confusion": found.pop("confusion"),
        "classes": figures.split_bars(store.manifest, store.classes),
    }
    return found | {
        "why": why,
        "figures": charts,
        "curves": curves,
        "diagnosis": diagnosis(scores),
        "retrieval": None if isinstance(grid, str) else grid,
        "pictures": sections.model_pictures(model),
        "headline": results.headline(scores),
        "results": results.results(scores),
        "other_scores": results.other_scores(scores),
        **sections.data_summary(store.name, store.size, store.channels, store.manifest, store.classes),
    }


def _pictures(shown: Mapping[str, Any]) -> list[Figure]:
    grid = [shown["retrieval"].figure] if shown["retrieval"] else []
    looks = shown["diagnosis"].figures if shown["diagnosis"] else []
    every = [*shown["figures"].values(), *looks, *shown["curves"], *shown["pictures"], *grid, *shown["maps"]]
    return [picture for picture in every if picture is not None]


def _identity(store: Store, model: Model, provenance: Mapping[str, Any], metrics: Mapping[str, Any], seed: int) -> dict[str, Any]:
    usable = int((store.manifest.status == "ok").sum())
    facts = [
        *tables.model_facts(model),
        ("Images", f"{usable:,}"),
        ("Classes", f"{len(store.classes):,}" if store.classes else "–"),
        *((f"With {name} mask", tables.percent(known["usable_share"])) for name, known in store.fields.items()),
        *tables.upstream_facts(provenance.get("upstream") or {}),
    ]
    lines = {
        "Commit": metrics["git_commit"],
        "MLflow run": metrics["mlflow_run_id"],
        "Data, sha256": store.sha256,
        "Seed": seed,
    }
    blocks = {
        "Upstream": "upstream",
        "Parameters": "parameters",
        "Fingerprints": "fingerprints",
        "Hardware": "hardware",
        "Versions": "versions",
    }
    details = [(title, tables.pairs(provenance.get(key) or {}, ("Name", "Value"))) for title, key in blocks.items()]
    return {
        "method": model.method,
        "dataset": store.name,
        "facts": facts,
        "identity": tables.pairs(lines, ("What", "Which")),
        "seconds": tables.seconds_per_room(provenance.get("seconds") or {}),
        "command": provenance.get("command"),
        "details": [(title, table) for title, table in details if table is not None],
    }
