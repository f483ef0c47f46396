"""CSV files for `dvc plots`: always all four, with no rows where there is nothing to draw."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ssl_pipelines.reporting.inputs import Model

CURVES = {"loss": "train/loss", "learning_rate": "train/learning_rate", "knn": "watch/knn_top1"}
COLUMN = {"loss": "loss", "learning_rate": "learning_rate", "knn": "knn_top1"}


def write_plots(folder: Path, model: Model, predictions: pd.DataFrame | None, classes: list[str]) -> None:
    """loss.csv, learning_rate.csv, knn.csv (step, value) and confusion.csv (actual, predicted: class names) into a new folder."""
    folder.mkdir()
    for name, source in CURVES.items():
        model.curve(source).rename(columns={"value": COLUMN[name]}).to_csv(folder / f"{name}.csv", index=False)
    names = dict(enumerate(classes))
    pairs = pd.DataFrame({"label": [], "prediction": []}) if predictions is None else predictions
    confusion = pd.DataFrame({"actual": pairs.label.map(names), "predicted": pairs.prediction.map(names)})
    confusion.to_csv(folder / "confusion.csv", index=False)
