"""The MLflow store of the project: its URI, whether it answers, and how it is opened.

`python -m ssl_pipelines.orchestration.mlflow.tracking_store [MODEL]` prints the URI of the store, or of a model in it, for MLflow's own commands."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import urlopen

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.orchestration.mlflow import artifact_places
from ssl_pipelines.orchestration.paths import home_root

if TYPE_CHECKING:
    from mlflow import MlflowClient

VARIABLE, DATABASE = "MLFLOW_TRACKING_URI", "mlflow.db"
ANSWER = 5.0  # seconds for a server to answer
FREE = 30.0  # seconds for another program to free the database
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
MISREAD = set("%?#;")
SQLITE = re.compile(r"sqlite(\+\w+)?:///")


def tracking_uri() -> str:
    """What MLFLOW_TRACKING_URI says, else the database in the project's folder."""
    return os.environ.get(VARIABLE) or uri_of(home_root() / DATABASE)


def uri_of(database: Path) -> str:
    """sqlite:///<path>, as SQLAlchemy reads it: it decodes `%` and ends the path at `?`.

    A path that encoding changes is encoded with its separators, because MLflow makes the folders of a URI's text as it stands."""
    path = str(database)
    return f"sqlite:///{path if quote(path) == path else quote(path, safe='')}"


def database_of(uri: str) -> Path | None:
    """The file of an SQLite URI; None for a server, a folder, or a database in memory."""
    found = SQLITE.match(uri)
    path = unquote(uri[found.end() :].partition("?")[0]) if found else ""
    return Path(path).absolute() if path not in ("", ":memory:") else None


def shown(uri: str) -> str:
    """The URI for a message: a database's path in plain letters, and no password."""
    database = database_of(uri)
    if database is not None:
        return f"sqlite:///{database}"
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}"))


def locks_of(uri: str) -> Path:
    """The folder of the locks of this store: all who write to one database find the same."""
    database = database_of(uri)
    if database is not None and database.resolve().parent != home_root():  # several checkouts may share it
        return database.resolve().parent / ".locks"
    return home_root() / "data" / ".locks"


@contextlib.contextmanager
def alone_in(uri: str) -> Iterator[None]:
    """Nobody else makes tables or experiments in this store, or moves its artifacts, meanwhile."""
    with only_writer(locks_of(uri) / "mlflow.lock", wait=2 * FREE):
        yield


def check(uri: str) -> None:
    """Raises InputError, one line, within seconds where the store does not answer, or another program keeps the database locked."""
    database = database_of(uri)
    if database is not None:
        _check_database(database)
        return
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    try:
        if scheme in ("http", "https"):
            _check_server(uri)
        elif scheme in PORTS and parts.hostname:
            socket.create_connection((parts.hostname, parts.port or PORTS[scheme]), timeout=ANSWER).close()
            _check_login(uri, scheme)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{VARIABLE}={shown(uri)!r}: the MLflow store cannot be reached ({reason}); start it, or unset {VARIABLE} "
            f"to keep runs in {home_root() / DATABASE}"
        ) from None


def make_ready(uri: str) -> None:
    """The database of an SQLite store has its tables, and its artifacts lie where it lies now. Raises InputError where the store does not answer."""
    check(uri)
    database = database_of(uri)
    if database is None or artifact_places.in_place(database):
        return
    with alone_in(uri):  # MLflow itself makes its tables without a lock
        _connected(uri)
        artifact_places.put_in_place(database)


def client_of(uri: str) -> MlflowClient:
    """MLflow's client of a store that is made ready. Raises InputError, one line, where it cannot be had."""
    make_ready(uri)
    return _connected(uri)


@contextlib.contextmanager
def default_store(uri: str) -> Iterator[None]:
    """MLflow's own setting, for what takes no URI: logged models are looked for there, whatever the client's is.

    It is an environment variable, which the next command of this process would find: so it is put back."""
    import mlflow

    before = os.environ.get(VARIABLE)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]


def fault(error: BaseException) -> str | None:
    """One line for an error of MLflow that is the store's; None for any other."""
    text = " ".join(str(error).split())
    if "database is locked" in text:
        return f"MLflow: another program keeps the database of {shown(tracking_uri())} locked; end it and run the command again"
    if "API request to" in text and "failed with exception" in text:
        return f"MLflow: {shown(tracking_uri())} cannot be reached any more; run the command again once it answers"
    return None


def _connected(uri: str) -> MlflowClient:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(tracking_uri=uri)
    except (MlflowException, ImportError) as error:  # an unknown scheme, a database of another MLflow, a missing driver
        text = " ".join(str(error).split())
        raise InputError(f"{VARIABLE}={shown(uri)!r} cannot be opened by MLflow: {text[:300]}") from None


def _check_database(database: Path) -> None:
    if not database.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=FREE)) as opened:
            opened.execute("BEGIN IMMEDIATE")
            opened.rollback()
    except sqlite3.Error as error:
        if "readonly" in str(error):
            return  # enough to read from
        locked = f"another program has kept it locked for {FREE:.0f} s; end it, or wait" if "locked" in str(error) else str(error)
        raise InputError(f"the MLflow database {database} cannot be opened: {locked}") from None


def _check_server(uri: str) -> None:
    """Any answer will do, a refusal too: whether it lets us in is MLflow's to say."""
    anyone = ssl.create_default_context()  # nothing secret is sent here
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    parts = urlsplit(uri)
    place = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health"))
    try:
        urlopen(place, timeout=ANSWER, context=anyone).close()
    except HTTPError as answer:
        if answer.code in (502, 503, 504):
            raise OSError(f"its gateway says {answer.code} {answer.reason}") from None


def _check_login(uri: str, scheme: str) -> None:
    """MLflow tries a database that refuses a login for hours."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    limit = {"login_timeout": int(ANSWER)} if scheme == "mssql" else {"connect_timeout": int(ANSWER)}
    try:
        create_engine(uri, connect_args=limit).connect().close()
    except (SQLAlchemyError, ImportError) as error:
        raise OSError(str(getattr(error, "orig", None) or error).strip().splitlines()[0]) from None


def _to_serve(model: str, uri: str) -> str:
    """`model` as it is, or a copy in a temporary folder: below a folder with one of MISREAD in its name MLflow loads no model."""
    database = database_of(uri)
    if database is None or not MISREAD & set(str(database.resolve())):
        return model
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        with default_store(uri):
            return str(
                download_artifacts(artifact_uri=model, dst_path=mkdtemp(prefix="served-"), tracking_uri=uri, registry_uri=uri)
            )
    except (MlflowException, OSError) as error:
        raise InputError(f"MODEL={model!r} cannot be fetched from {shown(uri)} ({error})") from None


def main(model: str | None = None) -> None:
    """Prints the URI of the store, or that of `model` as MLflow's own commands can open it."""
    try:
        make_ready(uri := tracking_uri())
        print(uri if model is None else _to_serve(model, uri))
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
