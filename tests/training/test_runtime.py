"""What a room sets up before it computes."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
import torch

from ssl_pipelines.training.loop import Pace
from ssl_pipelines.training.runtime import RuntimeConfig, set_up

FAULTS = """
import resource, sys, torch
from ssl_pipelines.training.runtime import RuntimeConfig, set_up
if sys.argv[1] == "set_up":
    set_up(RuntimeConfig())
for _ in range(30):  # until the heap has its holes
    torch.ones(16 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(16 * 2**20)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() // 2**20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="glibc's allocator alone is set")
def test_freed_memory_is_used_again() -> None:
    """5 tensors of 64 MiB: glibc alone takes all 320 MiB anew from the system, page by page."""

    def faulted(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faulted("set_up") < 16 < faulted("nothing")


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        assert set_up(RuntimeConfig(threads=1, accelerator="cpu")) == torch.device("cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


GROW = """
import torch
from ssl_pipelines.training.runtime import peak_memory
before = peak_memory(torch.device("cpu"))
block = b"1" * 200_000_000
del block
print(peak_memory(torch.device("cpu")) - before)
"""


def test_peak_memory_keeps_what_was_freed_and_is_the_process_own() -> None:
    ballast = b"1" * 400_000_000  # of the parent: none of the child's business
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    assert 150e6 < int(done.stdout) < 300e6
    del ballast


def test_the_pace_of_a_resumed_training_counts_all_its_sittings(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("ssl_pipelines.training.loop.time.monotonic", lambda: now[0])
    pace = Pace(64, steps=10, seconds=5.0)
    now[0] += 5.0
    for _ in range(10):
        pace.tick()
    assert (pace.elapsed(), pace.overall()) == (10.0, 128.0)
    assert pace.lap() == 128.0
