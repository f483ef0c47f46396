"""Each expectation holds on sound data, and fails on a store with exactly its fault, with the configured severity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from great_expectations.core import ExpectationSuite

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.orchestration.validation.config import Rule, ShareAtLeast, ValidateConfig
from ssl_pipelines.orchestration.validation.expectations import KINDS, Check, Outcome, run
from ssl_pipelines.orchestration.validation.validate import check_features, failed_lines, judge, validate

CLASSES = ["cat", "dog", "<script>alert(1)</script>"]
COUNT = 120
Spoil = Callable[[pd.DataFrame], pd.DataFrame | None]


def sound() -> tuple[pd.DataFrame, dict[str, Any]]:
    """120 usable rows, 40 a class; of each five rows three train, one validation, one test."""
    rows = np.arange(COUNT)
    manifest = pd.DataFrame({"id": rows, "path": [f"photos/{i}.png" for i in rows]})
    manifest["split"] = np.array(["train", "train", "train", "validation", "test"])[rows % 5]
    manifest["label"] = pd.array(rows // 5 % 3, dtype="Int64")
    manifest["sha256"] = [f"{i:064x}" for i in rows]
    for name, value in {"width": 40, "height": 32, "channels": 3}.items():
        manifest[name] = pd.array([value] * COUNT, dtype="Int64")
    manifest["mode"], manifest["status"], manifest["reason"] = "RGB", "ok", pd.Series([None] * COUNT, dtype=object)
    manifest["mean"], manifest["std"] = 0.5, 0.2
    about = {"schema_version": 1, "name": "photos", "size": 8, "channels": 3, "classes": CLASSES, "sha256": "ab" * 32}
    about |= {"white": 4095, "deep": {"images": 60, "levels": 250.0}}
    return manifest, about | {"mean": [0.5, 0.4, 0.45], "std": [0.25, 0.2, 0.22]}


def write(folder: Path, manifest: pd.DataFrame, about: dict[str, Any]) -> Path:
    folder.mkdir()
    manifest.to_parquet(folder / "manifest.parquet")
    (folder / "store.json").write_text(json.dumps(about))
    usable = int((manifest["status"] == "ok").sum()) if "status" in manifest else COUNT
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (usable, 8, 8, 3), dtype=np.uint8))
    (folder / "out").mkdir()
    return folder


def judged(folder: Path, config: dict[str, Any] | None = None) -> list[Outcome]:
    return judge(folder, ValidateConfig.of(config or {}, "validate"))


def failures(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {one["expectation"]: one for one in outcomes if not one["success"]}


def test_a_sound_store_meets_every_expectation(tmp_path: Path) -> None:
    folder = write(tmp_path / "store", *sound())
    outcomes = validate(folder, ValidateConfig(), folder / "out")
    assert failures(outcomes) == {}
    assert {one["expectation"] for one in outcomes} == set(ValidateConfig.model_fields)
    written = json.loads((tmp_path / "store/out/validation.json").read_text())
    assert written["passed"] is True
    assert written["outcomes"] == outcomes
    assert written["store"] == "ab" * 32
    assert written["counts"] == {"passed": len(outcomes), "critical": 0, "warning": 0}


def test_classes_that_are_spelled_alike_are_a_warning(tmp_path: Path) -> None:
    manifest, about = sound()
    manifest["label"] = pd.array(np.arange(COUNT) // 5 % 6, dtype="Int64")
    folder = write(tmp_path / "store", manifest, about | {"classes": ["Cat", "Caf\u00e9", "cat", "cat ", "Cafe\u0301", "dog"]})
    failed = failures(judged(folder, {"images_per_class": {"min": 1}}))
    assert set(failed) == {"class_spelling"}
    said = "class_spelling: 5 classes differ from another by case or spaces alone; allowed: at most 0"
    assert failed["class_spelling"]["message"].startswith(said + " ('Cat' = 'cat' = 'cat '; 'Caf\u00e9' = ")
    assert failed["class_spelling"]["severity"] == "warning"
    assert failures(judged(folder, {"images_per_class": {"min": 1}, "class_spelling": {"max": 5}})) == {}


def unusable(share: float, reason: str = "truncated file") -> Spoil:
    def spoil(manifest: pd.DataFrame) -> None:
        rows = manifest.index[: round(share * COUNT)]
        manifest.loc[rows, "status"], manifest.loc[rows, "reason"] = "unusable", reason
        manifest.loc[rows, ["sha256", "width", "height", "mean", "std"]] = None

    return spoil


def put(column: str, rows: Any, value: Any) -> Spoil:
    def spoil(manifest: pd.DataFrame) -> None:
        manifest.loc[rows, column] = value

    return spoil


def only(rows: Callable[[pd.DataFrame], Any]) -> Spoil:
    return lambda manifest: manifest[rows(manifest)].reset_index(drop=True)


def without(split: str, label: int) -> Spoil:
    return only(lambda manifest: (manifest.split != split) | (manifest.label != label))


# fault -> what it does, the expectations that fail, and what one of them says
FAULTS: dict[str, tuple[Spoil, set[str], str]] = {
    "a column is missing": (lambda m: m.drop(columns="reason"), {"columns"}, "reason is missing"),
    "a column of another type": (lambda m: m.assign(label=m.label.astype(str)), {"columns"}, "label is str, expected an integer"),
    "unknown split": (put("split", 0, "holdout"), {"columns"}, "1 rows have an unknown split"),
    "unusable without a reason": (put("status", 3, "unusable"), {"columns"}, "photos/3.png"),
    "an id twice": (put("id", 1, 0), {"unique_ids"}, "photos/0.png, photos/1.png"),
    "few images": (only(lambda m: m.index < 30), {"images", "images_per_class"}, "30 images are usable"),
    "5 % undecodable": (
        unusable(0.05),
        {"decodable_target"},
        "the usable share of the image files is 0.95; allowed: at least 0.99 (6 of 120 source files are not: 6 truncated file)",
    ),
    "15 % in formats that are not read": (
        unusable(0.15, "image format that is not read: .HEIC"),
        {"unread_formats"},
        "formats that are not read is 0.15; allowed: at most 0 (.HEIC (18); convert them to PNG or JPEG)",
    ),
    "20 % undecodable": (unusable(0.2), {"decodable_share", "decodable_target"}, "the usable share of the image files is 0.8"),
    "a tiny source": (put("height", 7, 5), {"source_side"}, "a side of 5 pixels; allowed: at least 8 (photos/7.png)"),
    "a label out of range": (
        put("label", 9, 3),
        {"label_set"},
        "1 labels are no index into the classes; allowed: 0 (of 3 classes; found 3)",
    ),
    "a class missing in test": (
        without("test", 1),
        {"class_presence", "images_per_class"},
        "1 of 3 classes have no image in test; allowed: 0 (dog)",
    ),
    "a class missing in train": (without("train", 0), {"class_presence", "images_per_class"}, "in train; allowed: 0 (cat)"),
    "duplicates in train": (put("sha256", [0, 1, 2], "f" * 64), {"duplicate_share"}, "photos/0.png, photos/1.png, photos/2.png"),
    "a leaked duplicate": (put("sha256", [2, 4], "f" * 64), {"leakage"}, "photos/2.png (train) = photos/4.png (test)"),
    "constant images": (put("std", [5, 6], 0.0), {"constant_share"}, "photos/5.png, photos/6.png"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_its_expectation_and_no_other(fault: str, tmp_path: Path) -> None:
    spoil, expected, said = FAULTS[fault]
    manifest, about = sound()
    spoiled = spoil(manifest)
    failed = failures(judged(write(tmp_path / "store", manifest if spoiled is None else spoiled, about)))
    assert set(failed) == expected
    defaults = ValidateConfig()
    assert all(one["severity"] == getattr(defaults, one["expectation"]).severity for one in failed.values())
    assert said in " | ".join(one["message"] for one in failed.values())
    assert all("\n" not in one["message"] for one in failed.values())


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("mean", [0.5, 0.995, 0.5], "pixel_mean"), ("std", [0.2, 0.2, 0.001], "pixel_std"), ("std", [0.2, 0.6, 0.2], "pixel_std")],
)
def test_channels_outside_the_band_fail(key: str, value: list[float], expected: str, tmp_path: Path) -> None:
    manifest, about = sound()
    failed = failures(judged(write(tmp_path / "store", manifest, about | {key: value})))
    assert list(failed) == [expected]
    assert "1 of 3 channels" in failed[expected]["message"]


def test_few_gray_levels_are_warned_of_with_the_key(tmp_path: Path) -> None:
    manifest, about = sound()
    few = about | {"white": 65535, "deep": {"images": 60, "levels": 17.0}}
    failed = failures(judged(write(tmp_path / "few", manifest, few)))
    assert list(failed) == ["gray_levels"]
    assert failed["gray_levels"]["severity"] == "warning"
    assert "17 gray levels are left" in failed["gray_levels"]["message"]
    assert "60 images; white is 65,535: dataset.white=" in failed["gray_levels"]["message"]
    shallow = {key: value for key, value in about.items() if key != "deep"}
    assert "gray_levels" not in {one["expectation"] for one in judged(write(tmp_path / "shallow", manifest, shallow))}


def test_unbalanced_classes_fail_against_the_configured_ratio(tmp_path: Path) -> None:
    manifest, about = sound()
    folder = write(tmp_path / "store", manifest[(manifest.label != 2) | (manifest.id % 4 == 0)], about)
    ratio = {"class_balance": {"max": 3}, "images_per_class": {"min": 1}}
    assert failures(judged(folder, ratio))["class_balance"]["observed"] == pytest.approx(4.0)
    assert failures(judged(folder, {"class_balance": {"max": 4}, "images_per_class": {"min": 1}})) == {}


@pytest.mark.parametrize(("severity", "stops"), [("critical", True), ("warning", False)])
@pytest.mark.parametrize("fault", ["a leaked duplicate", "a class missing in test", "5 % undecodable"])
def test_the_configured_severity_decides_whether_the_gate_closes(fault: str, severity: str, stops: bool, tmp_path: Path) -> None:
    spoil, expected, _ = FAULTS[fault]
    manifest, about = sound()
    spoiled = spoil(manifest)
    folder = write(tmp_path / "store", manifest if spoiled is None else spoiled, about)
    outcomes = judged(folder, {name: {"severity": severity} for name in expected})
    assert set(failures(outcomes)) == expected  # only the severity was given: the thresholds stayed
    assert len(failed_lines(outcomes, severity)) == len(expected)
    assert bool(failed_lines(outcomes, "critical")) is stops


def test_an_ignored_expectation_is_left_out(tmp_path: Path) -> None:
    manifest, about = sound()
    put("sha256", [2, 4], "f" * 64)(manifest)
    outcomes = judged(write(tmp_path / "store", manifest, about), {"leakage": {"severity": "ignore"}})
    assert "leakage" not in {one["expectation"] for one in outcomes}
    assert failures(outcomes) == {}


def test_two_thresholds_on_one_column_are_both_judged() -> None:
    checks = [
        Check(name, "rows", ShareAtLeast(min=least), "frame", "mean", "usable", "{}")
        for name, least in [("low", 0.4), ("high", 0.6)]
    ]
    outcomes = run({"frame": pd.DataFrame({"usable": [0.0, 1.0]})}, checks)
    assert [(one["expectation"], one["success"], one["observed"]) for one in outcomes] == [("low", True, 0.5), ("high", False, 0.5)]


def test_what_great_expectations_cannot_judge_is_an_error_not_a_verdict() -> None:
    check = Check("images", "rows", ShareAtLeast(min=0.5, severity="warning"), "frame", "mean", "no such column", "{}")
    with pytest.raises(RuntimeError, match="could not judge images"):
        run({"frame": pd.DataFrame({"usable": [1.0]})}, [check])


def test_the_expectations_are_known_to_great_expectations() -> None:
    suite = ExpectationSuite(name="known")
    for kind, (name, _) in KINDS.items():
        limits = {"unique": {}, "true": {"value_set": [True]}, "contains": {"value_set": [0]}}.get(kind, {"min_value": 0})
        suite.add_expectation(type_of(name)(**({} if kind == "rows" else {"column": "x"}), **limits))
    assert len(suite.expectations) == len(KINDS)


def type_of(name: str) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl

    return get_expectation_impl(name)


def test_unlabeled_images_are_not_asked_for_labels(tmp_path: Path) -> None:
    manifest, about = sound()
    manifest["label"], manifest["split"] = pd.array([None] * COUNT, dtype="Int64"), "unlabeled"
    folder = write(tmp_path / "store", manifest, about | {"classes": []})
    outcomes = validate(folder, ValidateConfig(), folder / "out")
    assert failures(outcomes) == {}
    assert not {"label_set", "class_presence", "class_balance", "images_per_class"} & {one["expectation"] for one in outcomes}
    assert "no image has a label" in (tmp_path / "store/out/validation.html").read_text()


def test_a_test_split_without_labels_is_not_asked_for_classes(tmp_path: Path) -> None:
    manifest, about = sound()
    manifest.loc[manifest.split == "test", "label"] = None
    outcomes = judged(write(tmp_path / "store", manifest, about))
    assert failures(outcomes) == {}
    assert [one["subject"] for one in outcomes if one["expectation"] == "class_presence"] == ["train"]


def test_nothing_usable_closes_the_gate_without_a_crash(tmp_path: Path) -> None:
    manifest, about = sound()
    unusable(1.0)(manifest)
    folder = write(tmp_path / "store", manifest, about | {"mean": [0.0] * 3, "std": [0.0] * 3})
    assert set(failures(validate(folder, ValidateConfig(), folder / "out"))) == {"images", "decodable_share", "decodable_target"}


def test_the_page_is_whole_and_escapes_what_it_shows(tmp_path: Path) -> None:
    manifest, about = sound()
    put("sha256", [2, 4], "f" * 64)(manifest)
    manifest.loc[2, "path"] = "<img src=http://example.org/x.png>"
    folder = write(tmp_path / "store", manifest, about | {"name": "<b>photos</b>"})
    validate(folder, ValidateConfig(), folder / "out")
    page = (tmp_path / "store/out/validation.html").read_text()
    assert "stopped: 1 critical expectation failed" in page
    assert json.loads((folder / "out/validation.json").read_text())["passed"] is False
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<img src=http" not in page
    assert "<b>photos" not in page


def test_missing_and_broken_files_are_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "store", *sound())
    (folder / "manifest.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"manifest\.parquet is not Parquet"):
        judged(folder)
    (folder / "manifest.parquet").unlink()
    with pytest.raises(InputError, match=r"manifest\.parquet is missing"):
        judged(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"leakage": {"max": -1}}, "validate.leakage.max=-1 is refused"),
        ({"decodable_share": {"min": 1.5}}, "validate.decodable_share.min=1.5 is refused"),
        ({"decodable_share": {"max": 1}}, "key 'max' of validate.decodable_share"),
        ({"leackage": {"max": 1}}, "did you mean 'leakage'"),
        ({"leakage": {"severity": "fatal"}}, "validate.leakage.severity='fatal' is refused"),
        ({"pixel_mean": {"min": 0.99}}, "min=0.99 must not be above max=0.98"),
    ],
)
def test_thresholds_are_refused_in_one_line(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=r"validate") as caught:
        ValidateConfig.of(config, "validate")
    assert said in str(caught.value)


def test_one_number_is_changed_and_the_rest_kept() -> None:
    config = ValidateConfig.of({"decodable_share": {"min": 0.5}, "leakage": {"severity": "warning"}}, "validate")
    assert (config.decodable_share.min, config.decodable_share.severity) == (0.5, "critical")
    assert (config.leakage.max, config.leakage.severity) == (0, "warning")
    assert config.columns == Rule()


def features(folder: Path, **spoiled: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    for source, dim in [("trained/final", 16), ("random_init/0/final", 16), ("raw_pixels/pixels", 48)]:
        place = folder / source
        place.mkdir(parents=True)
        for split in ("train", "test"):
            values = spoiled.get(split) if source.startswith("trained") and split in spoiled else rng.normal(size=(60, dim))
            np.save(place / f"{split}.npy", values.astype(np.float32))
            np.save(place / f"{split}.ids.npy", np.arange(60) + (60 if split == "test" else 0))
    stages = {
        "judged_at": "final",
        "stages": [{"name": "final", "dim": 16, "pooling": "mean"}],
        "raw_pixels": {"dim": 48, "size": 4},
    }
    (folder / "stages.json").write_text(json.dumps(stages))
    return folder


def test_sound_features_pass(tmp_path: Path) -> None:
    outcomes = check_features(features(tmp_path / "features"))
    assert failures(outcomes) == {}
    assert [one["expectation"] for one in outcomes] == ["features_shape", "features_finite", "features_std", "features_rank"]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


@pytest.mark.parametrize(
    ("values", "expected", "severity", "said"),
    [
        (np.where(np.arange(16) == 3, np.nan, normal(60, 16)), {"features_finite"}, "critical", "trained/final/train: 60"),
        (np.where(np.arange(16) == 3, np.inf, normal(60, 16)), {"features_finite"}, "critical", "60 values are NaN or infinite"),
        (
            normal(59, 16),
            {"features_shape"},
            "critical",
            "trained/final/train is [59, 16] with 60 different ids, expected [60, 16]",
        ),
        (normal(60, 12), {"features_shape"}, "critical", "expected [60, 16]"),
        (np.ones((60, 16)) + 1e-4 * normal(60, 16), {"features_std", "features_rank"}, "warning", "trained/final/train"),
        (np.outer(np.sign(normal(60)), np.ones(16)), {"features_rank"}, "warning", "effective rank of trained/final/train is 1"),
        (np.zeros((60, 16)), {"features_std", "features_rank"}, "warning", "is 0"),
    ],
    ids=["nan", "infinite", "rows", "width", "collapsed", "one direction", "zero"],
)
def test_each_fault_of_features_fails(values: np.ndarray, expected: set[str], severity: str, said: str, tmp_path: Path) -> None:
    failed = failures(check_features(features(tmp_path / "features", train=values)))
    assert set(failed) == expected
    assert {one["severity"] for one in failed.values()} == {severity}
    assert said in " | ".join(one["message"] for one in failed.values())


def test_repeated_ids_of_features_fail(tmp_path: Path) -> None:
    folder = features(tmp_path / "features")
    np.save(folder / "trained/final/test.ids.npy", np.zeros(60, dtype=np.int64))
    assert set(failures(check_features(folder))) == {"features_shape"}


def test_features_without_ids_or_none_at_all_are_one_line(tmp_path: Path) -> None:
    folder = features(tmp_path / "features")
    (folder / "trained/final/test.ids.npy").unlink()
    with pytest.raises(InputError, match=r"test\.ids\.npy is missing"):
        check_features(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no features are stored"):
        check_features(tmp_path / "empty")


def test_files_that_were_never_images_are_no_failure_to_decode(tmp_path):
    """Half of the files are notes and hidden files: explained in the manifest, and no reason to close the gate."""
    from ssl_pipelines.orchestration.validation.manifest_checks import manifest_checks

    rows = [
        {"id": i, "path": f"{i}.png", "split": "train", "label": None, "sha256": f"{i:064x}", "width": 9, "height": 9, "mode": "L"}
        for i in range(40)
    ]
    frame = (
        pd.DataFrame(rows)
        .assign(channels=1, status="ok", reason=None, mean=0.5, std=0.2)
        .astype({"label": "Int64", "reason": "object"})
    )
    stray = frame.assign(id=frame.id + 40, status="unusable", reason="not an image file: .txt", sha256=None)
    store = {"mean": [0.5], "std": [0.2], "classes": []}

    def failed(manifest):
        outcomes = run(*manifest_checks(manifest, store, ValidateConfig()))
        return {one["expectation"] for one in outcomes if not one["success"]}

    assert "decodable_share" not in failed(pd.concat([frame, stray], ignore_index=True))
    assert "decodable_share" in failed(pd.concat([frame, stray.assign(reason="truncated file")], ignore_index=True))
