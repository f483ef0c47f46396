"""What a room sets up before it computes."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
import torch

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
