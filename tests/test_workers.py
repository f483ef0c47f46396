"""The tests' own machinery: a worker for each core that may be used, and a folder that is made once for all of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests import conftest


def workers(monkeypatch, cores, asked="auto"):
    monkeypatch.setattr(conftest, "usable_cores", lambda: cores)
    return conftest.pytest_xdist_auto_num_workers(SimpleNamespace(option=SimpleNamespace(numprocesses=asked)))


def test_auto_is_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    assert [workers(monkeypatch, cores) for cores in (1, 2, 16)] == [0, 2, 16]
    assert workers(monkeypatch, 2, asked="logical") is None
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "3")
    assert workers(monkeypatch, 2) is None, "the user's word, which xdist reads itself"


def test_a_shared_folder_is_made_once_and_again_only_after_a_failure(made_once, tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        (folder / f"part {len(made)}").touch()
        if len(made) == 1:
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        made_once(tmp_path.name, make)
    first, second = made_once(tmp_path.name, make), made_once(tmp_path.name, make)
    assert first == second == made[0]
    assert len(made) == 2
    assert [path.name for path in first.iterdir()] == ["part 2"], "nothing is left of what failed"
