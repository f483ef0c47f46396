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
from ssl_pipelines.evaluation.scores import Outcome, Score
from ssl_pipelines.evaluation.stored import StoredFeatures


def knn_eval(features: Path, store: Path, config: KnnConfig, seed: int, out: Path) -> list[Score]:
    """Writes knn_eval.json and knn_eval.predictions.parquet into `out`. Raises NotApplicable where labels are missing."""
    return judge("knn_eval", "knn", features, store, seed, out, partial(predict, config=config))


def predict(stored: StoredFeatures, source: str, frame: Frame, *, config: KnnConfig) -> Outcome:
    """Answers for the test images of `frame`."""
    stages = stored.stages_of(source)
    chosen, how = stages[0], ""
    if len(stages) > 1:
        shares = [_share_on_validation(stored, source, stage, frame, config) for stage in stages]
        chosen = stages[int(np.argmax(shares))]
        how = f" of {len(stages)} stages, chosen on validation ({max(shares):.4f})"
    both = frame.both
    bank = stored.rows(source, chosen, both)
    answers = _vote(bank, frame.store.labels(both), stored.rows(source, chosen, frame.test), config)
    k = min(config.k, len(bank))
    asked = "" if k == config.k else f" ({config.k} asked for)"
    vote = f"weighted nearest neighbors by cosine, k={k}{asked}, T={config.temperature:g}"
    where = f"stage {chosen} ({bank.shape[1]} dims){how}; bank: fit and validation, {len(bank):,} images"
    return Outcome(answers, f"{vote}; {where}", chosen)


def _share_on_validation(stored: StoredFeatures, source: str, stage: str, frame: Frame, config: KnnConfig) -> float:
    fit, validation = stored.rows(source, stage, frame.fit), stored.rows(source, stage, frame.validation)
    answers = _vote(fit, frame.store.labels(frame.fit), validation, config)
    return float((answers == frame.store.labels(frame.validation)).mean())


def _vote(bank: NDArray, labels: NDArray, queries: NDArray, config: KnnConfig) -> NDArray:
    k, num_classes = min(config.k, len(bank)), int(labels.max()) + 1
    bank_, labels_, queries_ = (torch.from_numpy(part) for part in (bank, labels, queries))
    return knn_predict(bank_, labels_, queries_, k, config.temperature, num_classes).numpy()
