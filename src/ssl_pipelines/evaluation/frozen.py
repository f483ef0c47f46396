"""What the stages on frozen features share: every source is judged by one protocol, and test labels are read after the last
prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.scores import Outcome, Score, score_all, write_scores
from ssl_pipelines.evaluation.stored import RANDOM_INIT, RAW_PIXELS, TRAINED, StoredFeatures

Predict = Callable[[StoredFeatures, str, Frame], Outcome]


def judge(room: str, prefix: str, features: Path, store: Path, seed: int, out: Path, predict: Predict) -> list[Score]:
    """`predict` fits, chooses on validation and answers for one source; it is never given the labels of the test images."""
    frame = Frame.of(Store.open(store), seed, room)
    stored = StoredFeatures.open(features)
    sources = [TRAINED, *stored.random_inits, RAW_PIXELS]
    outcomes = {}
    with progress(room, len(sources), "feature sets") as advance:
        for source in sources:
            outcomes[source] = predict(stored, source, frame)
            advance(1)
    baselines = {RANDOM_INIT: [outcomes[source] for source in stored.random_inits], RAW_PIXELS: [outcomes[RAW_PIXELS]]}
    labels = frame.store.labels(frame.test)
    scores = score_all(prefix, outcomes[TRAINED], baselines, labels, seed, frame.facts())
    write_scores(out, room, scores, frame.test, labels, outcomes[TRAINED].predictions)
    return scores
