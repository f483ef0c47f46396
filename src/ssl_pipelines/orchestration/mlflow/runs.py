"""The finished runs that MLflow knows, by whatever name a user has for them, and what it keeps of them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import nearest
from ssl_pipelines.orchestration.mlflow.artifact_places import EXPERIMENT
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.mlflow.tracking_store import database_of, shown

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT, NAME, EXPERIMENT_NAME = "mlflow.parentRunId", "mlflow.runName", "DVC_EXP_NAME"
SCORES = "scores"  # the folder of score files and predictions among a run's artifacts
SHORTEST = 4  # characters of a run id that may name it
SHOWN = 6
ALLOWED = "allowed: an MLflow run id or its beginning, a run's name, a DVC experiment's"


@dataclass(frozen=True, slots=True)
class Finished:
    """A pretraining, and the runs that evaluated it: itself, then later ones, the newest last."""

    pretraining: Run
    evaluations: tuple[Run, ...]

    @property
    def id(self) -> str:
        return str(self.pretraining.info.run_id)

    @property
    def experiment(self) -> str | None:
        """The DVC experiment that it belongs to: it may stand on a model that was trained before."""
        found: str | None = self.evaluations[-1].data.tags.get(EXPERIMENT_NAME)
        return found


class Runs:
    """All runs of the project's experiment, looked up once."""

    def __init__(self, tracker: Tracker):
        self.tracker = tracker
        every = _all(tracker)
        self._by_id = {run.info.run_id: run for run in every}
        self.pretrainings = [run for run in every if PARENT not in run.data.tags and "fingerprint" in run.data.tags]
        self._children = [run for run in every if run.data.tags.get(PARENT) in self._by_id]

    def find(self, key: str, given: str, also: str = "") -> Finished:
        """Raises InputError, one line, where `given` names none or several; `also`: what else the caller would have taken."""
        tops = {run.info.run_id for run in self.pretrainings}
        known = [run for run in self._by_id.values() if run.info.run_id in tops or run in self._children]
        begins = [run for run in known if len(given) >= SHORTEST and run.info.run_id.startswith(given)]
        named = [run for run in self.pretrainings if given == run.data.tags.get(NAME)]
        found = {
            self._of(run).id + str(self._of(run).experiment): self._of(run)
            for run in begins or self._experiment(known, given) or named
        }
        if not found:
            raise self._unknown(key, given, known, also)
        if len(found) > 1:
            raise InputError(f"{key}={given!r} names {len(found)} runs: {_listed(list(found.values()))}; give one of their ids")
        return next(iter(found.values()))

    def of(self, run_id: str) -> Finished | None:
        """The pretraining of this id, with its evaluations; None where this store has none."""
        run = next((run for run in self.pretrainings if run.info.run_id == run_id), None)
        return None if run is None else self._of(run)

    def fetch(self, finished: Finished, folders: Sequence[str], place: Path) -> Path:
        """These folders of the artifacts of a run and its evaluations, below `place`; what is newer replaces what is older."""
        place.mkdir(parents=True, exist_ok=True)
        for run in finished.evaluations:
            for folder in folders:
                if self.tracker.client.list_artifacts(run.info.run_id, folder):
                    self.tracker.client.download_artifacts(run.info.run_id, folder, str(place))
        return place

    def newest(self, count: int) -> list[Finished]:
        """The newest pretrainings that have scores, the oldest of them first."""
        found: list[Finished] = []
        for run in self.pretrainings:  # the newest first
            finished = self._of(run)
            if run.info.status == "FINISHED" and self.has_scores(finished):
                found.append(finished)
            if len(found) == count:
                break
        return found[::-1]

    def has_scores(self, finished: Finished) -> bool:
        return any(self.tracker.client.list_artifacts(run.info.run_id, SCORES) for run in finished.evaluations)

    def _experiment(self, known: Sequence[Run], name: str) -> list[Run]:
        """A pretraining of that DVC experiment; where it trained nothing, what it evaluated."""
        of = [run for run in known if run.data.tags.get(EXPERIMENT_NAME) == name]
        trained = [run for run in of if PARENT not in run.data.tags]
        return trained or of

    def _unknown(self, key: str, given: str, known: Sequence[Run], also: str) -> InputError:
        names = [str(run.data.tags[tag]) for run in known for tag in (EXPERIMENT_NAME, NAME) if tag in run.data.tags]
        near = nearest(given, [*names, *(run.info.run_id for run in known)])
        hint = f"; did you mean {near!r}?" if near else "."
        newest = _listed([self._of(run) for run in self.pretrainings]) or "none"
        return InputError(
            f"{key}={given!r} is unknown in {shown(self.tracker.uri)}{hint} Newest runs there: {newest}; {ALLOWED}{also}"
        )

    def _of(self, run: Run) -> Finished:
        """With the evaluations of the same DVC experiment, or of none."""
        top = self._by_id.get(run.data.tags.get(PARENT), run)
        same = [
            child
            for child in reversed(self._children)
            if child.data.tags[PARENT] == top.info.run_id
            and child.data.tags.get(EXPERIMENT_NAME) == run.data.tags.get(EXPERIMENT_NAME)
        ]
        return Finished(top, (top, *same))


def logged_parameters(finished: Finished) -> dict[str, Any]:
    """As they were before MLflow made text of them; flat."""
    return {name: _parsed(text) for name, text in finished.pretraining.data.params.items()}


def _parsed(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _all(tracker: Tracker) -> list[Any]:
    """The newest first. None where there is no store yet: to look is no reason to make one."""
    file = database_of(tracker.uri)
    missing = file is not None and not file.is_file()
    experiment = None if missing else tracker.client.get_experiment_by_name(EXPERIMENT)
    found: list[Any] = []
    token = None
    while experiment is not None:
        page = tracker.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], page_token=token)
        found += page
        token = page.token
        if not token:
            break
    return found


def _listed(found: Sequence[Finished]) -> str:
    shown = [f"{one.id[:8]} ({one.experiment or one.pretraining.data.tags.get('method')})" for one in found[:SHOWN]]
    return ", ".join(shown) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
