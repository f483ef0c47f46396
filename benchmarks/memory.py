"""Anonymous memory of pretraining from a large store over that from a small one: it must not grow with the data."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Bar, Row, row
from benchmarks.stores import photo_store

BAR = Bar("memory", 1.15, "less")
PAIRS = 3  # memory is repeatable to a percent

CHILD = """
import sys, threading, time
from pathlib import Path
import torch
from benchmarks.stores import simclr_loop

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

peak, running = [0], [True]
def watch():
    while running[0]:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
loop = simclr_loop(Path(sys.argv[1]), "resnet_small", 12, 64)
for step in range(12):
    loop.run_step(step)
loop.feed.close()
running[0] = False
print(peak[0])
"""


def run(quick: bool) -> list[Row]:
    sizes = (20_000, 400_000)
    with tempfile.TemporaryDirectory() as folder:
        stores = [photo_store(Path(folder) / str(size), size) for size in sizes]
        peaks = [[_peak(store) for store in stores] for _ in range(PAIRS)]
    detail = (
        f"stores of {sizes[0]:,} and {sizes[1]:,} images: peak RssAnon {peaks[0][0] / 1e6:,.0f} and {peaks[0][1] / 1e6:,.0f} MB"
    )
    return [row(BAR, [large / small for small, large in peaks], detail)]


def _peak(store: Path) -> int:
    found = subprocess.run([sys.executable, "-c", CHILD, str(store)], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[-1])
