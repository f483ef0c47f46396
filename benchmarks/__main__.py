"""Runs every benchmark in a process of its own, writes results/latest.json and docs/performance.md, ends with one line a bar."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["views", "ingest", "step", "train", "probe", "knn", "memory", "startup", "busy"]
PACKAGES = ["torch", "torchvision", "kornia", "lightly", "pytorch-lightning", "scikit-learn", "faiss-cpu", "mlflow", "kedro"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the sizes that the bars are stated for (an hour); else a quick form")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="these alone; other rows stay as they are")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        rows = import_module(f"benchmarks.{options.one}").run(not options.full)
        print(json.dumps([found.as_json() for found in rows]))
        return
    results = ROOT / "benchmarks" / "results" / "latest.json"
    kept = json.loads(results.read_text())["rows"] if results.is_file() and options.only != NAMES else []
    rows = []
    for name in options.only:
        rows += measured(name, options.full)
    fresh = {found["name"] for found in rows}
    rows = [found for found in kept if found["name"] not in fresh] + rows
    body = {"rows": rows, "form": "full" if options.full else "quick", **surroundings()}
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(body, indent=1) + "\n")
    (ROOT / "docs" / "performance.md").write_text(page(body))
    for found in rows:
        print(f"BAR {found['name']} {found['value']:g} {found['bar']:g} {found['verdict']}")


def measured(name: str, full: bool) -> list[dict[str, Any]]:
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks", "--one", name, *(["--full"] if full else [])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"benchmarks: {name} failed with exit code {done.returncode}")
    rows: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    for found in rows:
        print(f"{found['name']}: {found['value']:g} [{found['low']:g}, {found['high']:g}]; {found['detail']}", flush=True)
    print(f"  ({name}: {time.monotonic() - began:.0f} s)", flush=True)
    return rows


def surroundings() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    dirty = bool(subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout.strip())
    return {
        "hardware": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {"python": platform.python_version()} | {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit + ("+dirty" if dirty else ""),
        "date": time.strftime("%Y-%m-%d"),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # a peer that this machine can do without
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def page(body: dict[str, Any]) -> str:
    lines = [
        "# Performance",
        "",
        "Made by `make bench`; every figure is a ratio within one run: ours and the peer take turns, the median of the pairs is given",
        "with the smallest and the largest. A bar is short where even the better end misses it. The rows `busy_` compare ours beside a process that",
        "keeps one of two cores busy with ours in quiet, so half is what is left.",
        "",
        "| what | ratio | smallest to largest | bar | | how |",
        "|---|---|---|---|---|---|",
    ]
    for found in body["rows"]:
        sign = "≥" if found["better"] == "more" else "≤"
        lines.append(
            f"| {found['name']} | {found['value']:g}{found['unit']} | {found['low']:g} to {found['high']:g} | {sign} {found['bar']:g} "
            f"| {found['verdict']} | {found['detail']} |"
        )
    hardware, versions = body["hardware"], ", ".join(f"{name} {number}" for name, number in body["versions"].items())
    lines += [
        "",
        f"{body['form']} form, {hardware['processor']}, {hardware['cores']} cores, {body['date']}, commit {body['commit'][:12]}.",
    ]
    return "\n".join([*lines, f"Versions: {versions}.", ""])


if __name__ == "__main__":
    main()
