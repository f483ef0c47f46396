"""Speed beside a busy process: the process is busy on one core and ends with the measurement, and the rows say what was compared."""

from __future__ import annotations

import os

import psutil
import pytest

from benchmarks import __main__, busy, measure

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity masks")


def test_the_competitor_computes_on_its_core_until_the_end():
    core = max(os.sched_getaffinity(0))
    with busy.competitor(core) as number:
        other = psutil.Process(number)
        assert other.cpu_affinity() == [core]
        before = other.cpu_times().user
        while other.cpu_times().user == before:  # it works: this ends
            pass
    assert not psutil.pid_exists(number)


def test_rates_beside_it_over_rates_without(monkeypatch):
    running = []

    class Competitor:
        def __init__(self, core):
            assert core == 5

        def __enter__(self):
            running.append(True)

        def __exit__(self, *_):
            running.clear()

    class Apart:
        def __init__(self, work, *given):
            assert given == ("store", 3)
            self.work = work

        def __enter__(self):
            return lambda: 6.0 if running else 10.0

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(busy, "competitor", Competitor)
    monkeypatch.setattr(busy, "apart", Apart)
    found = busy.compared("busy_train", 5, 4, busy.train, ("store", 3), "three steps")
    assert (found.name, found.value, found.bar, found.verdict) == ("busy_train", 0.6, 0.45, "ok")
    assert found.detail == "4 pairs; 2 threads, one process busy on one of 2 cores; three steps: 6 against 10 images/s"
    assert not running


def test_what_is_measured_gives_a_rate(tmp_path):
    store = busy.photo_store(tmp_path, 400)
    model = busy.written_model(tmp_path / "model", store)
    assert min(busy.train(store, 1), busy.linear(200), busy.extract(store, model, 400)) > 0


def test_one_core_is_too_few(monkeypatch, capsys):
    monkeypatch.setattr(busy.os, "sched_getaffinity", lambda _: {0})
    assert busy.run(quick=True) == []
    assert "busy: left out" in capsys.readouterr().out


def test_make_bench_has_the_rows():
    assert "busy" in __main__.NAMES
    assert {name: bar.bar for name, bar in busy.BARS.items()} == dict.fromkeys(["busy_train", "busy_linear", "busy_extract"], 0.45)
    assert measure.PAIRS == 7
