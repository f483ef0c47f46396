"""Expectations, and the one place where Great Expectations judges them.

GX judges; the severity is ours to act on (to GX a failed warning is a failure too). GX is imported in `run` alone: it takes 3.6 s.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import pandas as pd

from ssl_pipelines.orchestration.validation.config import Rule

KINDS = {  # what is judged: GX's expectation, and the key of its result that is the observed number
    "mean": ("expect_column_mean_to_be_between", "observed_value"),
    "min": ("expect_column_min_to_be_between", "observed_value"),
    "max": ("expect_column_max_to_be_between", "observed_value"),
    "sum": ("expect_column_sum_to_be_between", "observed_value"),
    "rows": ("expect_table_row_count_to_be_between", "observed_value"),
    "values": ("expect_column_values_to_be_between", "unexpected_count"),
    "unique": ("expect_column_values_to_be_unique", "unexpected_count"),
    "true": ("expect_column_values_to_be_in_set", "unexpected_count"),
    "contains": ("expect_column_distinct_values_to_contain_set", "missing_count"),
}


class Outcome(TypedDict):
    """One expectation's verdict, as it stands in validation.json."""

    expectation: str  # the key under `validate`
    subject: str
    severity: str  # "critical" or "warning"
    success: bool
    observed: float | None
    allowed: str
    message: str  # one line


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation on one column of one frame, and how to speak of it."""

    name: str
    subject: str
    rule: Rule
    frame: str
    kind: str  # a key of KINDS; all but the last three take their limits from the rule
    column: str
    says: str  # "{} of the files are usable", with the observed number
    detail: str = ""  # where to look, said when it fails
    members: Sequence[int] = ()  # of kind "contains"

    @property
    def arguments(self) -> dict[str, Any]:
        fixed: dict[str, dict[str, Any]] = {
            "unique": {},
            "true": {"value_set": [True]},
            "contains": {"value_set": list(self.members)},
        }
        limits: dict[str, Any] = {f"{end}_value": getattr(self.rule, end) for end in ("min", "max") if hasattr(self.rule, end)}
        return ({} if self.kind == "rows" else {"column": self.column}) | fixed.get(self.kind, limits)

    @property
    def allowed(self) -> str:
        low, high = getattr(self.rule, "min", None), getattr(self.rule, "max", None)
        if low is not None and high is not None:
            return f"{low:g} to {high:g}"
        return "0" if low is None and high is None else f"at least {low:g}" if high is None else f"at most {high:g}"


def run(frames: Mapping[str, pd.DataFrame], checks: Sequence[Check]) -> list[Outcome]:
    """Judges every check of severity critical or warning, in the order given."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("frames")
    found: dict[int, Any] = {}
    for name, frame in frames.items():
        asked = [(index, check) for index, check in enumerate(checks) if check.frame == name and check.rule.severity != "ignore"]
        if asked:
            # Given to the suite at once: added one by one, a second expectation of a type on a column replaces the first.
            suite = gx.ExpectationSuite(
                name=name, expectations=[_configured(check, index).to_domain_obj() for index, check in asked]
            )
            batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
            found |= {int(one.expectation_config.meta["check"]): one for one in batch.validate(suite).results}
    assert len(found) == sum(check.rule.severity != "ignore" for check in checks), "an expectation was not judged"
    return [_outcome(checks[index], found[index]) for index in sorted(found)]


def _configured(check: Check, index: int) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    meta = {"check": index}  # GX reorders its results
    return ExpectationConfiguration(type=KINDS[check.kind][0], kwargs=check.arguments, severity=check.rule.severity, meta=meta)


def _outcome(check: Check, result: Any) -> Outcome:
    success = bool(result.success)
    if not success and not result.result:  # GX files an exception of its own as a failure
        raise RuntimeError(f"great_expectations could not judge {check.name} ({check.subject}): {result.exception_info}")
    value = result.result.get(KINDS[check.kind][1], 0)
    observed = None if value is None or value != value else float(value)
    shown = "none" if observed is None else f"{observed:.4g}" if observed % 1 else f"{observed:,.0f}"
    message = f"{check.name}: {check.says.format(shown)}; allowed: {check.allowed}"
    if not success and check.detail:
        message += f" ({check.detail})"
    return Outcome(
        expectation=check.name,
        subject=check.subject,
        severity=check.rule.severity,
        success=success,
        observed=observed,
        allowed=check.allowed,
        message=" ".join(message.split()),
    )
