"""What tests of tools share."""

from __future__ import annotations

import pytest

from ssl_pipelines.orchestration.mlflow.tracking import Tracker


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty project with an MLflow store of its own."""
    import mlflow

    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    mlflow.set_tracking_uri(None)


@pytest.fixture
def tracker(home):
    """Of a command that runs in `home`."""
    return Tracker("kedro run", "abc123")
