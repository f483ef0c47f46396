"""Anonymous memory of pretraining from a large store over that from a small one: it must not grow with the data."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import PAIRS, Bar, Row, row, turns
from benchmarks.stores import photo_store

BAR = Bar("memory", 1.15, "less")
FEW = 3  # of the quick form: memory is repeatable to a percent

CHILD = """
import sys, threading, time
from pathlib import Path
import torch
from benchmarks.stores import simclr_loop
from ssl_pipelines.training.runtime import RuntimeConfig, set_up

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
set_up(RuntimeConfig())
loop = simclr_loop(Path(sys.argv[1]), "resnet_small", 12, 64)
for step in range(12):
    loop.run_step(step)
loop.feed.close()
running[0] = False
print(peak[0])
"""


def run(quick: bool) -> list[Row]:
    sizes = {"small": 20_000, "large": 400_000}
    with tempfile.TemporaryDirectory() as folder:
        stores = {name: photo_store(Path(folder) / name, size) for name, size in sizes.items()}
        works = {name: partial(_peak, store) for name, store in stores.items()}
        found = turns(works, FEW if quick else PAIRS, warm=False)
    return [row(BAR, found["large"], found["small"], "stores of {large:,} and {small:,} images".format(**sizes), "MB")]


def _peak(store: Path) -> float:
    found = subprocess.run([sys.executable, "-c", CHILD, str(store)], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[-1]) / 1e6
