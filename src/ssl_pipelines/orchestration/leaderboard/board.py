"""The whole board: which rows stand, which are made, and the page after each of them."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from ssl_pipelines.algorithms.intervals import span
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.orchestration.leaderboard.budgets import BUDGETS, NO_RANK, Budget, all_methods, check_method
from ssl_pipelines.orchestration.leaderboard.data import open_store
from ssl_pipelines.orchestration.leaderboard.jobs import Job, write_bug
from ssl_pipelines.orchestration.leaderboard.plans import Plan, plan, stale
from ssl_pipelines.orchestration.leaderboard.processes import in_own_process, in_words
from ssl_pipelines.reporting.leaderboard import PAGE, ROWS, Row, Section, read_rows, write_board

log = logging.getLogger("ssl_pipelines")
REASONS = "reasons.yml"  # beside the budgets' folders; written by hand
Reasons = dict[str, dict[str, str]]  # budget -> method -> why it misses


def run(
    methods: Sequence[str],
    budget: Budget,
    data: str,
    docs: Path,
    work: Path,
    *,
    redo: bool = False,
    start: Callable[[Job], None] = in_own_process,
) -> list[Row]:
    """The rows of `methods`, each made unless it stands and is fresh; the page is written after each. One that fails ends itself alone."""
    for method in methods:
        check_method(method)
    read_reasons(docs)  # refused before hours of work, not after
    work.mkdir(parents=True, exist_ok=True)
    with only_writer(work / "leaderboard.lock"):
        board = _Board(budget, data, docs, work, set(methods) if redo else set(), start)
        return [board.row(method) for method in methods]


class _Board:
    def __init__(self, budget: Budget, data: str, docs: Path, work: Path, redo: set[str], start: Callable[[Job], None]):
        self.budget, self.data, self.docs, self.work, self.redo, self.start = budget, data, docs, work, redo, start
        self.store = open_store(budget, data, work)
        self.rows: dict[str, Row] = {}  # settled in this run

    def row(self, method: str) -> Row:
        if method not in self.rows:
            settled = self._settled(method)
            self.rows[method] = next(row for row in write_page(self.docs, self.budget) if row.name == settled.name)
        return self.rows[method]

    def _settled(self, method: str) -> Row:
        """Never raises for what is the method's own."""
        known = next((row for row in read_rows(self.docs) if row.name == (self.budget.name, method)), None)
        job = Job(method, self.budget.name, self.store.name, {}, "", "", "", "", "", str(self.docs))
        began = time.monotonic()
        try:
            planned = self._plan(method)
            job = self._job(planned)
            reason = "made again as asked" if known and method in self.redo else planned.why_remade(known)
            if reason is None:
                assert known is not None
                log.info("leaderboard: %s: up to date", method)
                return known
            log.info("leaderboard: %s: %s", method, reason)
            for donor in planned.donors.values():
                self._ensure_model(donor)
            self._forget_others(planned, everything=method in self.redo)
            self.start(job)
            made = next(row for row in read_rows(self.docs) if row.name == (self.budget.name, method))
            gained = f"gain {100 * (made.gain or 0):+.1f}, linear {made.linear_top1:.1%}, kNN {made.knn_top1:.1%}"
            log.info("leaderboard: %s: %s: %s, in %.0f s", method, made.verdict, gained, time.monotonic() - began)
            return made
        except Exception as error:
            log.error("leaderboard: %s: %s", method, in_words(error))
            return write_bug(job, self.budget.seed, in_words(error))

    def _plan(self, method: str) -> Plan:
        return plan(method, self.budget, self.data, self.store.sha256, self.work)

    def _job(self, planned: Plan, *, model_only: bool = False) -> Job:
        return Job.of(planned, self.budget.name, self.store.name, self.store.folder, self.docs, model_only=model_only)

    def _ensure_model(self, donor: Plan) -> None:
        """The model of a finished row, trained again where the row stands and the model has gone; or that of a method without a rank."""
        if donor.method in NO_RANK:
            if not donor.has_model:
                log.info("leaderboard: %s: trained first, %s", donor.method, NO_RANK[donor.method])
                self._forget_others(donor, everything=False)
                try:
                    self.start(self._job(donor, model_only=True))
                except Exception as error:
                    raise _without(donor, in_words(error)) from error
            return
        row = self.row(donor.method)
        if row.verdict == "bug":
            raise _without(donor, row.reason)
        if not donor.has_model:
            log.info("leaderboard: %s: its row stands, its model is trained again", donor.method)
            self.start(self._job(donor, model_only=True))

    def _forget_others(self, planned: Plan, *, everything: bool) -> None:
        """What former contents or codes of this row have left; on redo its own, too."""
        for place in planned.place.parent.glob(f"{planned.method}-*"):
            if everything or place != planned.place:
                shutil.rmtree(place)


def _without(donor: Plan, reason: str | None) -> InputError:
    return InputError(f"it stands on a run of {donor.method}, which has none: {reason}")


def write_page(docs: Path, current: Budget | None = None) -> list[Row]:
    """leaderboard.md, leaderboard.json and the pictures from the rows that stand, with the reasons as they are written today."""
    reasons, rows = read_reasons(docs), []
    for row in read_rows(docs):
        reasoned = row.model_copy(update={"reason": reason_of(row, reasons)})
        if reasoned != row:
            reasoned.write(docs)
        rows.append(reasoned)
    budgets = BUDGETS | ({current.name: current} if current else {})
    there = {row.name for row in rows}
    sections = [
        Section(name, budget.title, budget.protocol, [method for method in all_methods() if (name, method) not in there])
        for name, budget in budgets.items()
    ]
    write_board(docs, rows, stale(rows), sections)
    return rows


def reason_of(row: Row, reasons: Reasons) -> str | None:
    """A bug's is what it said, a miss's is written by hand or the numbers', one that learns needs none."""
    if row.verdict != "miss":
        return row.reason if row.verdict == "bug" else None
    written = reasons.get(row.budget, {}).get(row.method)
    if written is not None or row.gain is None or row.gain_low is None or row.gain_high is None:
        return written or row.reason
    interval = f"its gain is {100 * row.gain:+.1f} points, 95% interval {span(row.gain_low, row.gain_high)}"
    return f"{interval}: {'worse than its random initialization' if row.gain_high < 0 else 'no gain shown'}"


def read_reasons(docs: Path) -> Reasons:
    """docs/leaderboard/reasons.yml. Raises InputError for one that names no method, or is no mapping of them."""
    path = docs / ROWS / REASONS
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(block, dict | None) for block in found.values()):
        raise InputError(f"{path}: blocks of budget: {{method: reason}} are expected")
    for block in found.values():
        for method in block or {}:
            if method not in TABLE:
                raise unknown(f"{path}: method", method, TABLE)
    return {
        str(budget): {method: " ".join(str(text).split()) for method, text in (block or {}).items()}
        for budget, block in found.items()
    }


def last_words(rows: Sequence[Row], docs: Path) -> str:
    """One line of what came out."""
    names = {verdict: [row.method for row in rows if row.verdict == verdict] for verdict in ("learns", "miss", "bug")}
    parts = [f"{len(names['learns'])} of {len(rows)} learn"]
    parts += [f"{verdict}: {', '.join(names[verdict])}" for verdict in ("miss", "bug") if names[verdict]]
    return f"leaderboard: {'; '.join(parts)}; see {docs / PAGE}"
