"""Splits made here: seeded, stratified, no twin on both sides."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_pipelines.data.splits import assign_splits

images = st.lists(
    st.tuples(
        st.sampled_from([None, None, "train", "validation", "unlabeled"]),
        st.integers(-1, 4),
        st.integers(0, 40).map(str),
    ),
    max_size=80,
)
fractions = st.tuples(st.floats(0, 0.4), st.floats(0, 0.5))


def assign(rows: list[tuple[str | None, int, str]], validation: float = 0.1, test: float = 0.2, seed: int = 0) -> list[str]:
    source, labels, hashes = zip(*rows, strict=True) if rows else ((), (), ())
    return assign_splits(source, np.array(labels, np.int64), hashes, validation, test, seed)


@settings(max_examples=200, deadline=None)
@given(images, fractions, st.integers(0, 5))
def test_no_twin_straddles_a_split_made_here(
    rows: list[tuple[str | None, int, str]], shares: tuple[float, float], seed: int
) -> None:
    splits = assign(rows, *shares, seed)
    homes: dict[str, set[str]] = defaultdict(set)
    for (_, _, digest), split in zip(rows, splits, strict=True):
        homes[digest].add(split)
    for (source, label, digest), split in zip(rows, splits, strict=True):
        kept = "unlabeled" if label < 0 else source or "train"
        if split != kept:  # moved out of train
            assert kept == "train"
            assert homes[digest] == {split}


@settings(max_examples=100, deadline=None)
@given(images, fractions)
def test_train_keeps_every_class_and_shares_are_not_exceeded(
    rows: list[tuple[str | None, int, str]], shares: tuple[float, float]
) -> None:
    before = Counter(label for source, label, _ in rows if label >= 0 and source in (None, "train"))
    splits = assign(rows, *shares)
    test = Counter(label for (_, label, _), split in zip(rows, splits, strict=True) if split == "test")
    if len({digest for *_, digest in rows}) == len(rows):  # with twins of two labels one class may stand for another
        train = {label for (_, label, _), split in zip(rows, splits, strict=True) if split == "train"}
        assert train == set(before)
        assert all(count <= before[label] * shares[1] + 1 for label, count in test.items())
    assert sum(test.values()) <= round(sum(before.values()) * shares[1]) + 1


def test_stratified_to_the_image() -> None:
    rows = [(None, label, f"{label} {i}") for label, count in enumerate([100, 50, 10, 7]) for i in range(count)]
    splits = assign(rows)
    counts = Counter((label, split) for (_, label, _), split in zip(rows, splits, strict=True))
    assert [counts[label, "test"] for label in range(4)] == [20, 10, 2, 1]
    assert [counts[label, "validation"] for label in range(4)] == [10, 5, 1, 1]


def test_groups_of_twins_do_not_exceed_the_share() -> None:
    rows = [(None, 0, str(i // 5)) for i in range(50)]  # ten groups of five; a quarter is 12 images
    assert assign(rows, validation=0, test=0.25).count("test") == 10


def test_seed_decides() -> None:
    rows = [(None, i % 3, str(i)) for i in range(60)]
    assert assign(rows, seed=1) == assign(rows, seed=1)
    assert assign(rows, seed=1) != assign(rows, seed=2)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("train", "test"), {"train", "test"}),  # whole: the probe takes its own share of train later
        (("train",), {"train", "test"}),
        (("train", "validation"), {"train", "validation", "test"}),
        (("train", "validation", "test"), {"train", "validation", "test"}),
        ((None,), {"train", "validation", "test"}),
        ((None, "unlabeled"), {"train", "validation", "test", "unlabeled"}),
    ],
)
def test_what_the_source_has_is_kept(sources: tuple[str | None, ...], expected: set[str]) -> None:
    rows = [(sources[i % len(sources)], i // len(sources) % 2, str(i)) for i in range(120)]
    splits = assign(rows)
    assert set(splits) == expected
    for (source, _, _), split in zip(rows, splits, strict=True):
        assert split == source or source in (None, "train")
    if "test" in sources:
        assert splits == [source for source, _, _ in rows]


def test_unlabeled_images_are_never_evaluated_on() -> None:
    assert assign([(split, -1, str(i)) for i, split in enumerate([None, "train", "test"])]) == ["unlabeled"] * 3


@pytest.mark.parametrize("count", range(5))
def test_few_images(count: int) -> None:
    splits = assign([(None, 0, str(i)) for i in range(count)])
    assert splits.count("train") >= min(count, 1)


def test_a_labeled_twin_of_an_unlabeled_image_stays_in_train() -> None:
    rows = [(None, 0, str(i)) for i in range(10)] + [(None, -1, str(i)) for i in range(9)]
    assert assign(rows, test=0.5)[:10] == ["train"] * 10
