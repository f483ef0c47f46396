"""The Great Expectations suites: what is asked of the manifest, and the one place where suites run.

GX judges; the severity is ours to act on (to GX a failed warning is a failure too). GX is imported in `run` alone: it takes 3.6 s.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import pandas as pd
from pandas.api import types

from ssl_pipelines.data.image_files import NEVER_AN_IMAGE
from ssl_pipelines.orchestration.validation_config import Rule, ValidateConfig

Frames = dict[str, pd.DataFrame]
SPLITS = ("train", "validation", "test", "unlabeled")
LABELED_SPLITS = SPLITS[:3]
CONSTANT_STD = 1e-6  # of pixels in [0, 1]; one gray level in one pixel of 1024 x 1024 gives 4e-6
INTEGER, NUMBER, TEXT = (
    ("an integer", types.is_integer_dtype),
    ("a number", types.is_numeric_dtype),
    ("text", types.is_string_dtype),
)
COLUMNS = (
    {"id": INTEGER, "path": TEXT, "split": TEXT, "label": INTEGER, "sha256": TEXT}
    | dict.fromkeys(("width", "height", "channels", "mean", "std"), NUMBER)
    | dict.fromkeys(("mode", "status", "reason"), TEXT)
)
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


def column_checks(manifest: pd.DataFrame, config: ValidateConfig) -> tuple[Frames, list[Check]]:
    """The columns and their types: without them nothing else can be judged."""
    rows = []
    for name, (kind, test) in COLUMNS.items():
        dtype = str(manifest[name].dtype) if name in manifest else "missing"
        agrees = name in manifest and (test(manifest[name].dtype) or manifest[name].isna().all())
        rows.append((f"{name} is {dtype}, expected {kind}", bool(agrees)))
    frame = pd.DataFrame(rows, columns=["says", "agrees"])
    says, wrong = "{} columns of the manifest are missing or of another type", "; ".join(frame.loc[~frame.agrees, "says"])
    return {"columns": frame}, [Check("columns", "types", config.columns, "columns", "true", "agrees", says, wrong)]


def manifest_checks(manifest: pd.DataFrame, store: Mapping[str, Any], config: ValidateConfig) -> tuple[Frames, list[Check]]:
    """Frames and the checks on them, for a manifest with the right columns. `store`: the content of store.json."""
    usable = manifest[manifest.status == "ok"]
    frames, checks = _row_checks(manifest, usable, config)
    if len(usable):
        frames, checks = _joined((frames, checks), _image_checks(usable, store, config))
    if usable.label.notna().any():
        frames, checks = _joined((frames, checks), _label_checks(usable, list(store["classes"]), config))
    return frames, checks


def _joined(one: tuple[Frames, list[Check]], other: tuple[Frames, list[Check]]) -> tuple[Frames, list[Check]]:
    return one[0] | other[0], one[1] + other[1]


def _row_checks(manifest: pd.DataFrame, usable: pd.DataFrame, config: ValidateConfig) -> tuple[Frames, list[Check]]:
    """Of every source file, usable or not."""
    known = manifest.split.isin(SPLITS) & manifest.status.isin(["ok", "unusable"])
    sound = known & (manifest.reason.notna() | (manifest.status == "ok"))
    rows = manifest.assign(sound=sound.astype(bool), usable=(manifest.status == "ok").astype(float))
    reasons = ", ".join(f"{count} {reason}" for reason, count in rows.reason[rows.usable == 0].value_counts().head(4).items())
    stray = rows.reason.fillna("").str.startswith(NEVER_AN_IMAGE)
    share, missing = (
        "the usable share of the image files is {}",
        f"{len(rows) - len(usable)} of {len(rows)} source files are not: {reasons}",
    )
    says, odd = "{} rows have an unknown split or status, or are unusable without a reason", _some(rows.path[~rows.sound])
    repeated = _some(rows.path[rows.id.duplicated(keep=False)])
    return {"manifest": rows, "usable": usable, "meant": rows[~stray]}, [
        Check("columns", "values", config.columns, "manifest", "true", "sound", says, odd),
        Check("unique_ids", "id", config.unique_ids, "manifest", "unique", "id", "{} rows share their id with another", repeated),
        Check("images", "usable rows", config.images, "usable", "rows", "", "{} images are usable", missing),
        Check("decodable_share", "image files", config.decodable_share, "meant", "mean", "usable", share, missing),
        Check("decodable_target", "image files", config.decodable_target, "meant", "mean", "usable", share, missing),
    ]


def _image_checks(usable: pd.DataFrame, store: Mapping[str, Any], config: ValidateConfig) -> tuple[Frames, list[Check]]:
    """Of the usable images: sizes, duplicates, leakage, pixels."""
    images = pd.DataFrame(
        {
            "side": usable[["width", "height"]].min(axis=1).astype(float),
            "copy": usable.sha256.duplicated().astype(float),
            "constant": (usable["std"] <= CONSTANT_STD).astype(float),
        }
    )
    contents, channels = _contents(usable), pd.DataFrame({"mean": store["mean"], "std": store["std"]}, dtype=float)
    small = _some(usable.path[images.side < config.source_side.min])
    copies = _some(usable[usable.sha256.duplicated(keep=False)].sort_values("sha256", kind="stable").path)
    leaked, flat = _some(contents.places[contents.leaked == 1], "; "), _some(usable.path[images.constant == 1])
    outside = f"{{}} of {len(channels)} channels have their "
    means, stds = (", ".join(f"{value:.3g}" for value in channels[name][:8]) for name in ("mean", "std"))
    side, copy, leak = (
        "the smallest image has a side of {} pixels",
        "the share of images that repeat an earlier one in every pixel is {}",
        "leakage",
    )
    leaks, flats = "{} image contents are in more than one split", "the share of images of one single value is {}"
    return {"images": images, "contents": contents, "channels": channels}, [
        Check("source_side", "shorter side", config.source_side, "images", "min", "side", side, small),
        Check("duplicate_share", "pixels", config.duplicate_share, "images", "mean", "copy", copy, copies),
        Check(leak, "train, validation, test", config.leakage, "contents", "sum", "leaked", leaks, leaked),
        Check("pixel_mean", "channels", config.pixel_mean, "channels", "values", "mean", outside + "mean outside the band", means),
        Check("pixel_std", "channels", config.pixel_std, "channels", "values", "std", outside + "deviation outside the band", stds),
        Check("constant_share", "pixels", config.constant_share, "images", "mean", "constant", flats, flat),
    ]


def _label_checks(usable: pd.DataFrame, classes: Sequence[str], config: ValidateConfig) -> tuple[Frames, list[Check]]:
    """Of the labels: each known, each class there, and enough of it."""
    known = (usable.label.isna() | usable.label.between(0, len(classes) - 1)).astype(bool)
    strange = f"of {len(classes)} classes; found " + ", ".join(map(str, sorted(set(usable.label[~known]))[:5]))
    frames = {"labels": pd.DataFrame({"known": known})}
    says = "{} labels are no index into the classes"
    checks = [Check("label_set", "label", config.label_set, "labels", "true", "known", says, strange)]
    for split in ("train", "test"):
        labels = usable.label[(usable.split == split) & usable.label.notna() & known].astype(int)
        if labels.empty:  # nobody has the labels of this split: the evaluations say what they need
            continue
        counts = labels.value_counts().reindex(range(len(classes)), fill_value=0)
        frames[split] = pd.DataFrame({"label": labels})
        frames[f"{split} classes"] = pd.DataFrame({"count": counts, "ratio": counts.max() / counts.where(counts > 0)})
        checks += _split_checks(split, counts, classes, config)
    return frames, checks


def _split_checks(split: str, counts: pd.Series, classes: Sequence[str], config: ValidateConfig) -> list[Check]:
    """Of one labeled split.   counts: images by class, 0 included."""
    absent = _some(pd.Series([name for name, count in zip(classes, counts, strict=True) if not count], dtype=str))
    least, most = int(counts.to_numpy().argmin()), int(counts.to_numpy().argmax())
    smallest, every = f"{classes[least]}: {counts.iloc[least]}", range(len(classes))
    missing, few = f"{{}} of {len(classes)} classes have no image in {split}", f"the smallest class of {split} has {{}} images"
    largest = f"{classes[most]}: {counts.iloc[most]}"
    ratio = "the largest class of train has {} times the images of the smallest"
    checks = [
        Check("class_presence", split, config.class_presence, split, "contains", "label", missing, absent, every),
        Check("images_per_class", split, config.images_per_class, f"{split} classes", "min", "count", few, smallest),
    ]
    if split == "train":
        checks.append(
            Check("class_balance", split, config.class_balance, "train classes", "max", "ratio", ratio, f"largest: {largest}")
        )
    return checks


def _contents(usable: pd.DataFrame) -> pd.DataFrame:
    """One row per image content of the labeled splits: leaked (0 or 1), and the places of those that are."""
    rows = usable[usable.split.isin(LABELED_SPLITS)]
    contents = (rows.groupby("sha256").split.nunique() > 1).astype(int).rename("leaked").reset_index()
    several = rows[rows.sha256.isin(contents.sha256[contents.leaked == 1])].drop_duplicates(["sha256", "split"])
    places = (several.path + " (" + several.split + ")").groupby(several.sha256).agg(" = ".join)
    return contents.assign(places=contents.sha256.map(places).astype(str))


def _some(items: pd.Series, between: str = ", ", limit: int = 3) -> str:
    shown = between.join(items.iloc[:limit])
    return shown + (f", and {len(items) - limit} more" if len(items) > limit else "")
