"""The model card: what an exported encoder is, what it is worth and for what not, and how to load it. Mitchell et al. 2019,
arXiv:1810.03993."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ssl_pipelines.artifacts import new_file
from ssl_pipelines.evaluation.protocols import said
from ssl_pipelines.reporting.results import is_share

WORDS = {
    "linear": "linear probe",
    "knn": "nearest neighbors",
    "finetune": "fine-tuned",
    "top1": "top-1",
    "random_init_top1": "top-1 of random initialization",
    "raw_pixels_top1": "top-1 of raw pixels",
    "from_scratch_top1": "top-1 of training from scratch",
    "gain": "gain over the baseline",
}


def write_model_card(path: Path, rows: Sequence[Mapping[str, Any]], **facts: Any) -> None:
    """`rows`: scores {metric, value, low, high, protocol, chosen}, shares alone; `facts`: what the template names."""
    scores = [_row(row) for row in rows if is_share(str(row["metric"]))]
    protocols = {row["metric"]: said(row) for row in rows if str(row["metric"]).endswith(".top1") and row.get("protocol")}
    folder = Path(__file__).parent / "templates"
    # A card is Markdown: its own dialect would be spoiled by HTML escapes.
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("model_card.md.j2").render(scores=scores, protocols=protocols, **facts)
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")


def _row(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """("linear probe, top-1", "94.2 %", "92.6 to 95.5")"""
    room, _, name = str(row["metric"]).partition(".")
    gain = name.endswith("gain")
    sign, unit = ("+", " points") if gain else ("", " %")
    low, high = row.get("low"), row.get("high")
    span = "" if low is None or high is None else f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"
    return f"{WORDS.get(room, room)}, {WORDS.get(name, name)}", f"{100 * row['value']:{sign}.1f}{unit}", span
