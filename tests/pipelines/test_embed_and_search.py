"""embed and search as a user runs them: any images, any of the project's models, one file or one page."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from ssl_pipelines.data import Store
from ssl_pipelines.data.decode import DecodeSpec, decode
from ssl_pipelines.orchestration.mlflow.tracking_store import default_store
from ssl_pipelines.training.model import load_method
from ssl_pipelines.views import plain_view


@pytest.fixture
def photos(finished):
    """30 digits as files, one twice, one broken, one no image; the first of them once more, to be asked for."""
    folder, digits = finished.root / "photos", np.load(finished.root / "digits.npz")["images"]
    (folder / "some").mkdir(parents=True)
    for i in range(30):
        Image.fromarray(digits[i]).save(folder / ("some" if i % 2 else "") / f"{i:02}.png")
    shutil.copy(folder / "00.png", folder / "copy.png")
    shutil.copy(folder / "00.png", finished.root / "asked.png")
    (folder / "broken.png").write_bytes((folder / "00.png").read_bytes()[:60])
    (folder / "notes.txt").touch()
    return folder


def made(project, pattern):
    [found] = project.root.glob(pattern)
    return found


def register(project):
    """The trained model as encoder@champion; its run."""
    store = f"sqlite:///{project.root}/mlflow.db"
    client = MlflowClient(tracking_uri=store)
    run = json.loads((project.root / "data/06_models/provenance.json").read_text())["mlflow_run_id"]
    client.create_registered_model("encoder")
    with default_store(store):
        version = client.create_model_version("encoder", client.get_run(run).data.tags["model_uri"], run_id=run).version
    client.set_registered_model_alias("encoder", "champion", version)
    return run


def test_the_embeddings_are_the_encoders(finished, photos):
    finished.run("--pipeline=embed", params="embed.source=photos,embed.batch_size=7")
    table = pd.read_parquet(made(finished, "data/12_embeddings/photos-*.parquet"))
    assert table.path.tolist() == sorted(table.path)
    assert len(table) == 32
    bad = table[table.error.notna()]
    assert bad.path.tolist() == ["broken.png"]
    method, store = load_method(finished.root / "data/06_models"), Store.open(finished.root / "data/02_intermediate")
    good = table[table.error.isna()]
    pixels = np.stack(
        [decode((photos / path).read_bytes(), DecodeSpec(store.size, store.channels, 10**6))[0] for path in good.path]
    )
    with torch.no_grad():
        expected = method.encode(plain_view(torch.from_numpy(pixels), method.image_size)).numpy()
    np.testing.assert_allclose(np.stack(good.embedding), expected, atol=1e-5)
    assert finished.said("embed: 31 of 32 images of photos")
    assert finished.said("1 without an embedding", "cannot be decoded")
    assert finished.said("left out: .txt (1)")
    assert not finished.said("pretrain"), "no room runs for it"


def test_what_is_there_is_not_made_again_until_images_or_model_change(finished, photos):
    run = register(finished)
    finished.run("--pipeline=embed", params="embed.source=photos")
    file = made(finished, "data/12_embeddings/*.parquet")
    content = file.read_bytes()
    # The same weights under other names.
    for model in ("@champion", "models:/encoder@champion", run, "data/06_models"):
        finished.run("--pipeline=embed", params=f"embed.source=photos,embed.model={model}")
        assert finished.said("embed: up to date"), model
    assert file.read_bytes() == content
    (photos / "some/29.png").unlink()
    finished.run("--pipeline=embed", params="embed.source=photos")
    assert len(pd.read_parquet(made(finished, "data/12_embeddings/*.parquet"))) == 31


def test_one_file_and_a_place_of_ones_own(finished, photos):
    finished.run("--pipeline=embed", params="embed.source=asked.png,embed.output=out/one.parquet")
    table = pd.read_parquet(finished.root / "out/one.parquet")
    assert table.path.tolist() == ["asked.png"]
    finished.run("--pipeline=embed", params="embed.source=photos,embed.output=out/one.parquet")
    assert len(pd.read_parquet(finished.root / "out/one.parquet")) == 32


REFUSED = {
    "": ("embed.source is not given", "a folder of images"),
    "embed.source=nowhere": ("embed.source='nowhere' does not exist",),
    "embed.source=empty": ("embed.source='empty' holds no image", "it is empty"),
    "embed.source=photos,embed.model=nowhere": ("embed.model='nowhere'", "no model folder", "models:/"),
    "embed.source=photos,embed.model=@champion": ("embed.model='@champion'", "no such model"),
    "embed.source=photos,embed.model=@": ("embed.model='@'",),
    "embed.source=photos,embed.model=models:/": ("embed.model='models:/'",),
    f"embed.source=photos,embed.model={'f' * 32}": ("no such run",),
    "embed.source=photos,embed.eval_layer=layer9": ("embed.eval_layer='layer9' is unknown", "final"),
    "embed.source=photos,embed.output=a.csv": ("embed.output='a.csv' is refused", ".parquet"),
    "embed.source=photos,embed.output=taken.parquet": ("taken.parquet", "not written by embed"),
    "embed.source=photos,embed.output=theirs.parquet": ("theirs.parquet", "not written by embed"),
    "embed.source=tables,embed.output=tables/e.parquet": ("tables/e.parquet", "lies in embed.source"),
    "embed.source=theirs.parquet": ("no image there can be read", "the file that it names is not there"),
    "embed.sauce=photos": ("sauce", "source"),
}


@pytest.mark.parametrize("params", REFUSED)
def test_what_cannot_be_done_is_one_line(finished, photos, refused, params):
    root = finished.root
    (root / "empty").mkdir()
    (root / "tables").mkdir()
    pd.DataFrame({"image": [(photos / "00.png").read_bytes()]}).to_parquet(root / "tables/a.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(root / "taken.parquet")
    pd.DataFrame({"path": ["a"], "embedding": [[1.0, 2.0]]}).to_parquet(root / "theirs.parquet")
    message = refused(lambda: finished.run("--pipeline=embed", params=params))
    for part in REFUSED[params]:
        assert part in message, message
    assert not list(root.glob("data/12_embeddings/*"))
    assert pd.read_parquet(root / "theirs.parquet").path.tolist() == ["a"]


def test_without_a_model_it_says_where_to_get_one(project, refused):
    (project.root / "photos").mkdir()
    Image.new("L", (9, 9)).save(project.root / "photos/a.png")
    message = refused(lambda: project.run("--pipeline=embed", params="embed.source=photos"))
    assert "embed.model is not given" in message
    assert "--pipeline=pretrain" in message
    assert not (project.root / "data/02_intermediate").exists(), "nothing is trained in passing"


def test_images_like_this_one(finished, photos):
    finished.run("--pipeline=search", params="search.source=photos,search.query=asked.png,search.k=5")
    folder = made(finished, "data/13_search/asked-*")
    table = pd.read_csv(folder / "results.csv")
    assert table.columns.tolist() == ["query", "rank", "path", "similarity", "same_image", "error"]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5]
    assert table.path[:2].tolist() == ["00.png", "copy.png"]
    assert table.same_image.tolist() == [True, True, False, False, False]
    assert table.similarity[0] == pytest.approx(1)
    embeddings = pd.read_parquet(made(finished, "data/12_embeddings/photos-*.parquet"))
    embeddings = embeddings[embeddings.error.isna()].reset_index(drop=True)
    unit = np.stack(embeddings.embedding).astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit[embeddings.path.tolist().index("00.png")]
    assert table.similarity.tolist() == pytest.approx(sorted(cosines)[::-1][:5], abs=1e-6)
    page = (folder / "search.html").read_text()
    assert page.count("<img") == 6
    assert page.count("the same image") == 2
    assert "http" not in page.replace("http-equiv", "")
    finished.run("--pipeline=search", params="search.source=photos,search.query=asked.png,search.k=3")
    assert finished.said("embed: up to date")
    assert len(pd.read_csv(folder / "results.csv")) == 3


def test_search_in_a_file_of_embeddings_uses_the_model_that_made_it(finished, photos, refused):
    register(finished)
    finished.run("--pipeline=embed", params="embed.source=photos,embed.model=@champion,embed.output=e.parquet")
    shutil.copytree(finished.root / "data/06_models", finished.root / "other")
    weights = finished.root / "other/encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    (finished.root / "data/06_models/pretrain.record.json").unlink()  # no present model: the file says which
    finished.run("--pipeline=search", params="search.source=e.parquet,search.query=photos")
    table = pd.read_csv(made(finished, "data/13_search/photos-*") / "results.csv")
    assert table[table["rank"] == 1].similarity.min() > 1 - 1e-6
    assert table[table.error.notna()]["query"].tolist() == ["broken.png"]
    assert table["query"].nunique() == 32
    page = (made(finished, "data/13_search/photos-*") / "search.html").read_text()
    assert "The first 30 of 32 queries" in page
    assert "This query cannot be read" in page
    message = refused(
        lambda: finished.run("--pipeline=search", params="search.source=e.parquet,search.query=photos,search.model=other")
    )
    assert "was embedded by models:/encoder@champion" in message
    message = refused(
        lambda: finished.run("--pipeline=search", params="search.source=e.parquet,search.query=photos,search.eval_layer=x")
    )
    assert "leave search.eval_layer out" in message
    shutil.rmtree(photos)  # the pictures are gone, the embeddings are not
    finished.run("--pipeline=search", params="search.source=e.parquet,search.query=asked.png")
    page = (made(finished, "data/13_search/asked-*") / "search.html").read_text()
    assert page.count("no picture") == 12


SEARCH_REFUSED = {
    "search.query=asked.png": ("search.source is not given",),
    "search.source=photos": ("search.query is not given",),
    "search.source=photos,search.query=nowhere.png": ("search.query='nowhere.png' does not exist",),
    "search.source=photos,search.query=photos/broken.png": ("search.query='photos/broken.png'", "cannot be decoded"),
    "search.source=photos,search.query=asked.png,search.k=0": ("search.k=0",),
    "search.source=bad,search.query=asked.png": ("search.source='bad': no image there can be read",),
    "search.source=photos,search.query=asked.png,search.output=photos": ("search.output='photos'", "no answer of search"),
    "search.source=theirs.parquet,search.query=asked.png": ("theirs.parquet", "2 numbers an image"),
}


@pytest.mark.parametrize("params", SEARCH_REFUSED)
def test_what_cannot_be_searched_is_one_line(finished, photos, refused, params):
    (finished.root / "bad").mkdir()
    (finished.root / "bad/empty.png").touch()
    pd.DataFrame({"path": ["a"], "embedding": [[1.0, 2.0]]}).to_parquet(finished.root / "theirs.parquet")
    message = refused(lambda: finished.run("--pipeline=search", params=params))
    for part in SEARCH_REFUSED[params]:
        assert part in message, message
    assert not list(finished.root.glob("data/13_search/*"))
    assert (photos / "00.png").exists()
