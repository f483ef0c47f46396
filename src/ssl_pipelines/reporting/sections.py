"""What the page shows, section by section: what can be shown from the inputs, and for the rest one line that says why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.data.store import Store
from ssl_pipelines.reporting import figures, tables
from ssl_pipelines.reporting.captions import caption
from ssl_pipelines.reporting.config import ReportConfig
from ssl_pipelines.reporting.embedding_map import place, sample
from ssl_pipelines.reporting.inputs import ROOMS, Features, Model, Scores
from ssl_pipelines.reporting.neighbors import Retrieval, retrieve
from ssl_pipelines.reporting.pictures import png, read_png, sheet, thumbnail
from ssl_pipelines.reporting.theme import Figure, uri

SAME, OTHER = "#009e73", "#d55e00"  # Okabe & Ito: told apart by the color-blind; the page also draws `other` dashed
CURVES = [
    ("train/loss", "loss", "Training loss", 1.0, True),
    ("watch/knn_top1", "knn", "Online kNN top-1, %", 100.0, False),
    ("watch/embedding_std", "embedding_std", "Embedding standard deviation (0 is collapsed)", 1.0, False),
    ("watch/effective_rank", "effective_rank", "Effective rank (RankMe)", 1.0, False),
    ("train/learning_rate", "learning_rate", "Learning rate", 1.0, False),
]
ABSENT_CURVES = {
    "loss": "No training loss was recorded.",
    "knn": "No online kNN curve: it needs labeled train and validation images.",
    "embedding_std": "No embedding standard deviation was recorded.",
    "effective_rank": "No effective rank was recorded.",
}


@dataclass(frozen=True, slots=True)
class Tile:
    uri: str
    alt: str
    kind: str  # "same", "other" or "plain"


@dataclass(frozen=True, slots=True)
class RetrievalRow:
    name: str
    uri: str
    alt: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class RetrievalGrid:
    says: str
    width: int
    rows: Sequence[RetrievalRow]
    figure: Figure  # the same as one picture, for MLflow


def training_curves(model: Model) -> tuple[list[Figure], list[str]]:
    """The curves that were recorded, and a line for each expected one that was not."""
    found = {name: figures.curve(model, source, name, title, scale, smooth) for source, name, title, scale, smooth in CURVES}
    others = figures.other_curves(model, [source for source, *_ in CURVES])
    drawn = [picture for picture in [*found.values(), others] if picture is not None]
    return drawn, [reason for name, reason in ABSENT_CURVES.items() if found[name] is None]


def model_pictures(model: Model) -> list[Figure]:
    """The pictures that the training left: views first; those of a later method under their own names."""
    made = []
    for path in model.pictures():
        says = caption(model.method, path.stem)
        made.append(Figure(path.stem, says, read_png(path), caption=says, pixels=True))
    return made


def class_results(scores: Scores, classes: Sequence[str]) -> dict[str, Any] | str:
    """Per-class table and confusion matrix, or why there are none."""
    found = scores.predictions()
    if not classes:
        return "No results by class: the images have no labels."
    if found is None or found[1].empty:
        return "No results by class: no evaluation has stored predictions for test images."
    room, predictions = found
    matrix = tables.confusion(predictions, len(classes))
    return {
        "predictions_of": ROOMS[room],
        "per_class": tables.per_class(predictions, classes),
        "confusion": figures.confusion_matrix(matrix, classes),
        "predictions": predictions,
    }


def retrieval_grid(store: Store, features: Features | None, config: ReportConfig, seed: int) -> RetrievalGrid | str:
    """The grid, or why there is none."""
    if features is None:
        return "No retrieval: no features were extracted."
    found = retrieve(features, store.labels, config.neighbors_queries, config.neighbors, seed)
    if found is None:
        return "No retrieval: too few images have features."
    labeled = bool((store.labels(found.queries) >= 0).any() and (store.labels(found.neighbors.ravel()) >= 0).any())
    width = found.neighbors.shape[1]
    says = f"Left, images of {found.query_split}; beside each, the {width} of {found.bank_split} that are nearest by cosine"
    says += f" in the trained features ({features.layer}), nearest first. "
    framed = "A solid green frame is the same class, a dashed orange one another."
    says += framed if labeled else "Without labels the frames are plain."
    rows = [_retrieval_row(store, found, index) for index in range(len(found.queries))]
    return RetrievalGrid(says, width, rows, _retrieval_sheet(store, found, says))


def _retrieval_row(store: Store, found: Retrieval, index: int) -> RetrievalRow:
    query, neighbors = int(found.queries[index]), found.neighbors[index]
    own, names = int(store.labels(np.array([query]))[0]), store.classes
    tiles = [
        Tile(
            uri(png(thumbnail(image))),
            f"{names[label] if label >= 0 else f'image {id_}'}, cosine {cosine:.3f}",
            _kind(own, int(label)),
        )
        for image, id_, label, cosine in zip(
            _images(store, neighbors), neighbors, store.labels(neighbors), found.cosines[index], strict=True
        )
    ]
    name = names[own] if own >= 0 else f"image {query}"
    return RetrievalRow(name, uri(png(thumbnail(_images(store, found.queries[[index]])[0]))), f"query: {name}", tiles)


def _retrieval_sheet(store: Store, found: Retrieval, says: str) -> Figure:
    rows, frames = [], []
    for query, neighbors in zip(found.queries, found.neighbors, strict=True):
        own = int(store.labels(np.array([query]))[0])
        rows.append([thumbnail(image) for image in _images(store, np.array([query, *neighbors]))])
        frames.append([None, *({"same": SAME, "other": OTHER}.get(_kind(own, int(label))) for label in store.labels(neighbors))])
    return Figure("neighbors", says, sheet(rows, frames, border=2), pixels=True)


def _kind(own: int, label: int) -> str:
    return "plain" if own < 0 or label < 0 else "same" if own == label else "other"


def embedding_maps(store: Store, features: Features | None, config: ReportConfig, seed: int) -> dict[str, Any] | str:
    """The trained embedding beside the one before training, or why there is none."""
    split = next((name for name in ("test", "validation", "unlabeled", "train") if features and name in features.splits()), None)
    if features is None or split is None:
        return "No map: no features were extracted."
    values, ids = features.read(split)
    if len(ids) < 10:
        return f"No map: {len(ids)} images of {split} have features, at least 10 are needed."
    rows = sample(len(ids), config.map_points, seed)
    labels, kind = store.labels(ids[rows]), "t-SNE" if config.map == "tsne" else "PCA"
    drawn = [_map(values, rows, labels, store, config, seed, "map", f"{kind}, after pretraining")]
    if features.has("random_init/0", split):
        before, before_ids = features.read(split, "random_init/0")
        drawn.append(
            _map(
                before,
                np.flatnonzero(np.isin(before_ids, ids[rows])),
                labels,
                store,
                config,
                seed,
                "map_random_init",
                f"{kind}, random initialization",
            )
        )
    says = f"{len(rows):,} images of {split} by their features ({features.layer}), "
    says += "colored by class; no label was used to place them." if (labels >= 0).any() else "without labels to color them by."
    return {"maps": drawn, "map_says": says}


def _map(
    values: NDArray, rows: NDArray, labels: NDArray, store: Store, config: ReportConfig, seed: int, name: str, title: str
) -> Figure:
    return figures.embedding_map(place(values[rows], config.map, seed), labels, store.classes, name, title)


def data_summary(name: str, size: int, channels: int, manifest: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """What the report and the validation page say of the images."""
    usable, copies = manifest[manifest.status == "ok"], manifest[manifest.status == "ok"].sha256.duplicated().sum()
    sides = usable[["width", "height"]].min(axis=1).dropna()
    span = "" if sides.empty else f"{sides.min()}" if sides.nunique() == 1 else f"{sides.min()} to {sides.max()}"
    source = f" (shorter side {span} pixels)" if span else ""
    stored = f"stored at {size} x {size} pixels in {channels} channel{'s' * (channels > 1)}"
    says = f"{name}: {len(usable):,} images of {len(manifest):,} source files{source}, {stored}"
    says += f"; {copies:,} repeat an earlier one in every pixel." if copies else "; no image occurs twice."
    return {
        "data_says": says,
        "splits": tables.splits(manifest),
        "unusable": tables.unusable(manifest),
        "class_counts": tables.class_counts(manifest, classes),
    }


def _images(store: Store, ids: NDArray) -> NDArray:
    return np.asarray(store.gather(ids).fields["image"])
