"""Neighbors against a brute force in float64, over blocks, ties and copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.inference.embeddings import Embeddings, as_table, schema_of
from ssl_pipelines.inference.search import Query, find, nearest_rows


def index(folder, vectors, errors=(), sha256=None):
    import pyarrow.parquet as pq

    rows = [
        {"path": f"{i}.png", "status": "unusable" if i in errors else "ok", "reason": "no" if i in errors else None}
        for i in range(len(vectors))
    ]
    rows = [row | {"sha256": None if row["reason"] else (sha256 or str)(i)} for i, row in enumerate(rows)]
    usable = np.array([row["reason"] is None for row in rows])
    pq.write_table(as_table(schema_of(vectors.shape[1], {}), rows, vectors[usable]), folder / "i.parquet")
    return Embeddings.open("i", folder / "i.parquet")


def brute_force(vectors, queries, k, errors=()):
    a, b = vectors.astype(np.float64), queries.astype(np.float64)
    cosines = (b @ a.T) / np.linalg.norm(b, axis=1)[:, None] / np.linalg.norm(a, axis=1)[None]
    cosines[:, list(errors)] = -np.inf
    order = np.lexsort((np.broadcast_to(np.arange(len(a)), cosines.shape), -cosines), axis=1)[:, :k]
    return order, np.take_along_axis(cosines, order, 1)


@pytest.mark.parametrize("block", [7, 64, 10_000])
def test_equal_to_brute_force_whatever_the_blocks(tmp_path, monkeypatch, block):
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(200, 6)).astype(np.float32), rng.normal(size=(5, 6)).astype(np.float32)
    errors = (0, 50, 199)
    monkeypatch.setattr("ssl_pipelines.inference.embeddings.BLOCK_BYTES", 4 * 6 * block)
    rows, similarity = nearest_rows(index(tmp_path, vectors, errors), queries, 12)
    expected_rows, expected = brute_force(vectors, queries, 12, errors)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(similarity, expected, atol=1e-6)


def test_more_neighbors_than_images(tmp_path):
    vectors = np.eye(4, dtype=np.float32)
    rows, _ = nearest_rows(index(tmp_path, vectors, (1,)), vectors[:1], 12)
    assert rows.tolist() == [[0, 2, 3]]


def test_the_same_image_is_told_by_its_pixels(tmp_path):
    vectors = np.float32([[1, 0], [1, 0], [1, 1e-5], [0, 1]])
    made = index(tmp_path, vectors, sha256=["a", "a", "b", "c"].__getitem__)
    found = find(made, [Query("q", 0, None, "a"), Query("r", None, "no", None)], vectors[:1], 3)
    assert [[(one.row, one.same) for one in hits] for hits in found] == [[(0, True), (1, True), (2, False)], []]
    assert found[0][0].similarity == pytest.approx(1)
    assert found[0][0].path == "0.png"


def test_the_same_image_without_digests(tmp_path):
    pd.DataFrame({"path": ["a", "b"], "embedding": [np.float32([3, 4]), np.float32([3, 4.1])]}).to_parquet(tmp_path / "p.parquet")
    [hits] = find(Embeddings.open("p", tmp_path / "p.parquet"), [Query("q", 0, None, "x")], np.float32([[6, 8]]), 2)
    assert [(one.path, one.same) for one in hits] == [("a", True), ("b", False)]
