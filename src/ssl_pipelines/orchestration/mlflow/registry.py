"""The registered versions of one name in MLflow: who is champion, who was, and the way back.

The alias `champion` decides. Beside it the registered model's tag `champions` lists the versions that were, in their order, and
`@previous` is the last but one. Every change begins with the alias, so that a kill in between leaves one champion and a list that is
mended by the next look at it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.evaluation.contest import METRIC
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.mlflow.tracking_store import default_store, locks_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, PREVIOUS, LIST = "champion", "previous", "champions"
OURS = "made_by"  # tag of a registered model
WEIGHTS, LAYER, DATA, WITHDRAWN = "weights", "eval_layer", "data.sha256", "withdrawn"  # tags of a version
REMEMBERED = 100  # champions in the list
WAIT = 600  # seconds for another promotion


class Registry:
    def __init__(self, tracker: Tracker, name: str):
        self.tracker, self.name = tracker, name

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other promotion or rollback on this machine reads or writes meanwhile: MLflow itself has no compare-and-set."""
        with only_writer(locks_of(self.tracker.uri) / f"promote.{self.name}.lock", wait=WAIT):
            yield

    @property
    def versions(self) -> list[ModelVersion]:
        """Oldest first; none where nothing was registered."""
        found = self.tracker.client.search_model_versions(f"name='{self.name}'")
        return sorted(found, key=lambda version: int(version.version))

    @property
    def aliases(self) -> Mapping[str, str]:
        """alias -> version"""
        model = self._model()
        return {} if model is None else {alias: str(version) for alias, version in model.aliases.items()}

    @property
    def champions(self) -> list[str]:
        """The versions that were champion one after the other, the present one last; what no longer exists is left out."""
        model, now = self._model(), self.aliases.get(CHAMPION)
        if model is None or now is None:
            return []
        alive = {str(version.version) for version in self.versions}
        known = [number for number in str(model.tags.get(LIST, "")).split() if number in alive]
        if now in known:  # whatever stands behind it was undone, or never finished
            return known[: len(known) - known[::-1].index(now)]
        return [*known, now]

    def with_weights(self, fingerprint: str, eval_layer: str) -> ModelVersion | None:
        """The version of these very weights that is served at this layer; versions of earlier releases are served at `final`."""
        wanted = (fingerprint, eval_layer)
        return next((one for one in self.versions if (one.tags.get(WEIGHTS), one.tags.get(LAYER, FINAL)) == wanted), None)

    def version(self, number: str) -> ModelVersion:
        return self.tracker.client.get_model_version(self.name, number)

    def register(self, uri: str, run_id: str | None, tags: Mapping[str, str], description: str) -> ModelVersion:
        if self._model() is None:
            about = "Encoders of ssl_pipelines; @champion is the one to use, @previous the one before it."
            self.tracker.client.create_registered_model(self.name, {OURS: "ssl_pipelines"}, about)
        logged = uri.removeprefix("models:/") if uri.startswith("models:/m-") else None
        with default_store(self.tracker.uri):
            return self.tracker.client.create_model_version(
                self.name, uri, run_id=run_id, tags=dict(tags), description=description, model_id=logged
            )

    def tag(self, number: str, tags: Mapping[str, Any]) -> None:
        for key, value in tags.items():
            self.tracker.client.set_model_version_tag(self.name, number, key, str(value))

    def crown(self, number: str) -> None:
        """`number` becomes @champion, the former one @previous."""
        before = self.champions
        self.tracker.client.set_registered_model_alias(self.name, CHAMPION, number)
        self._remember([*(old for old in before if old != number), number])
        self.tracker.client.delete_model_version_tag(self.name, number, WITHDRAWN)
        self.tag(number, {"champion.since": now()})
        if before and before[-1] != number:
            self.tag(before[-1], {"champion.until": now(), "champion.followed_by": number})

    def roll_back(self) -> tuple[str, list[str]]:
        """The champion before the present one is champion again; returns who was withdrawn and the champions that are left.

        Again: one more step back. Raises InputError where there is none before it."""
        before = self.champions
        if not before:
            raise InputError(f"models:/{self.name} has no champion, so there is nothing to roll back{self._others()}")
        if len(before) < 2:
            raise InputError(f"version {before[-1]} is the first champion of {self.name}; there is none before it to go back to")
        gone, restored = before[-1], before[-2]
        self.tracker.client.set_registered_model_alias(self.name, CHAMPION, restored)
        self._remember(before[:-1])
        self.tag(gone, {WITHDRAWN: now(), "champion.until": now()})
        self.tag(restored, {"champion.since": now()})
        return gone, before[:-1]

    def say_rollback(self, gone: str, left: list[str]) -> str:
        more = f"one more rollback restores version {left[-2]}" if len(left) > 1 else "none is left before it"
        return f"version {gone} of {self.name} is withdrawn, version {left[-1]} is @champion again; {more}"

    def _remember(self, champions: list[str]) -> None:
        self.tracker.client.set_registered_model_tag(self.name, LIST, " ".join(champions[-REMEMBERED:]))
        if len(champions) > 1:
            self.tracker.client.set_registered_model_alias(self.name, PREVIOUS, champions[-2])
        elif PREVIOUS in self.aliases:
            self.tracker.client.delete_registered_model_alias(self.name, PREVIOUS)

    def _model(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self.tracker.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _others(self) -> str:
        names = registered_names(self.tracker)
        return f". Registered here: {', '.join(names)}" if names else "; `kedro run --pipeline=promote` makes one"


def registered_names(tracker: Tracker) -> list[str]:
    """Of the registered models that this project's promotions have made."""
    found = tracker.client.search_registered_models(filter_string=f"tags.{OURS} = 'ssl_pipelines'")
    return sorted(model.name for model in found)


def the_name(tracker: Tracker, given: str | None) -> str:
    """`given`, else the only one there is. Raises InputError where there are several, or `given` is none of them."""
    names = registered_names(tracker)
    if given is not None and given not in names:
        raise unknown("--name", given, names) if names else InputError(f"--name={given!r}: no model is registered here")
    if given is None and len(names) > 1:
        raise InputError(f"several models are registered here: give --name, one of {', '.join(names)}")
    return given or (names[0] if names else "encoder")


def rows_of(tracker: Tracker, name: str) -> list[dict[str, str]]:
    """The versions of one registered model, newest first, as the user reads them."""
    registry = Registry(tracker, name)
    aliases: dict[str, list[str]] = {}
    for alias, number in registry.aliases.items():
        aliases.setdefault(number, []).append(f"@{alias}")
    rows = []
    for version in reversed(registry.versions):
        tags, number = version.tags, str(version.version)
        low, _, high = tags.get(f"{METRIC}.interval", "").partition(" ")
        linear = f"{float(tags[METRIC]):.1%} [{float(low):.1%}, {float(high):.1%}]" if low else "not judged"
        verdict = f"withdrawn {tags[WITHDRAWN]}" if WITHDRAWN in tags else tags.get("verdict", "")
        made = dt.datetime.fromtimestamp(version.creation_timestamp / 1000, dt.UTC)
        rows.append(
            {
                "version": f"{name}/{number}",
                "alias": " ".join(sorted(aliases.get(number, []))),
                "method": tags.get("method", ""),
                "linear": linear,
                "data": f"{tags.get('data', '')} {tags.get('data.sha256', '')[:12]}".strip(),
                "commit": tags.get("git_commit", "")[:12],
                "date": f"{made:%Y-%m-%d %H:%M}",
                "verdict": verdict,
            }
        )
    return rows


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
