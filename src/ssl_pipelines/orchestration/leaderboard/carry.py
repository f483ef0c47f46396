"""Rows that survive an honest change: what a row measured still holds where the code of then and of now train to the same bits."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.cores import usable_cores
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.orchestration.leaderboard.board import write_page
from ssl_pipelines.orchestration.leaderboard.budgets import Budget, check_method
from ssl_pipelines.orchestration.leaderboard.data import open_store
from ssl_pipelines.orchestration.leaderboard.plans import Plan, plan
from ssl_pipelines.orchestration.leaderboard.trial import EPOCHS, SAMPLES, Evidence, Tree, present_commit, tree_of, write_trial_data
from ssl_pipelines.reporting.leaderboard import Proof, Row, read_rows

log = logging.getLogger("ssl_pipelines")
SHOWN = 3  # changed parameters named in one line
LANES = 4  # trials side by side, of a thread and some 2 GB of memory each, as far as there are cores
Train = Callable[[Tree, Sequence[str], str, Path, Path], Mapping[str, Evidence | str]]  # tree, methods, budget, data, work


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

    Raises InputError for a commit that is not there."""
    for method in methods:
        check_method(method)
    work.mkdir(parents=True, exist_ok=True)
    with only_writer(work / "leaderboard.lock"):
        place = work / "carry"
        then, now = tree_of(commit, place), tree_of(present_commit(), place)
        store = open_store(budget, data, work)
        rows = {row.method: row for row in read_rows(docs) if row.budget == budget.name and row.method in methods}
        wanted = {method: plan(method, budget, data, store.sha256, work) for method in rows}
        stale = [method for method, row in rows.items() if wanted[method].why_remade(row)]
        expected = _expected(then, budget.name, stale, data, store.sha256)
        small = place / f"data-{digest([store.sha256, SAMPLES])[:8]}"
        if stale:
            write_trial_data(store, small)

        found = {method: Carried(method, "up to date") for method in rows if method not in stale}
        found |= {method: Carried(method, "to be retrained", "it has no row") for method in methods if method not in rows}
        for method in stale:
            why = _not_of(rows[method], expected[method], then) or _other_values(expected[method], wanted[method])
            if why is not None:
                found[method] = Carried(method, "to be retrained", why)
        left = [method for method in stale if method not in found]
        lanes = max(1, min(LANES, usable_cores(), len(left)))

        def lane(number: int) -> None:
            mine, board = left[number::lanes], f"board-{number}-of-{lanes}"
            before, after = (train(tree, mine, budget.name, small, place / tree.commit[:12] / board) for tree in (then, now))
            for method in mine:
                proof = _proof(before[method], after[method], then, now)
                if isinstance(proof, str):
                    found[method] = Carried(method, "to be retrained", proof)
                    continue
                digests = {"fingerprint": wanted[method].fingerprint, "code": wanted[method].code}
                rows[method].model_copy(update=digests | {"proofs": (*rows[method].proofs, proof)}).write(docs)
                said = f"equal weights, history and scores after {proof.samples_seen:,} samples"
                found[method] = Carried(method, "carried", said)

        log.info("leaderboard: %d rows are stale; %d are trained in small by both commits", len(stale), len(left))
        with ThreadPoolExecutor(max_workers=lanes) as pool:
            list(pool.map(lane, range(lanes)))
        write_page(docs, budget)
        for method in methods:
            log.info("leaderboard: %s: %s%s", method, found[method].what, f": {found[method].why}" if found[method].why else "")
        return [found[method] for method in methods]


def _expected(then: Tree, budget: str, methods: Sequence[str], data: str, store: str) -> Mapping[str, Any]:
    """What `then` says of each method's row; a line for each where its code does not run at all."""
    try:
        return then.expects(budget, methods, data, store) if methods else {}
    except InputError as problem:
        return dict.fromkeys(methods, str(problem))


def _other_values(expected: Mapping[str, Any], wanted: Plan) -> str | None:
    """Why a row is refused before any trial: a parameter that both commits have is another one by now, which a short run may not show."""
    now, before = json.loads(json.dumps(wanted.values, default=str)), expected["values"]
    changed = [f"{key} {before[key]} -> {now[key]}" for key in sorted(before.keys() & now.keys()) if before[key] != now[key]]
    return f"its parameters are others now: {', '.join(changed[:SHOWN])}" if changed else None


def _not_of(row: Row, expected: Any, then: Tree) -> str | None:
    """Why the row did not come from the code, parameters and data of `then`, or None where it did."""
    if row.verdict == "bug":
        return "its row is a bug, which has no numbers"
    if isinstance(expected, str):
        return f"commit {then.commit[:12]} cannot make it: {expected}"
    if (expected["fingerprint"], expected["code"]) != (row.fingerprint, row.code):
        what = "parameters or data" if expected["fingerprint"] != row.fingerprint else "code"
        return f"its row was made from other {what} than those of commit {then.commit[:12]}"
    return None


def _proof(before: Evidence | str, after: Evidence | str, then: Tree, now: Tree) -> Proof | str:
    """That both trials ended in the same bits, or a line why that is not shown."""
    for found in (before, after):
        if isinstance(found, str):
            return found
    assert isinstance(before, Evidence)
    assert isinstance(after, Evidence)
    differing = before.differs_from(after)
    if differing:
        return f"{' and '.join(differing)} differ between commits {then.commit[:12]} and {now.commit[:12]}"
    facts = {"samples": SAMPLES["train"], "samples_seen": EPOCHS * SAMPLES["train"]}
    return Proof(before=then.commit, after=now.commit, **facts, **asdict(after))


def last_words(found: Sequence[Carried]) -> str:
    """One line of what came out."""
    names = {what: [one.method for one in found if one.what == what] for what in ("carried", "up to date", "to be retrained")}
    said = [f"{len(names['carried'])} carried", f"{len(names['up to date'])} up to date"]
    left = names["to be retrained"]
    return f"leaderboard: {', '.join(said)}, {len(left)} to be retrained{': ' if left else ''}{', '.join(left)}"
