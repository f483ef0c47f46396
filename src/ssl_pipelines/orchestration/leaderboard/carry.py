"""Rows that survive an honest change: what a row measured still holds where the code of then and of now train to the same bits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from joblib import cpu_count

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.orchestration.leaderboard.board import write_page
from ssl_pipelines.orchestration.leaderboard.budgets import Budget, check_method
from ssl_pipelines.orchestration.leaderboard.data import open_store
from ssl_pipelines.orchestration.leaderboard.plans import plan
from ssl_pipelines.orchestration.leaderboard.processes import in_words
from ssl_pipelines.orchestration.leaderboard.trial import EPOCHS, SAMPLES, Evidence, Tree, present_commit, tree_of, write_trial_data
from ssl_pipelines.reporting.leaderboard import Proof, Row, read_rows

log = logging.getLogger("ssl_pipelines")
LANES = 4  # trials side by side, of a thread and some 2 GB of memory each, as far as there are cores
Train = Callable[[Tree, str, str, Path, Path], Evidence]  # tree, method, budget, data, work


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of one row, and why."""

    method: str
    what: Literal["up to date", "carried", "to be retrained"]
    why: str = ""


def carry(
    methods: Sequence[str], budget: Budget, data: str, docs: Path, work: Path, commit: str, *, train: Train = Tree.train
) -> list[Carried]:
    """Each stale row of `methods` keeps its numbers, and gets today's digests with the proof, where it was fresh at `commit` and the code
    of both commits, on the same small data and one thread, ends in equal weights, history and scores.

    Raises InputError for a commit that is not there, or whose code does not run at all."""
    for method in methods:
        check_method(method)
    work.mkdir(parents=True, exist_ok=True)
    with only_writer(work / "leaderboard.lock"):
        place = work / "carry"
        then, now = tree_of(commit, place), tree_of(present_commit(), place)
        store = open_store(budget, data, work)
        rows = {row.method: row for row in read_rows(docs) if row.budget == budget.name and row.method in methods}
        wanted = {method: plan(method, budget, data, store.sha256, work) for method in rows}
        stale = [method for method, row in rows.items() if not wanted[method].is_fresh(row)]
        expected = then.expects(budget.name, stale, data, store.sha256) if stale else {}
        small = place / f"data-{digest([store.sha256, SAMPLES])[:8]}"
        if stale:
            write_trial_data(store, small)

        def settle(method: str, board: str) -> Carried:
            if method not in rows:
                return Carried(method, "to be retrained", "it has no row")
            if method not in stale:
                return Carried(method, "up to date")
            try:
                _check_then(rows[method], expected[method], then)
                proof = _prove(method, budget.name, (then, now), small, place, board, train)
            except InputError as problem:
                return Carried(method, "to be retrained", in_words(problem))
            digests = {"fingerprint": wanted[method].fingerprint, "code": wanted[method].code}
            rows[method].model_copy(update=digests | {"proofs": (*rows[method].proofs, proof)}).write(docs)
            return Carried(method, "carried", f"equal weights, history and scores after {proof.samples_seen:,} samples")

        def lane(number: int) -> list[Carried]:
            found = []
            for method in list(methods)[number::lanes]:
                found.append(settle(method, f"board-{number}-of-{lanes}"))
                log.info("leaderboard: %s: %s%s", method, found[-1].what, f": {found[-1].why}" if found[-1].why else "")
            return found

        lanes = min(LANES, cpu_count(only_physical_cores=True), len(methods))
        with ThreadPoolExecutor(max_workers=lanes) as pool:
            found = {one.method: one for part in pool.map(lane, range(lanes)) for one in part}
        write_page(docs, budget)
        return [found[method] for method in methods]


def _check_then(row: Row, expected: Any, then: Tree) -> None:
    """Raises InputError for a row that did not come from the code, parameters and data of `then`."""
    if row.verdict == "bug":
        raise InputError("its row is a bug, which has no numbers")
    if isinstance(expected, str):
        raise InputError(f"commit {then.commit[:12]} cannot make it: {expected}")
    if expected != [row.fingerprint, row.code]:
        what = "parameters or data" if expected[0] != row.fingerprint else "code"
        raise InputError(f"its row was made from other {what} than those of commit {then.commit[:12]}")


def _prove(method: str, budget: str, trees: tuple[Tree, Tree], data: Path, place: Path, board: str, train: Train) -> Proof:
    """Raises InputError where the trials differ, or one of them fails."""
    then, now = trees
    before, after = (train(tree, method, budget, data, place / tree.commit[:12] / board) for tree in trees)
    differing = before.differs_from(after)
    if differing:
        raise InputError(f"{' and '.join(differing)} differ between commits {then.commit[:12]} and {now.commit[:12]}")
    return Proof(
        before=then.commit,
        after=now.commit,
        samples=SAMPLES["train"],
        samples_seen=EPOCHS * SAMPLES["train"],
        weights=after.weights,
        history=after.history,
        scores=after.scores,
    )


def last_words(found: Sequence[Carried]) -> str:
    """One line of what came out."""
    names = {what: [one.method for one in found if one.what == what] for what in ("carried", "up to date", "to be retrained")}
    said = [f"{len(names['carried'])} carried", f"{len(names['up to date'])} up to date"]
    left = names["to be retrained"]
    return f"leaderboard: {', '.join(said)}, {len(left)} to be retrained{': ' if left else ''}{', '.join(left)}"
