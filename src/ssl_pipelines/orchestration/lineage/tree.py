"""A trace as a tree to read, and as JSON."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from ssl_pipelines.artifacts.code import EARLIER
from ssl_pipelines.orchestration.lineage.trace import Link, Trace
from ssl_pipelines.reporting.results import is_share

MARKS = {
    "holds": ("green", "holds"),
    "stale": ("yellow", "stale"),
    "missing": ("red", "missing"),
    "unknown": ("magenta", "not known"),
}
LONG_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")  # whole in the JSON
SHOWN = 3  # definitions that have changed


def print_trace(trace: Trace) -> None:
    console = Console(highlight=False)
    tree = Tree(_headline(trace))
    for link in trace.links:
        branch = tree.add(_title(link))
        for name, value in link.facts.items():
            branch.add(f"[dim]{name}[/]  {escape(LONG_DIGEST.sub(_shortened, value))}")
        if link.code == (EARLIER,):
            branch.add(f"[yellow]code[/] {EARLIER}, so it cannot be compared")
        elif link.code:
            more = f" and {len(link.code) - SHOWN} more" if len(link.code) > SHOWN else ""
            branch.add(f"[yellow]code changed since[/] in {escape(', '.join(link.code[:SHOWN]))}{more}")
    console.print(tree)
    console.print("\nTo get it again, in a fresh clone:")
    for line in trace.reproduce:
        console.print(f"  {escape(line)}", soft_wrap=True)


def _shortened(digest: re.Match[str]) -> str:
    return f"{digest[0][:16]}…"


def as_json(trace: Trace) -> dict[str, Any]:
    """metric, the score, all parameters, `links` from the number to the raw files, and the lines that get it again."""
    links = [
        {
            "title": link.title,
            "place": link.place,
            "state": link.state,
            "why": link.why,
            "facts": dict(link.facts),
            "code_changed": list(link.code),
        }
        for link in trace.links
    ]
    about = {"metric": trace.metric, "score": dict(trace.score), "parameters": dict(trace.parameters)}
    return about | {"links": links, "reproduce": list(trace.reproduce)}


def _headline(trace: Trace) -> str:
    value, low, high = (trace.score.get(key) for key in ("value", "low", "high"))
    if value is None:
        return f"[bold]{trace.metric}[/]  no value"
    text = (lambda number: f"{number:.2%}") if is_share(trace.metric) else (lambda number: f"{number:.5g}")
    span = "" if low is None or high is None else f"  [dim]95% interval {text(low)} to {text(high)}[/]"
    return f"[bold]{escape(trace.metric)}  {text(value)}[/]{span}"


def _title(link: Link) -> str:
    color, word = MARKS[link.state]
    why = f": {escape(link.why)}" if link.why else ""
    return f"[bold]{link.title}[/]  {escape(link.place)}  [{color}]{word}[/]{why}"
