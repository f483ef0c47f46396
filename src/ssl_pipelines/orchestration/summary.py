"""The last screen of a run: results beside their baselines, time per stage, what to open next."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ssl_pipelines.artifacts import read_json
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.session import Session
from ssl_pipelines.orchestration.stages import project_stages

ROWS = (
    ("linear probe", "linear", "top1", (("random init", "random_init_top1"), ("raw pixels", "raw_pixels_top1"))),
    ("kNN", "knn", "top1", (("random init", "random_init_top1"), ("raw pixels", "raw_pixels_top1"))),
    ("fine-tuned", "finetune", "top1", (("from scratch", "from_scratch_top1"),)),
)


def print_summary(session: Session) -> None:
    """To standard output; results only where the report was part of the command."""
    console = Console(highlight=False)
    if not session.seconds:
        return
    reporting = project_root() / project_stages()["report"].folder
    if "report" in session.seconds and (reporting / "metrics.json").is_file():
        _results(console, read_json(reporting / "metrics.json"))
    _times(console, session)
    for stage, reason in session.skipped.items():
        console.print(f"{stage} was skipped: {reason}", soft_wrap=True)
    _next_steps(console, session)


def _results(console: Console, metrics: dict) -> None:
    table = Table(
        title=f"{metrics['method']} on {metrics['dataset']['name']}, top-1 on the test images [95% interval]",
        title_justify="left",
        box=None,
    )
    for column in ("", "this encoder", "baselines"):
        table.add_column(column)
    for title, block, key, baselines in ROWS:
        scores = metrics.get(block)
        if not scores or key not in scores:
            continue
        beside = ", ".join(f"{name} {scores[other]:.1%}" for name, other in baselines if other in scores)
        table.add_row(title, f"{scores[key]:.1%} [{scores[f'{key}_low']:.1%}, {scores[f'{key}_high']:.1%}]", beside)
    if table.row_count:
        console.print()
        console.print(table)


def _times(console: Console, session: Session) -> None:
    parts = [f"{name} {'up to date' if seconds is None else f'{seconds:.0f} s'}" for name, seconds in session.seconds.items()]
    console.print()
    console.print(f"time per stage: {', '.join(parts)}", soft_wrap=True)


def _next_steps(console: Console, session: Session) -> None:
    root, stages = project_root(), project_stages()
    paths = {
        "report": (f"{stages['report'].folder}/report.html", "open in a browser"),
        "validate": (f"{stages['validate'].folder}/validation.html", "what was found in the data"),
        "pretrain": (f"{stages['pretrain'].folder}/encoder.safetensors", "the encoder"),
        "few_labels": (f"{stages['few_labels'].folder}/few_labels.html", "whether pretraining is worth it"),
    }
    for stage, (path, words) in paths.items():
        if stage in session.seconds and (root / path).exists():
            console.print(f"  {path}  {words}", soft_wrap=True)
    if (root / "mlflow.db").exists():
        console.print("  make ui  every run, in the MLflow UI", soft_wrap=True)
