"""What somebody may point at, and what is said of the rest."""

from __future__ import annotations

import pandas as pd
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.inference.sources import Images, OneImage, Tables, open_source
from tests.data.image_samples import encoded, noise

LIMIT = 10**6


def contents(source, rows=7):
    return [(image.path, image.content) for chunk in source.chunks(rows) for image in chunk.read()]


def write_table(path, seeds, named=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": encoded(noise(i)), "path": f"{i}.png" if named else None} for i in seeds]
    pd.DataFrame({"image": cells, "label": 0}).to_parquet(path, row_group_size=2)


def test_a_folder(images):
    source = open_source("s", images, LIMIT)
    assert isinstance(source, Images)
    assert source.total_files == 152
    assert dict(source.left_out) == {".txt": 1, "hidden file": 1}
    found = contents(source)
    assert [path for path, _ in found] == sorted(path for path, _ in found)
    for row, (path, content) in enumerate(found):
        if path != "empty.png":
            assert source.image(row, path) == content == (images / path).read_bytes()
    assert source.image(3, "gone.png") is None


def test_one_file_whatever_its_name(images, tmp_path):
    (tmp_path / "photo").write_bytes(encoded(noise(0)))
    source = open_source("s", tmp_path / "photo", LIMIT)
    assert isinstance(source, OneImage)
    assert contents(source) == [("photo", encoded(noise(0)))]
    assert source.image(0, "photo") == encoded(noise(0))


def test_tables_give_any_row(tmp_path):
    write_table(tmp_path / "t/train-00000-of-00002.parquet", range(5))
    write_table(tmp_path / "t/train-00001-of-00002.parquet", range(5, 8), named=False)
    for path, seeds in ((tmp_path / "t", range(8)), (tmp_path / "t/train-00001-of-00002.parquet", range(5, 8))):
        source = open_source("s", path, LIMIT)
        assert isinstance(source, Tables)
        found = contents(source)
        assert [content for _, content in found] == [encoded(noise(i)) for i in seeds]
        for row, (name, content) in enumerate(found):
            assert source.image(row, name) == content
            assert source.image(row, "another.png") is None
        assert source.image(len(found), found[0][0]) is None


def test_nothing_to_read_is_said_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").touch()
    for name, reason in (("absent", "does not exist"), ("empty", "it is empty"), ("texts", r"\.txt \(1\)")):
        with pytest.raises(InputError, match=rf"^embed.source='{name}' .*{reason}.*allowed"):
            open_source(f"embed.source='{name}'", tmp_path / name, LIMIT)


def test_the_listing_changes_with_the_images_alone(images):
    before = sorted(open_source("s", images, LIMIT).raw_files())
    (images / "other.txt").touch()
    assert sorted(open_source("s", images, LIMIT).raw_files()) == before
    (images / "copy.png").unlink()
    assert sorted(open_source("s", images, LIMIT).raw_files()) != before
