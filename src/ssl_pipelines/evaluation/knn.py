"""knn_eval: the weighted vote of the nearest training images, by cosine. Nothing is fitted."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_pipelines.algorithms.neighbors import knn_predict
from ssl_pipelines.evaluation.config import KnnConfig
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.frozen import judge
from ssl_pipelines.evaluation.protocols import KIND
from ssl_pipelines.evaluation.scores import Outcome, Score
from ssl_pipelines.evaluation.stored import StoredFeatures


def knn_eval(features: Path, store: Path, config: KnnConfig, seed: int, out: Path) -> list[Score]:
    """Writes knn_eval.json and knn_eval.predictions.parquet into `out`. Raises NotApplicable where labels are missing."""
    return judge("knn_eval", "knn", features, store, seed, out, partial(predict, config=config))


def predict(stored: StoredFeatures, source: str, frame: Frame, *, config: KnnConfig) -> Outcome:
    """Predictions for the test images of `frame`."""
    layers = stored.layers_of(source)
    layer, share = layers[0], {}
    if len(layers) > 1:
        shares = [_share_on_validation(stored, source, one, frame, config) for one in layers]
        layer, share = layers[int(np.argmax(shares))], {"validation_top1": max(shares)}
    both = frame.both
    bank = stored.rows(source, layer, both)
    answers = _vote(bank, frame.store.labels(both), stored.rows(source, layer, frame.test), config)
    vote = {"k": min(config.k, len(bank)), "k_asked": config.k, "temperature": config.temperature, "bank": len(bank)}
    chosen = {"eval_layer": layer, "dims": bank.shape[1], "layers": len(layers)} | share
    return Outcome(answers, {KIND: "knn"} | vote, layer, chosen)


def _share_on_validation(stored: StoredFeatures, source: str, layer: str, frame: Frame, config: KnnConfig) -> float:
    fit, validation = stored.rows(source, layer, frame.fit), stored.rows(source, layer, frame.validation)
    answers = _vote(fit, frame.store.labels(frame.fit), validation, config)
    return float((answers == frame.store.labels(frame.validation)).mean())


def _vote(bank: NDArray, labels: NDArray, queries: NDArray, config: KnnConfig) -> NDArray:
    k, num_classes = min(config.k, len(bank)), int(labels.max()) + 1
    bank_, labels_, queries_ = (torch.from_numpy(part) for part in (bank, labels, queries))
    return knn_predict(bank_, labels_, queries_, k, config.temperature, num_classes).numpy()
