"""What the diagnose room found: each number beside random initialization and raw pixels, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ssl_pipelines.evaluation.protocols import eval_layer_of, said
from ssl_pipelines.reporting.diagnosis_figures import invariances, spectrum
from ssl_pipelines.reporting.inputs import Scores
from ssl_pipelines.reporting.tables import Table
from ssl_pipelines.reporting.theme import Figure

ROOM = "diagnose"
COLUMNS = {"": "Pretrained", "random_init_": "Random initialization", "raw_pixels_": "Raw pixels"}
INVARIANCE = "invariance_"
SOURCES = {"trained": "", "random_init/0": "random_init_"}  # of the spectra, and the prefix of their numbers


@dataclass(frozen=True, slots=True)
class Measure:
    title: str
    reading: str
    digits: int = 3


MEASURES = {
    "alignment": Measure("Alignment", "0: two views of an image are one point; 2: as far apart as strangers on a sphere"),
    "uniformity": Measure(
        "Uniformity", "0: all images in one point; the lower, the more evenly they fill the sphere (-4 is about even)"
    ),
    "different_images_cosine": Measure("Cosine of different images", "what the invariances are to be held against"),
    f"{INVARIANCE}crop": Measure(
        "Invariance to cropping", "mean cosine of an image with itself transformed; 1: not changed at all"
    ),
    f"{INVARIANCE}flip": Measure("to flipping", "the same"),
    f"{INVARIANCE}color_jitter": Measure("to color jitter", "the same"),
    f"{INVARIANCE}grayscale": Measure("to the loss of color", "the same"),
    f"{INVARIANCE}blur": Measure("to blur", "the same"),
    f"{INVARIANCE}rotation": Measure("to rotation", "the same"),
    f"{INVARIANCE}noise": Measure("to noise", "the same"),
    "rankme": Measure("RankMe of the features", "how many directions are used, between 1 and the width", 1),
    "projection_rankme": Measure("RankMe of the projection", "the same, where the loss compares", 1),
    "lidar": Measure("LiDAR", "directions that tell images apart but not the views of one, between 1 and the width", 1),
    "effective_dimension": Measure("Effective dimension", "over how many directions the variance is spread", 1),
    "alpha": Measure("alpha-ReQ", "how steeply the spectrum falls; good encoders tend to be near 1", 2),
    "alpha_r2": Measure("alpha-ReQ, R²", "how well a power law describes the spectrum; 1: exactly"),
    "neighbor_purity": Measure("Neighbor purity", "share of an image's nearest others with its label"),
    "kmeans_nmi": Measure("k-means, NMI", "agreement of clusters with labels, 0 to 1"),
    "kmeans_ari": Measure("k-means, ARI", "the same, 0 for chance"),
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    says: str
    table: Table
    protocols: Sequence[tuple[str, str]]  # measure, protocol
    figures: Sequence[Figure]


def diagnosis(scores: Scores) -> Diagnosis | None:
    """None where the room left no numbers."""
    found = {row["metric"].removeprefix(f"{ROOM}."): row for row in scores.rooms.get(ROOM, [])}
    measured = [name for name in MEASURES if name in found]
    if not measured:
        return None
    shown = [prefix for prefix in COLUMNS if any(f"{prefix}{name}" in found for name in measured)]
    headers = ["Measure", COLUMNS[""], "95% interval", *(COLUMNS[prefix] for prefix in shown if prefix), "How to read it"]
    rows = [
        (
            MEASURES[name].title,
            _value(found, name, name),
            _span(found[name], MEASURES[name].digits),
            *(_value(found, f"{prefix}{name}", name) for prefix in shown if prefix),
            MEASURES[name].reading,
        )
        for name in measured
    ]
    layer = next(filter(None, map(eval_layer_of, found.values())), None)
    says = f"What the features {f'of eval layer {layer} ' if layer else ''}are like, whatever the labels say; test images play no part. "
    says += "Numbers mean something beside the same network before training, at one width and one number of images."
    protocols = [
        (f"{MEASURES[name].title}, {COLUMNS[prefix].lower()}", said(found[f"{prefix}{name}"]))
        for name in measured
        for prefix in shown
        if f"{prefix}{name}" in found
    ]
    return Diagnosis(says, Table(headers, rows, frozenset(range(1, len(headers) - 1))), protocols, _figures(scores, found))


def _figures(scores: Scores, found: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    path = scores.folder / f"{ROOM}.spectra.parquet"
    spectra = pd.read_parquet(path) if path.is_file() else pd.DataFrame({"source": [], "rank": [], "eigenvalue": []})
    titles = {
        name: MEASURES[name].title.removeprefix("Invariance to ").removeprefix("to ") for name in MEASURES if INVARIANCE in name
    }
    exponents = {source: found[f"{prefix}alpha"]["value"] for source, prefix in SOURCES.items() if f"{prefix}alpha" in found}
    drawn = [spectrum(spectra, exponents), invariances(found, COLUMNS, titles, "different_images_cosine")]
    return [figure for figure in drawn if figure is not None]


def _value(found: Mapping[str, Mapping[str, Any]], key: str, name: str) -> str:
    return f"{found[key]['value']:.{MEASURES[name].digits}f}" if key in found else "–"


def _span(row: Mapping[str, Any], digits: int) -> str:
    return "" if row.get("low") is None or row.get("high") is None else f"{row['low']:.{digits}f} to {row['high']:.{digits}f}"
