"""What is asked of a store's manifest: its columns, rows, images, labels and splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pandas.api import types

from ssl_pipelines.data.image_files import NEVER_AN_IMAGE, UNREAD
from ssl_pipelines.data.splits import SPLITS
from ssl_pipelines.orchestration.validation.config import ValidateConfig
from ssl_pipelines.orchestration.validation.expectations import Check

Frames = dict[str, pd.DataFrame]
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
    given = rows.reason.fillna("").str
    unread, stray = given.startswith(UNREAD), given.startswith(NEVER_AN_IMAGE)
    pictures = pd.DataFrame({"unread": unread[~stray].astype(float)})
    formats = ", ".join(
        f"{kind} ({count:,})" for kind, count in rows.reason[unread].str.removeprefix(f"{UNREAD}: ").value_counts().head(4).items()
    )
    left_out = "the share of images in formats that are not read is {}"
    share, missing = (
        "the usable share of the image files is {}",
        f"{len(rows) - len(usable)} of {len(rows)} source files are not: {reasons}",
    )
    says, odd = "{} rows have an unknown split or status, or are unusable without a reason", _some(rows.path[~rows.sound])
    repeated = _some(rows.path[rows.id.duplicated(keep=False)])
    return {"manifest": rows, "usable": usable, "meant": rows[~stray & ~unread], "pictures": pictures}, [
        Check("columns", "values", config.columns, "manifest", "true", "sound", says, odd),
        Check("unique_ids", "id", config.unique_ids, "manifest", "unique", "id", "{} rows share their id with another", repeated),
        Check("images", "usable rows", config.images, "usable", "rows", "", "{} images are usable", missing),
        Check("decodable_share", "image files", config.decodable_share, "meant", "mean", "usable", share, missing),
        Check("decodable_target", "image files", config.decodable_target, "meant", "mean", "usable", share, missing),
        Check(
            "unread_formats", "image files", config.unread_formats, "pictures", "mean", "unread", left_out,
            f"{formats}; convert them to PNG or JPEG",
        ),
    ]  # fmt: skip


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
    deep_frames, deep_checks = _deep_checks(store, config)
    return {"images": images, "contents": contents, "channels": channels} | deep_frames, [
        *deep_checks,
        Check("source_side", "shorter side", config.source_side, "images", "min", "side", side, small),
        Check("duplicate_share", "pixels", config.duplicate_share, "images", "mean", "copy", copy, copies),
        Check(leak, "train, validation, test", config.leakage, "contents", "sum", "leaked", leaks, leaked),
        Check("pixel_mean", "channels", config.pixel_mean, "channels", "values", "mean", outside + "mean outside the band", means),
        Check("pixel_std", "channels", config.pixel_std, "channels", "values", "std", outside + "deviation outside the band", stds),
        Check("constant_share", "pixels", config.constant_share, "images", "mean", "constant", flats, flat),
    ]


def _deep_checks(store: Mapping[str, Any], config: ValidateConfig) -> tuple[Frames, list[Check]]:
    """Of images with more than 8 bits a channel, where there are any: what is left of them in 8."""
    if "deep" not in store:
        return {}, []
    deep, says = store["deep"], "{} gray levels are left in the median of the images with more than 8 bits a channel"
    detail = f"{deep['images']:,} images; white is {store['white']:,}: dataset.white=<the value of white pixels, such as 4095 for 12 bits>"
    frame = pd.DataFrame({"levels": [float(deep["levels"])]})
    return {"deep": frame}, [Check("gray_levels", "pixels", config.gray_levels, "deep", "min", "levels", says, detail)]


def _label_checks(usable: pd.DataFrame, classes: Sequence[str], config: ValidateConfig) -> tuple[Frames, list[Check]]:
    """Of the labels: each known, each class there, and enough of it."""
    known = (usable.label.isna() | usable.label.between(0, len(classes) - 1)).astype(bool)
    strange = f"of {len(classes)} classes; found " + ", ".join(map(str, sorted(set(usable.label[~known]))[:5]))
    frames = {"labels": pd.DataFrame({"known": known})}
    says = "{} labels are no index into the classes"
    frames["classes"], alike = _alike(classes)
    spelled = "{} classes differ from another by case or spaces alone"
    checks = [
        Check("label_set", "label", config.label_set, "labels", "true", "known", says, strange),
        Check("class_spelling", "names", config.class_spelling, "classes", "sum", "alike", spelled, alike),
    ]
    for split in ("train", "test"):
        labels = usable.label[(usable.split == split) & usable.label.notna() & known].astype(int)
        if labels.empty:  # nobody has the labels of this split: the evaluations say what they need
            continue
        counts = labels.value_counts().reindex(range(len(classes)), fill_value=0)
        frames[split] = pd.DataFrame({"label": labels})
        frames[f"{split} classes"] = pd.DataFrame({"count": counts, "ratio": counts.max() / counts.where(counts > 0)})
        checks += _split_checks(split, counts, classes, config)
    return frames, checks


def _alike(classes: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """One row a class: alike (0 or 1), whether another is spelled alike; and the names of those that are."""
    names = pd.Series(list(classes), dtype=str)
    spelling = names.map(lambda name: " ".join(unicodedata.normalize("NFKC", name).casefold().split()))
    alike = spelling.duplicated(keep=False)
    groups = names[alike].map(repr).groupby(spelling[alike], sort=False).agg(" = ".join)
    return pd.DataFrame({"alike": alike.astype(float)}), _some(groups, "; ")


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
