"""What an accelerator reaches: SimCLR with ResNet-18 at 32 px and ResNet-50 at 224 px, compiled and not, against bare forward and
backward passes on ready views and against the device's own matrix products. `make bench-gpu`; writes results/<device>.json."""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.__main__ import ROOT, surroundings
from benchmarks.stores import photo_store, simclr_loop
from ssl_pipelines.methods.base import Method
from ssl_pipelines.training.loop import Loop
from ssl_pipelines.training.runtime import RuntimeConfig, device_of
from ssl_pipelines.views import Batch

BAR = 0.9  # of the bare rate that the whole loop is to reach
PAIRS = 7


@dataclass(frozen=True, slots=True)
class Size:
    backbone: str
    pixels: int
    images: int  # in the store
    batch: int
    steps: int  # of a stretch


SIZES = [Size("resnet18", 32, 50_000, 512, 40), Size("resnet50", 224, 4_096, 512, 6)]
TINY = [Size("resnet_small", 32, 256, 64, 2)]  # to see that all of this runs, anywhere


class Bare:
    """Forward, backward and step on one ready batch, again and again."""

    def __init__(self, loop: Loop, batch: Batch):
        self.loop, self.batch, self.clock = loop, batch, loop.clock(0)
        self.optimizer = loop.optimizers["main"][0]

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.loop.device.type, torch.bfloat16):
            loss = self.loop.method.loss(self.batch, self.clock).loss
        loss.backward()
        self.optimizer.step()


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matmul_flops(device: torch.device, side: int) -> float:
    """bf16 FLOP/s of the best of ten square products."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    a @ b
    return 2 * side**3 / min(seconds(lambda: a @ b, device) for _ in range(10))


def flops_of(method: Method, batch: Batch, loop: Loop) -> int:
    """Of one forward and backward pass, counted operator by operator, before anything is compiled."""
    with FlopCounterMode(display=False) as counter, torch.autocast(loop.device.type, torch.bfloat16):
        method.loss(batch, loop.clock(0)).loss.backward()
    method.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())


def measure(size: Size, device: torch.device, peak: float, *, compiled: bool) -> dict[str, Any]:
    total = size.steps * (PAIRS + 2)
    with tempfile.TemporaryDirectory() as folder:
        store = photo_store(Path(folder), size.images, size.pixels, distinct=2_000)
        loop = simclr_loop(store, size.backbone, total, size.batch, device=device, precision="bf16")
        loop.method.train()
        [batch] = loop.feed.batches(0, total)
        flops = flops_of(loop.method, batch, loop)
        if compiled:
            loop.method.encoder.compile()
        bare = Bare(loop, batch)
        steps = iter(range(total))
        stretch = {
            "loop": lambda: [loop.run_step(next(steps)) for _ in range(size.steps)],
            "bare": lambda: [bare.step() for _ in range(size.steps)],
            "views": lambda: [loop.feed.batches(0, 1) for _ in range(size.steps)],
        }
        for work in stretch.values():  # compilers and allocators are nobody's merit
            work()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        found: dict[str, list[float]] = {name: [] for name in stretch}
        for _ in range(PAIRS):
            for name, work in stretch.items():
                found[name].append(seconds(work, device) / size.steps)
        loop.feed.close()
    shares = [b / a for a, b in zip(found["loop"], found["bare"], strict=True)]
    return {
        "name": f"simclr_{size.backbone}_{size.pixels}{'_compiled' if compiled else ''}",
        "batch": size.batch,
        "images_per_second": size.batch / median(found["loop"]),
        "views_per_second": 2 * size.batch / median(found["views"]),
        "share_of_bare": median(shares),
        "share_low": min(shares),
        "share_high": max(shares),
        "bar": BAR,
        "verdict": "ok" if max(shares) >= BAR else "short",
        "flops_per_second": flops / median(found["loop"]),
        "share_of_matmul_peak": flops / median(found["loop"]) / peak,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a smoke run, on any machine; nothing is written")
    options = parser.parse_args()
    device = device_of(RuntimeConfig())
    if device.type != "cuda" and not options.tiny:
        raise SystemExit(f"benchmarks: no GPU here ({device.type}); --tiny runs anywhere")
    peak = matmul_flops(device, 512 if options.tiny else 8192)
    rows = []
    for size in TINY if options.tiny else SIZES:
        for compiled in [False] if options.tiny else [False, True]:
            rows.append(measure(size, device, peak, compiled=compiled))
            print(json.dumps(rows[-1]), flush=True)
    if options.tiny:
        return
    name = torch.cuda.get_device_name(device)
    body = {"device": name, "matmul_flops_per_second": peak, "rows": rows, **surroundings()}
    path = ROOT / "benchmarks" / "results" / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.json"
    path.write_text(json.dumps(body, indent=1) + "\n")
    for found in rows:
        print(f"BAR {found['name']} {found['share_of_bare']:.3f} {BAR} {found['verdict']}")


if __name__ == "__main__":
    main()
