"""The file of embeddings: a row an image, bounded memory, whole or not at all; and files that others wrote."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.inference import embed
from ssl_pipelines.inference.embed import write_embeddings
from ssl_pipelines.inference.embeddings import Embeddings
from ssl_pipelines.inference.encoder import ImageEncoder
from ssl_pipelines.inference.sources import open_source

LIMIT = 10**6


def write(model, path, out, batch_size=64, about=None):
    return write_embeddings(
        ImageEncoder(model), open_source("source", path, LIMIT), about or {}, batch_size, 1, out, "embed.source='given'"
    )


def test_a_row_an_image_in_the_order_of_paths(model, images, tmp_path):
    counts = write(model, images, tmp_path / "e.parquet", about={"recipe": "r"})
    table, encoder = pd.read_parquet(tmp_path / "e.parquet"), ImageEncoder(model)
    assert list(table.columns) == ["path", "embedding", "error", "sha256"]
    assert table.path.tolist() == sorted(table.path)
    assert (counts.images, counts.usable, len(table)) == (152, 150, 152)
    for path, vector, error in zip(table.path, table.embedding, table.error, strict=True):
        if path in ("broken.jpg", "empty.png"):
            assert isinstance(error, str)
            assert np.isnan(vector).all()
        else:
            [expected] = encoder.embed_contents([(images / path).read_bytes()]).vectors
            np.testing.assert_allclose(vector, expected, atol=1e-5)
    kind = pq.read_schema(tmp_path / "e.parquet").field("embedding").type
    assert kind == pa.list_(pa.float32(), encoder.dim)
    found = Embeddings.open("e", tmp_path / "e.parquet")
    assert (found.about["recipe"], found.dim, found.count, found.usable) == ("r", encoder.dim, 152, 150)


def test_nothing_readable_is_refused_and_writes_nothing(model, tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"^embed\.source='given': no image there can be read: .*\(2\)"):
        write(model, tmp_path / "images", tmp_path / "e.parquet")
    assert not list(tmp_path.glob("e.parquet*"))


def test_row_groups_bound_what_waits_in_memory(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "GROUP_BYTES", 1)
    write(model, images, tmp_path / "many.parquet", batch_size=1)
    monkeypatch.undo()
    write(model, images, tmp_path / "one.parquet", batch_size=1000)
    many, one = pq.ParquetFile(tmp_path / "many.parquet"), pq.ParquetFile(tmp_path / "one.parquet")
    assert many.metadata.num_row_groups == 3  # chunks of 64 rows
    assert one.metadata.num_row_groups == 1
    for name in ("path", "error", "sha256"):
        assert many.read()[name].to_pylist() == one.read()[name].to_pylist()
    a, b = (np.stack(pd.read_parquet(tmp_path / f"{name}.parquet").embedding) for name in ("many", "one"))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_fails_in_the_middle_leaves_what_was_there(model, images, tmp_path, monkeypatch):
    out = tmp_path / "e.parquet"
    write(model, images / "0", out)
    before, encoder, calls = out.read_bytes(), ImageEncoder(model), []

    def fail(pixels):
        calls.append(len(pixels))
        if len(calls) > 1:
            raise KeyboardInterrupt
        return np.zeros((len(pixels), encoder.dim), np.float32)

    monkeypatch.setattr(encoder, "embed", fail)
    with pytest.raises(KeyboardInterrupt):
        write_embeddings(encoder, open_source("source", images, LIMIT), {}, 64, 1, out, "source")
    assert len(calls) == 2
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_blocks_leave_out_the_rows_with_an_error(model, images, tmp_path, monkeypatch):
    write(model, images, tmp_path / "e.parquet")
    found = Embeddings.open("e", tmp_path / "e.parquet")
    monkeypatch.setattr("ssl_pipelines.inference.embeddings.BLOCK_BYTES", 4 * found.dim * 50)
    blocks = list(found.blocks())
    rows = np.concatenate([block.rows for block in blocks])
    table = pd.read_parquet(tmp_path / "e.parquet")
    assert len(blocks) == 4
    assert rows.tolist() == table.index[table.error.isna()].tolist()
    np.testing.assert_array_equal(np.concatenate([block.vectors for block in blocks]), np.stack(table.embedding[rows]))
    known = found.rows(np.array([0, 151, 70, 70]))
    assert {row: values["path"] for row, values in known.items()} == {row: table.path[row] for row in (0, 70, 151)}


def test_lists_that_pandas_wrote(tmp_path):
    rows = [np.arange(4) + i for i in range(3)]
    pd.DataFrame({"path": list("abc"), "embedding": [rows[0].astype(float), None, rows[2].astype(float)]}).to_parquet(
        tmp_path / "p.parquet"
    )
    found = Embeddings.open("p", tmp_path / "p.parquet")
    [block] = found.blocks()
    assert (found.dim, found.about, block.rows.tolist()) == (4, {}, [0, 2])
    np.testing.assert_array_equal(block.vectors, np.float32([rows[0], rows[2]]))
    assert found.rows(np.array([2]))[2] == {"path": "c", "sha256": None}


def test_what_is_no_file_of_embeddings(tmp_path):
    (tmp_path / "text.parquet").write_text("text")
    pd.DataFrame({"path": ["a"], "embedding": ["b"]}).to_parquet(tmp_path / "words.parquet")
    for name in ("text", "words", "absent"):
        with pytest.raises(InputError, match=r"^k is no file of embeddings"):
            Embeddings.open("k", tmp_path / f"{name}.parquet")
    for vectors, reason in (([[1.0, 2.0], [1.0]], "different lengths"), ([[1.0, 2.0], [1.0, np.nan]], "not finite")):
        pd.DataFrame({"path": ["a", "b"], "embedding": vectors}).to_parquet(tmp_path / "odd.parquet")
        with pytest.raises(InputError, match=reason):
            list(Embeddings.open("k", tmp_path / "odd.parquet").blocks())
