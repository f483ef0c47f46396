"""A store outside the rooms: made once, made anew for other files or settings, judged anew for other thresholds, refused behind its gate."""

from __future__ import annotations

import numpy as np
import pytest

from projects import write_digits
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import DatasetConfig
from ssl_pipelines.orchestration.validation import judged_store
from ssl_pipelines.orchestration.validation.config import ValidateConfig
from ssl_pipelines.orchestration.validation.judged_store import open_judged


@pytest.fixture
def calls(monkeypatch):
    """What was really done."""
    made = []

    def counted(name):
        real = getattr(judged_store, name)

        def call(*arguments):
            made.append(name)
            return real(*arguments)

        monkeypatch.setattr(judged_store, name, call)

    # Its pictures take longer than all the rest.
    monkeypatch.setattr("ssl_pipelines.reporting.validation_page.write_validation_page", lambda path, *_: path.write_text("page"))
    counted("ingest")
    counted("validate")
    return made


def opened(folder, calls, size=12, **checks):
    calls.clear()
    config = DatasetConfig(reader="npz", root=str(folder / "digits.npz"), size=size)
    return open_judged(config, 0, folder / "kept", ValidateConfig.of(checks, "gate"), 1, "here")


def test_made_once_and_anew_where_something_changed(tmp_path, calls):
    write_digits(tmp_path / "digits.npz", 120)
    first = opened(tmp_path, calls)
    assert calls == ["ingest", "validate"]
    assert opened(tmp_path, calls).sha256 == first.sha256
    assert calls == []
    opened(tmp_path, calls, images={"min": 40})
    assert calls == ["validate"]
    assert opened(tmp_path, calls, size=16).view_size == 16
    assert calls == ["ingest", "validate"]
    write_digits(tmp_path / "digits.npz", 121)
    assert len(opened(tmp_path, calls, size=16).manifest) == 121
    assert calls == ["ingest", "validate"]


def test_a_closed_gate_is_closed_every_time_and_opens_by_its_threshold(tmp_path, calls):
    write_digits(tmp_path / "digits.npz", 120)
    for done in (["ingest", "validate"], []):
        with pytest.raises(InputError, match=r"here: the data does not pass the gate: .*121"):
            opened(tmp_path, calls, images={"min": 121, "severity": "critical"})
        assert calls == done
    assert (tmp_path / "kept/gate/validation.html").is_file()
    opened(tmp_path, calls, images={"min": 121, "severity": "warning"})
    assert calls == ["validate"]


def test_a_reading_that_fails_leaves_nothing(tmp_path, calls):
    np.savez(tmp_path / "digits.npz", images=np.zeros((0, 8, 8), np.uint8))
    with pytest.raises(InputError):
        opened(tmp_path, calls)
    assert not list(tmp_path.glob("kept*"))
