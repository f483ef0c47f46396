"""The validation page: every expectation's verdict, and what the images look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.artifacts import read_json
from ssl_pipelines.reporting import figures
from ssl_pipelines.reporting.page import write_page
from ssl_pipelines.reporting.pictures import sheet, thumbnail
from ssl_pipelines.reporting.sections import data_summary
from ssl_pipelines.reporting.theme import Figure

COLUMNS = 12  # images in a row of a sample
MAX_ROWS = 10
WORDS = {"critical": ("failed", "bad"), "warning": ("warning", "warn")}


def write_validation_page(path: Path, store_folder: Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """One self-contained page.   outcomes: {expectation, subject, severity, success, message, ...} each."""
    about, manifest = read_json(store_folder / "store.json"), pd.read_parquet(store_folder / "manifest.parquet")
    sound = all(one["success"] for one in outcomes if one["expectation"] == "columns")
    bad = {severity: sum(not one["success"] and one["severity"] == severity for one in outcomes) for severity in WORDS}
    verdict, kind = _verdict(bad["critical"], bad["warning"])
    write_page(
        path,
        "validation.html.j2",
        dataset=about["name"],
        verdict=verdict,
        kind=kind,
        rows=[_row(one) for one in sorted(outcomes, key=_gravest_first)],
        facts=_facts(about, outcomes, bad),
        left_out=_left_out(manifest, sound),
        **_summary(about, manifest, store_folder) if sound else _NOTHING,
    )


_NOTHING: dict[str, Any] = {"splits": None, "unusable": None, "class_counts": None, "figures": {}, "samples": []}


def _summary(about: Mapping[str, Any], manifest: pd.DataFrame, store_folder: Path) -> dict[str, Any]:
    classes = list(about["classes"])
    charts = {"sizes": figures.size_histogram(manifest), "classes": figures.split_bars(manifest, classes)}
    summary = data_summary(about["name"], about["size"], about["channels"], manifest, classes)
    return summary | {"figures": charts, "samples": _samples(manifest, classes, store_folder)}


def _samples(manifest: pd.DataFrame, classes: Sequence[str], store_folder: Path) -> list[Figure]:
    """Evenly spaced images by class (or of all, without labels), and those that repeat or hold one value only."""
    usable = manifest[manifest.status == "ok"].reset_index(drop=True)  # its row is the row of images.npy
    if usable.empty:
        return []
    images = np.load(store_folder / "images.npy", mmap_mode="r")
    groups = [rows.index for _, rows in usable.groupby("label")][:MAX_ROWS] or [usable.index]
    say = "One row per class: " + ", ".join(classes[:MAX_ROWS]) + "." if classes else "Some of the images."
    found = [_sheet("sample", say, [_spread(rows.to_numpy()) for rows in groups], images)]
    copies = usable[usable.sha256.duplicated(keep=False)].sort_values("sha256", kind="stable").index
    constant = usable.index[usable["std"] <= 1e-6]
    for name, rows, title in [
        ("copies", copies, "Images that repeat in every pixel"),
        ("constant", constant, "Images of one single value"),
    ]:
        if len(rows):
            found.append(
                _sheet(
                    name, f"{title}: {len(rows):,}, the first {min(len(rows), COLUMNS)} shown.", [rows.to_numpy()[:COLUMNS]], images
                )
            )
    return found


def _sheet(name: str, say: str, rows: list[NDArray], images: NDArray) -> Figure:
    return Figure(name, say, sheet([[thumbnail(images[row], 64) for row in part] for part in rows]), caption=say, pixels=True)


def _spread(rows: NDArray) -> NDArray:
    places: NDArray = np.unique(np.linspace(0, len(rows) - 1, COLUMNS).astype(int))
    return np.asarray(rows[places])


def _verdict(critical: int, warning: int) -> tuple[str, str]:
    warned = f"{warning} warning{'s' * (warning != 1)}"
    if critical:
        return f"stopped: {critical} critical expectation{'s' * (critical != 1)} failed" + (f", {warned}" if warning else ""), "bad"
    return (f"passed with {warned}", "warn") if warning else ("passed", "good")


def _gravest_first(one: Mapping[str, Any]) -> int:
    return 2 if one["success"] else 0 if one["severity"] == "critical" else 1


def _row(one: Mapping[str, Any]) -> dict[str, str]:
    word, kind = ("passed", "good") if one["success"] else WORDS[one["severity"]]
    text = str(one["message"]).removeprefix(f"{one['expectation']}: ")
    return {
        "verdict": word,
        "kind": kind,
        "name": one["expectation"],
        "subject": f"{one['subject']}, {one['severity']}",
        "text": text[0].upper() + text[1:],
    }


def _facts(about: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]], bad: Mapping[str, int]) -> list[tuple[str, str]]:
    passed = len(outcomes) - sum(bad.values())
    size, channels = about["size"], about["channels"]
    return [
        ("Expectations passed", f"{passed} of {len(outcomes)}"),
        ("Stored as", f"{size} x {size} x {channels}"),
        ("Channel means", ", ".join(f"{value:.3f}" for value in about["mean"][:4])),
        ("Channel deviations", ", ".join(f"{value:.3f}" for value in about["std"][:4])),
        ("Data, sha256", str(about["sha256"])[:16]),
    ]


def _left_out(manifest: pd.DataFrame, sound: bool) -> list[str]:
    if not sound:
        return ["Nothing else was judged: the manifest's columns or values are not what they should be."]
    return [] if manifest.label.notna().any() else ["The expectations on labels are left out: no image has a label."]
