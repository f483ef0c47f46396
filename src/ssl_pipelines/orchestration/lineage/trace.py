"""From a number back to the raw files: what each stage recorded of what it stood on, held against what stands there now."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ssl_pipelines.artifacts import InputError, Record, read_json
from ssl_pipelines.artifacts.code import EARLIER, Code
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.data import DatasetConfig, raw_digest
from ssl_pipelines.evaluation.protocols import said
from ssl_pipelines.orchestration.lineage.facts import what_it_is
from ssl_pipelines.orchestration.lineage.reproduce import code_in, nested, reproduce
from ssl_pipelines.orchestration.lineage.score import folder_of, row_of, stage_of
from ssl_pipelines.orchestration.mlflow.runs import SCORES, Finished, Runs, logged_parameters
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.mlflow.tracking_store import shown
from ssl_pipelines.orchestration.paths import home_root
from ssl_pipelines.orchestration.stages import Stage, project_stages
from ssl_pipelines.reporting.inputs import Scores

State = Literal["holds", "stale", "missing", "unknown"]
TITLES = {
    "extract_features": "features",
    "pretrain": "model",
    "validate": "gate",
    "ingest": "store",
}
BROKEN = "what the number stood on is not recorded beyond the link above"


@dataclass(frozen=True, slots=True)
class Link:
    """One step of the way. `why`: of a state other than "holds"; `code`: definitions that have changed since."""

    title: str
    place: str
    state: State
    why: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    code: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    metric: str
    score: Mapping[str, Any]
    parameters: Mapping[str, Any]  # all that decided it, flat
    links: tuple[Link, ...]
    reproduce: tuple[str, ...]


def trace(metric: str, root: Path, tracker: Tracker, run: str | None = None) -> Trace:
    """Of the number that stands in `root`, or of the one that an MLflow run has. Raises InputError for a metric or run that is not there."""
    runs = Runs(tracker)
    with tempfile.TemporaryDirectory() as place:
        named = None if run is None else runs.find("--run", run)
        folder = root / folder_of(metric) if named is None else runs.fetch(named, (SCORES,), Path(place)) / SCORES
        scores = Scores(folder, root / project_stages()["extract_features"].folder if named is None else None)
        row = row_of(metric, scores)
        stage = stage_of(metric, scores)
        record = Record.read(folder / Path(stage.record).name if named is not None else root / stage.record)
        walk = _Walk(root, runs, metric, row, stage, record, named)
        links = tuple(walk.links())
        wanted = walk.parameters()
        return Trace(metric, row, wanted, links, tuple(reproduce(stage, wanted, walk.code(), walk.origin(), root)))


@dataclass
class _Walk:
    root: Path
    runs: Runs
    metric: str
    row: Mapping[str, Any]
    stage: Stage
    record: Record | None
    named: Finished | None  # the run that was asked for; else the number is the one that stands here
    held: dict[str, Record] = field(
        default_factory=dict
    )  # stage -> its record, where it is still the one that the number stands on

    def links(self) -> Iterator[Link]:
        if self.named is None and not self.stage.on_request:
            yield self._page()
        expected = self._inputs()
        yield self._score()
        for stage in project_stages().before(self.stage.name)[-2::-1]:
            link, record = self._link(stage, expected.get(stage.artifact))
            if record is not None:
                self.held[stage.name] = record
                expected = record.inputs | expected
            yield link
            if stage.name == "pretrain":
                yield self._run()
        yield self._raw(expected.get("raw files"))

    def origin(self) -> Mapping[str, Any]:
        """Where the model was made: git_commit, command, threads, hardware, the upstream runs that were given."""
        if "pretrain" in self.held:
            return dict(self._provenance())
        run = self._finished()
        return {} if run is None else {"git_commit": run.pretraining.data.tags.get("git_commit")}

    def parameters(self) -> dict[str, Any]:
        """All that decided the number, flat: the run's as MLflow has them, and what the stages recorded."""
        run = self._finished()
        found = {} if run is None else logged_parameters(run)
        for record in self._records():
            found |= {name: value for name, value in record.parameters.items() if name != "pretrain.upstream"}
        return found

    def code(self) -> list[Code]:
        """What ran, a stage each."""
        return [record.code for record in self._records()]

    def _records(self) -> list[Record]:
        return [*self.held.values(), *([self.record] if self.record else [])]

    def _finished(self) -> Finished | None:
        if self.named is not None:
            return self.named
        if "pretrain" in self.held:
            return self.runs.of(str(self._provenance().get("mlflow_run_id")))
        shown = flatten(read_json(path)) if (path := self._metrics_file()).is_file() else {}
        same = shown.get(self.metric) == self.row["value"]  # then the page is of this number, whatever stands in the folders by now
        return self.runs.of(str(shown.get("mlflow_run_id"))) if same else None

    def _metrics_file(self) -> Path:
        return self.root / project_stages()["report"].folder / "metrics.json"

    def _provenance(self) -> Mapping[str, Any]:
        path = self.root / project_stages()["pretrain"].folder / "provenance.json"
        return read_json(path) if path.is_file() else {}

    def _page(self) -> Link:
        path = self._metrics_file()
        place = path.relative_to(self.root).as_posix()
        if not path.is_file():
            return Link("report", place, "missing", "there is no metrics.json; the number is the score file's")
        shown = flatten(read_json(path)).get(self.metric)
        if shown != self.row["value"]:
            return Link(
                "report", place, "stale", f"it says {shown}, the score file {self.row['value']}: kedro run --pipeline=report"
            )
        return Link("report", place, "holds", facts={"value": str(shown)})

    def _inputs(self) -> dict[str, str]:
        """Fingerprints by artifact: of what the score was made from, and of what its run says of itself."""
        run = self._finished()
        tags = {} if run is None else run.pretraining.data.tags
        said = {artifact: tags[tag] for artifact, tag in (("model", "fingerprint"), ("store", "dataset.sha256")) if tag in tags}
        return said | (self.record.inputs if self.record else {})

    def _score(self) -> Link:
        row = self.row
        facts = {
            "value": str(row["value"]),
            "95% interval": "none" if row.get("low") is None else f"{row['low']} to {row['high']}",
            "images": str(row.get("n")),
            "seed": str(row.get("seed")),
            "protocol": said(row),
        }
        where = self.stage.record if self.named is None else f"MLflow run {self.named.id}, {SCORES}/{Path(self.stage.record).name}"
        if self.record is None:
            return Link("score", where, "missing", "there is no record of what it was made from", facts)
        gone = self.stage.missing(self.root) if self.named is None else None
        state: State = "missing" if gone else "holds"
        return Link(
            "score", where, state, f"{gone} is missing" if gone else "", facts | _recorded(self.record), _changed(self.record)
        )

    def _link(self, stage: Stage, expected: str | None) -> tuple[Link, Record | None]:
        """The link, and the stage's record where it is what the number stands on."""
        title, found = TITLES.get(stage.name, stage.name), Record.read(self.root / stage.record)
        if found is None:
            return Link(title, stage.record, "missing", f"nothing is there; kedro run --pipeline={stage.name} makes it"), None
        if expected is None:
            return Link(title, stage.record, "unknown", BROKEN), None
        if found.fingerprint != expected:
            why = f"made anew since: the number stands on {expected[:12]}, here is {found.fingerprint[:12]}"
            return Link(title, stage.record, "stale", why), None
        folder = self.root / stage.folder
        gone, facts = stage.missing(self.root), {"fingerprint": found.fingerprint}
        if gone:
            return Link(title, stage.record, "missing", f"{gone} is missing", facts), found
        more, wrong = what_it_is(stage, folder)
        return Link(title, stage.record, "stale" if wrong else "holds", wrong, facts | more, _changed(found)), found

    def _run(self) -> Link:
        found, known = self._finished(), self._provenance() if "pretrain" in self.held else {}
        if found is None:
            run_id = known.get("mlflow_run_id")
            why = f"run {run_id} is not in this store" if run_id else "the model's run is not known"
            return Link("MLflow run", shown(self.runs.tracker.uri), "missing" if run_id else "unknown", why)
        tags, info = found.pretraining.data.tags, found.pretraining.info
        facts = {
            "run": found.id,
            "name": str(tags.get("mlflow.runName")),
            "status": str(info.status),
            "commit": str(tags.get("git_commit")),
            "command": str(tags.get("command")),
            "model": str(tags.get("model_uri")),
            "parameters": f"{len(found.pretraining.data.params)} logged",
        }
        place = shown(self.runs.tracker.uri)
        by = [run.info.run_id for run in found.evaluations if run.data.metrics.get(self.metric) == self.row["value"]]
        if not by:
            return Link("MLflow run", place, "stale", f"no {self.metric}={self.row['value']} there, nor in its evaluations", facts)
        return Link("MLflow run", place, "holds", facts=facts | {"logged by": by[-1]})

    def _raw(self, expected: str | None) -> Link:
        record = self.held.get("ingest")
        if record is None or expected is None:
            return Link("raw files", "dataset.root", "unknown", BROKEN)
        block = nested(record.parameters)["dataset"]
        place = str(block.get("root") or f"reader {block['reader']}")
        try:
            config = DatasetConfig.of(block, "dataset")
            config = config.model_copy(
                update={key: str(home_root() / path) for key in ("root", "labels") if (path := getattr(config, key))}
            )
            now = raw_digest(config)
        except InputError as error:
            return Link("raw files", place, "missing", str(error))
        facts = {"listing": expected}
        if now != expected:
            why = "files were added, removed or written anew since (by path, size and time); the store's digest tells whether images differ"
            return Link("raw files", place, "stale", why, facts)
        return Link("raw files", place, "holds", facts=facts)


def _recorded(record: Record) -> dict[str, str]:
    return {"parameters": ", ".join(f"{name}={value}" for name, value in sorted(record.parameters.items()))}


def _changed(record: Record) -> tuple[str, ...]:
    """Definitions that the stage ran and that are others today; `EARLIER` alone where the record does not say which ran."""
    if not record.code.compares:
        return (EARLIER,)
    return tuple(record.code.changed_in(code_in(record.code.roots)))
