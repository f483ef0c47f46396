"""What the evaluation rooms have in common: skip with a reason where there is nothing to score, tell MLflow the scores."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ssl_pipelines.artifacts import Artifact, Record, new_file, new_folder, write_json
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.orchestration.freshness import make
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.rooms import ROOMS, Room
from ssl_pipelines.orchestration.session import current
from ssl_pipelines.orchestration.upstream import provenance_of

EMPTY = {  # table -> its columns where there is nothing to write
    "predictions": pd.DataFrame({"id": [], "label": [], "prediction": []}, dtype="int64"),
    "spectra": pd.DataFrame({"source": [], "rank": [], "eigenvalue": []}),
}
KEPT = (".json", ".parquet")
SCORES = "scores"  # the folder of them among a run's artifacts
log = logging.getLogger("ssl_pipelines")


def make_scores(
    name: str,
    parameters: Parameters,
    inputs: dict[str, Artifact],
    evaluate: Callable[[Path], Sequence[Score]],
    *,
    pages: bool = False,
) -> Artifact:
    """One score file. Unlabelled data gives an empty one and a line that says what is needed. `pages`: MLflow gets the folder's too."""
    room = ROOMS[name]

    def build(folder: Path, record: Record) -> None:
        try:
            scores = evaluate(folder)
        except NotApplicable as reason:
            _write_nothing(folder, name, str(reason))
            return
        tell(name, scores)
        keep([path for path in sorted(folder.glob(f"{name}.*")) if path.suffix in KEPT], room, record)
        tracker = current().tracker
        for network in networks(name):
            if tracker is not None:  # here the next run's takes its place
                tracker.folder(folder / network, network)
        if tracker is not None and pages:
            for page in sorted(folder.glob("*.html")):
                tracker.file(page, name)

    made = make(room, parameters, {key: artifact.fingerprint for key, artifact in inputs.items()}, build)
    note = made.path / f"{name}.skipped.txt"
    if note.is_file():
        reason = note.read_text(encoding="utf-8").strip()
        log.warning("%s: skipped: %s", name, reason)
        current().skip(name, reason)
    return made


def tell(name: str, scores: Sequence[Score]) -> None:
    """The scores, their intervals and protocol, into the open run or a child of the pretraining's."""
    tracker = current().tracker
    if tracker is None:
        return
    model = project_root() / ROOMS["pretrain"].folder
    tracker.open_evaluation(provenance_of(model), f"evaluation: {', '.join(current().asked) or 'all'}", {})
    rows = [(score.metric, score.value, 0) for score in scores]
    rows += [
        (f"{score.metric}_{end}", value, 0)
        for score in scores
        for end, value in (("low", score.low), ("high", score.high))
        if value is not None
    ]
    tracker.metrics(rows)
    about = {f"protocol.{name}": scores[0].said} if scores else {}
    tracker.tags(about | ({f"eval_layer.{name}": scores[0].eval_layer} if scores and scores[0].eval_layer else {}))


def keep(files: Sequence[Path], room: Room, record: Record) -> None:
    """The files as they are, and what they were made from, into the open run: comparisons find each image's answer there."""
    tracker = current().tracker
    if tracker is None:
        return
    with tempfile.TemporaryDirectory() as place:
        note = Path(place) / Path(room.record).name
        record.write(note)
        for file in (*files, note):
            tracker.file(file, SCORES)


def networks(name: str) -> list[str]:
    """The model folders among a room's outputs."""
    return [part for part in ROOMS[name].outputs if "." not in part]


def _write_nothing(folder: Path, name: str, reason: str) -> None:
    for part in ROOMS[name].outputs:
        if part.endswith(".parquet"):
            with new_file(folder / part) as partial:
                EMPTY[part.split(".")[1]].to_parquet(partial, index=False)
    for network in networks(name):  # none was trained
        with new_folder(folder / network):
            pass
    write_json(folder / f"{name}.json", [])
    with new_file(folder / f"{name}.skipped.txt") as partial:
        partial.write_text(reason + "\n", encoding="utf-8")
