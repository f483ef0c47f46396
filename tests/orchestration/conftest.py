"""What tests of tools share."""

from __future__ import annotations

import pytest

from ssl_pipelines.orchestration.session import Session, begin
from ssl_pipelines.orchestration.tracking import Tracker


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty project with an MLflow store of its own, and a session that listens."""
    import mlflow

    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    begin(Session(tracker=Tracker("kedro run", "abc123")))
    yield tmp_path
    mlflow.set_tracking_uri(None)
    begin(Session())
