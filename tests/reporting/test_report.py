"""The whole report on real digits: files, numbers, and a page that stands alone and says why something is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.reporting import theme
from ssl_pipelines.reporting.captions import CAPTIONS
from ssl_pipelines.reporting.config import ReportConfig
from ssl_pipelines.reporting.inputs import Model
from ssl_pipelines.reporting.pictures import png
from ssl_pipelines.reporting.report import report
from ssl_pipelines.reporting.sections import model_pictures
from tests.reporting import report_inputs
from tests.reporting.report_inputs import make_inputs

FAST = ReportConfig(neighbors_queries=4, neighbors=3, map_points=60)


def made(
    place: SimpleNamespace, config: ReportConfig = FAST, provenance: dict[str, Any] = report_inputs.PROVENANCE
) -> dict[str, Any]:
    return report(place.store, place.model, place.features, place.scores, provenance, config, 0, place.out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A report with nothing missing; its folders and metrics."""
    place = make_inputs(tmp_path_factory.mktemp("whole"))
    place.metrics = made(place)
    return place


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are one pixel: for tests of the page's words."""
    monkeypatch.setattr(theme, "_render", lambda draw, size, scheme: png(np.zeros((1, 1, 3), np.uint8)))


class Page(HTMLParser):
    """Tags with their attributes, and the text outside <style>."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.style = self.style and tag != "style"

    def handle_data(self, data: str) -> None:
        self.text += "" if self.style else f" {data.strip()}"


def test_the_report_holds_every_section_and_file(whole: SimpleNamespace) -> None:
    place, metrics = whole, whole.metrics
    assert json.loads((place.out / "metrics.json").read_text()) == metrics
    page = Page(place.out / "report.html")
    said = " ".join(page.text.split())
    for words in [
        "simclr on digits",
        "95.7",
        "learns",
        "95% interval +13.9 to +18.1",
        "Raw pixels",
        "From scratch",
        "The hardest".lower(),
    ]:
        assert words in said
    for words in [
        "mean of 3 seeds",
        "300 images of 303 source files",
        "truncated file",
        "c0ffee+dirty",
        "5f0c5f0c",
        "83.4 s",
        "pretrain.optimizer.lr",
    ]:
        assert words in said
    assert "No " not in said.replace("No label", "")
    names = {"results", "confusion", "classes", "loss", "knn", "embedding_std", "effective_rank", "learning_rate", "other_curves"}
    names |= {"spectrum", "invariances"}
    assert {path.stem for path in (place.out / "figures").iterdir()} == names | {"views", "neighbors", "map", "map_random_init"}
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == len(names) + 3 + 4 * (1 + 3)  # the retrieval grid: four queries, three neighbors each
    assert all(attributes["alt"] for attributes in pictures)


def test_the_page_stands_alone(whole: SimpleNamespace) -> None:
    place = whole
    page = Page(place.out / "report.html")
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#")), (tag, name, str(value)[:80])
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in (place.out / "report.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    place = make_inputs(tmp_path, classes=["<script>alert(1)</script>", '" onerror="x', "$x^{", *report_inputs.CLASSES[3:]])
    (place.model / "pictures" / "views.png").rename(place.model / "pictures" / "<b>mine.png")
    made(place)
    html = (place.out / "report.html").read_text()
    assert "<script" not in html
    assert "<b>" not in html
    assert "<i>" not in html  # a path of the manifest
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not any("onerror" in attributes for _, attributes in Page(place.out / "report.html").tags)


@pytest.mark.usefixtures("undrawn")
def test_without_labels_the_page_says_what_is_missing(tmp_path: Path) -> None:
    place = make_inputs(tmp_path, labeled=False)
    metrics = made(place)
    assert not {"linear", "knn", "finetune"} & metrics.keys()
    assert metrics["pretrain"] == {"images_seen": 30000, "views_seen": 60000, "images_per_second": 812.25}
    said = " ".join(Page(place.out / "report.html").text.split())
    for words in [
        "evaluation needs labeled train and test images",
        "No diagnosis: the room diagnose has left no numbers",
        "No results by class: the images have no labels",
        "No online kNN curve",
    ]:
        assert words in said
    assert "Without labels the frames are plain" in said
    assert "without labels to color them by" in said
    assert pd.read_csv(place.out / "plots" / "confusion.csv").empty
    assert pd.read_csv(place.out / "plots" / "knn.csv").columns.tolist() == ["step", "knn_top1"]


@pytest.mark.usefixtures("undrawn")
def test_without_features_pictures_or_provenance_the_rest_stands(tmp_path: Path) -> None:
    place = make_inputs(tmp_path)
    place.features = None
    (place.model / "pictures" / "views.png").unlink()
    (place.model / "provenance.json").unlink()
    metrics = made(place, provenance={})
    assert metrics["mlflow_run_id"] is None
    assert metrics["git_commit"] is None
    said = Page(place.out / "report.html").text
    for words in [
        "No retrieval: no features were extracted.",
        "No map: no features were extracted.",
        "No pictures: the training left none.",
    ]:
        assert words in said
    assert "learns" in said


@pytest.mark.usefixtures("undrawn")
def test_each_picture_says_what_its_columns_are(tmp_path: Path) -> None:
    """By the method, else by the name alone, else it is called by its name."""
    place = make_inputs(tmp_path)
    config = json.loads((place.model / "config.json").read_text())
    config["parameters"]["method"] = "mp3"
    (place.model / "config.json").write_text(json.dumps(config))
    for name in ("positions", "solved_puzzles"):
        shutil.copy(place.model / "pictures" / "views.png", place.model / "pictures" / f"{name}.png")
    found = {figure.name: figure.caption for figure in model_pictures(Model(place.model))}
    assert found == {"views": CAPTIONS["views"], "positions": CAPTIONS["mp3/positions"], "solved_puzzles": "solved puzzles"}
    made(place)
    said = " ".join(Page(place.out / "report.html").text.split())
    assert all(caption in said for caption in found.values())


@pytest.mark.usefixtures("undrawn")
def test_a_room_that_did_not_run_is_left_out(tmp_path: Path) -> None:
    place = make_inputs(tmp_path)
    for name in ("linear_eval.json", "finetune.json", "linear_eval.predictions.parquet"):
        (place.scores / name).unlink()
    metrics = made(place)
    assert "linear" not in metrics
    assert metrics["knn"]["top1"] == 0.91
    said = " ".join(Page(place.out / "report.html").text.split())
    assert "Nearest neighbors, top-1 91.0" in said  # the headline falls back to it
    assert "no gain shown" in said
    assert "Fine-tuning" not in said
    assert "No results by class: no evaluation has stored predictions" in said


def test_the_plots_hold_the_recorded_values(whole: SimpleNamespace) -> None:
    place = whole
    loss = pd.read_csv(place.out / "plots" / "loss.csv")
    assert loss.columns.tolist() == ["step", "loss"]
    history = pd.read_parquet(place.model / "history.parquet")
    assert loss.loss.tolist() == pytest.approx(history.value[history.name == "train/loss"].tolist(), rel=1e-12)
    confusion = pd.read_csv(place.out / "plots" / "confusion.csv")
    predictions = pd.read_parquet(place.scores / "linear_eval.predictions.parquet")
    assert confusion.actual.tolist() == [report_inputs.CLASSES[label] for label in predictions.label]
    assert confusion.predicted.tolist() == [report_inputs.CLASSES[label] for label in predictions.prediction]


def test_one_seed_makes_one_page(whole: SimpleNamespace, tmp_path: Path) -> None:
    report(whole.store, whole.model, whole.features, whole.scores, report_inputs.PROVENANCE, FAST, 0, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == (whole.out / "report.html").read_bytes()


def test_broken_inputs_are_one_line(tmp_path: Path) -> None:
    place = make_inputs(tmp_path, count=60)
    (place.model / "pictures" / "views.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"views\.png is not a PNG picture"):
        model_pictures(Model(place.model))
    (place.scores / "linear_eval.json").write_text('{"top1": 0.9}')
    with pytest.raises(InputError, match=r"linear_eval\.json is no list of scores"):
        made(place)


@pytest.mark.parametrize("refused", [{"map": "umap"}, {"neighbors": 0}, {"map_points": 5}, {"neighbours": 3}])
def test_the_config_refuses_what_it_does_not_know(refused: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=re.escape(f"report.{next(iter(refused))}")):
        ReportConfig.of(refused, "report")
