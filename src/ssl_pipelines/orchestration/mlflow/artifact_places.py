"""Where an SQLite store keeps its artifacts: beside the database. MLflow writes absolute places into its tables; they follow a project that
was renamed, copied, or mounted elsewhere, so that a copy reads and writes its own files."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ssl_pipelines.orchestration.paths import home_root

EXPERIMENT, ARTIFACTS = "ssl_pipelines", "mlartifacts"
TAG, BESIDE = "ssl_pipelines.artifacts", "beside the database"  # of the experiment
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
log = logging.getLogger("ssl_pipelines")


def place_of(database: Path) -> str:
    """The URI of the folder that holds the artifacts of this database's runs."""
    return (database.resolve().parent / ARTIFACTS).as_uri()


def in_place(database: Path) -> bool:
    """Whether the experiment stands in the database and its artifacts lie where the database says."""
    with contextlib.closing(_opened(database)) as opened:
        known = _known(opened)
    return known is not None and not _moved(database, *known)


def put_in_place(database: Path) -> None:
    """Points everything that lay beside the database to where the database lies now. The caller holds the lock."""
    with contextlib.closing(_opened(database)) as opened, opened:
        opened.execute("BEGIN IMMEDIATE")
        known = _known(opened)
        if known is None or not _moved(database, *known):
            return
        before, after = (place.removesuffix(f"/{ARTIFACTS}") for place in (known[0], place_of(database)))
        for old, new in ((before, after), (_path(before), _path(after))):
            for table, column in COLUMNS:
                if column in _columns(opened, table):
                    opened.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
                    )
        opened.execute(
            "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) SELECT ?, ?, experiment_id FROM experiments WHERE name = ?",
            (TAG, BESIDE, EXPERIMENT),
        )
    log.debug("MLflow: artifacts of %s are read from %s now", _path(before), _path(after))  # --json prints to the same screen


def _moved(database: Path, place: str, beside: bool) -> bool:
    """A store in the project's folder has its artifacts beside it, whether a tag says so or not: older ones have none."""
    ours = beside or database.resolve().parent == home_root()
    return ours and place.endswith(f"/{ARTIFACTS}") and place != place_of(database)


def _known(opened: sqlite3.Connection) -> tuple[str, bool] | None:
    """(place of the experiment's artifacts, whether it is tagged as beside the database); None where there is no such experiment yet."""
    if not _columns(opened, "experiments"):
        return None
    found = opened.execute("SELECT artifact_location, experiment_id FROM experiments WHERE name = ?", (EXPERIMENT,)).fetchone()
    if found is None:
        return None
    tag = opened.execute("SELECT value FROM experiment_tags WHERE experiment_id = ? AND key = ?", (found[1], TAG)).fetchone()
    return str(found[0]), tag is not None


def _opened(database: Path) -> sqlite3.Connection:
    """A database that is not there is read as an empty one: to look is no reason to make a file."""
    return sqlite3.connect(database if database.exists() else ":memory:", timeout=30)


def _columns(opened: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in opened.execute(f"PRAGMA table_info({table})")}


def _path(place: str) -> str:
    return unquote(urlsplit(place).path)
