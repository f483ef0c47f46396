"""A stage of the command that runs: makes its artifact unless that is fresh, and tells MLflow what came out."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ssl_pipelines.artifacts import Artifact, Record, new_file, new_folder, write_json
from ssl_pipelines.artifacts.code import code_of
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.orchestration.freshness.make import Build, Place, make
from ssl_pipelines.orchestration.mlflow.runs import SCORES
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import provenance_of
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.paths import lock_of_stage, project_root
from ssl_pipelines.orchestration.session import Session
from ssl_pipelines.orchestration.stages import CUT, RUN, Stage, project_stages

EMPTY = {  # table -> its columns where there is nothing to write
    "predictions": pd.DataFrame({"id": [], "label": [], "prediction": []}, dtype="int64"),
    "spectra": pd.DataFrame({"source": [], "rank": [], "eigenvalue": []}),
}
KEPT = (".json", ".parquet")
log = logging.getLogger("ssl_pipelines")


@dataclass(frozen=True, slots=True)
class StageRun:
    """`inputs`: the artifacts that the stage reads, by their names in the catalog."""

    stage: Stage
    parameters: Parameters
    inputs: Mapping[str, Artifact]
    session: Session

    @property
    def tracker(self) -> Tracker | None:
        return self.session.tracker

    @property
    def folder(self) -> Path:
        return project_root() / self.stage.folder

    def make(self, build: Build, *, extra: Mapping[str, str] | None = None) -> Artifact:
        """The stage's artifact: the one that stands there if it is fresh, else the one that `build` makes (`freshness.make`).

        `extra`: fingerprints of what it reads beside the artifacts."""
        wanted = self.record(extra)
        made, seconds = make(self.place, wanted, build, self.parameters.runtime.on_code_change)
        self.session.seconds[self.stage.name] = seconds
        return made

    def scores(self, evaluate: Callable[[Path], Sequence[Score]], *, pages: bool = False) -> Artifact:
        """One score file. Unlabelled data gives an empty one and a line that says what is needed. `pages`: MLflow gets the folder's too."""
        name = self.stage.name

        def build(folder: Path, record: Record) -> None:
            try:
                scores = evaluate(folder)
            except NotApplicable as reason:
                self._write_nothing(folder, str(reason))
                return
            self.tell(scores)
            self.keep([path for path in sorted(folder.glob(f"{name}.*")) if path.suffix in KEPT], record)
            if self.tracker is not None:
                for network in self._networks():  # here the next run's takes its place
                    self.tracker.folder(folder / network, network)
                for page in sorted(folder.glob("*.html")) if pages else ():
                    self.tracker.file(page, name)

        made = self.make(build)
        note = made.path / f"{name}.skipped.txt"
        if note.is_file():
            self.skip(note.read_text(encoding="utf-8").strip())
        return made

    def skip(self, reason: str) -> None:
        log.warning("%s: skipped: %s", self.stage.name, reason)
        self.session.skipped[self.stage.name] = reason

    def tell(self, scores: Sequence[Score], name: str | None = None) -> None:
        """The scores, their intervals and protocol, into the open run or a child of the pretraining's. `name`: None for the stage's."""
        if self.tracker is None:
            return
        told = name or self.stage.name
        model = project_root() / project_stages()["pretrain"].folder
        self.tracker.open_evaluation(provenance_of(model), self.session.title, {})
        rows = [(score.metric, score.value, 0) for score in scores]
        rows += [
            (f"{score.metric}_{end}", value, 0)
            for score in scores
            for end, value in (("low", score.low), ("high", score.high))
            if value is not None
        ]
        self.tracker.metrics(rows)
        about = {f"protocol.{told}": scores[0].said} if scores else {}
        self.tracker.tags(about | ({f"eval_layer.{told}": scores[0].eval_layer} if scores and scores[0].eval_layer else {}))

    def keep(self, files: Sequence[Path], record: Record) -> None:
        """The files as they are, and what they were made from, into the open run: comparisons find each image's answer there."""
        if self.tracker is None:
            return
        with tempfile.TemporaryDirectory() as place:
            note = Path(place) / Path(self.stage.record).name
            record.write(note)
            for file in (*files, note):
                self.tracker.file(file, SCORES)

    def record(self, extra: Mapping[str, str] | None = None) -> Record:
        """What the stage would make now."""
        known = {name: artifact.fingerprint for name, artifact in self.inputs.items()}
        first = [one.run.method for one in self.parameters.first.values()] if RUN in self.stage.parameters else []
        code = code_of(*self.stage.roots(self.parameters.run.method, *first), cut=CUT)
        return Record(flatten(self.parameters.read_by(self.stage.parameters)), known | dict(extra or {}), code)

    @property
    def place(self) -> Place:
        stage, root = self.stage, project_root()
        return Place(stage.name, self.folder, root / stage.record, stage.outputs, stage.resumes, lock_of_stage(stage.name))

    def of(self, parameters: Parameters, stage: Stage | None = None) -> StageRun:
        """The same for other parameters, or as another stage of the same kind."""
        return replace(self, parameters=parameters, stage=stage or self.stage)

    def _networks(self) -> list[str]:
        """The model folders among the outputs."""
        return [part for part in self.stage.outputs if "." not in part]

    def _write_nothing(self, folder: Path, reason: str) -> None:
        for part in self.stage.outputs:
            if part.endswith(".parquet"):
                with new_file(folder / part) as partial:
                    EMPTY[part.split(".")[1]].to_parquet(partial, index=False)
        for network in self._networks():  # none was trained
            with new_folder(folder / network):
                pass
        write_json(folder / f"{self.stage.name}.json", [])
        with new_file(folder / f"{self.stage.name}.skipped.txt") as partial:
            partial.write_text(reason + "\n", encoding="utf-8")
