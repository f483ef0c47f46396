"""The diagnosis on the page: every number beside its baselines, how to read it, and two pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

from ssl_pipelines.reporting import diagnosis_figures
from ssl_pipelines.reporting.diagnosis import MEASURES, diagnosis
from ssl_pipelines.reporting.inputs import Scores
from ssl_pipelines.reporting.results import other_scores
from ssl_pipelines.reporting.theme import LIGHT, Figure
from tests.reporting import report_inputs


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Canvas]:
    """Name -> the canvas that was drawn on, once, in the light scheme."""
    found: dict[str, Canvas] = {}

    def chart(name: str, alt: str, draw: object, size: tuple[float, float], caption: str = "") -> Figure:
        found[name] = Canvas(figsize=size)
        draw(found[name], LIGHT)  # type: ignore[operator]
        return Figure(name, alt, b"", caption=caption)

    monkeypatch.setattr(diagnosis_figures, "chart", chart)
    return found


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    report_inputs.make_diagnosis(tmp_path)
    return Scores(tmp_path)


@pytest.mark.usefixtures("drawn")
def test_a_line_a_measure_with_its_baselines(scores: Scores) -> None:
    found = diagnosis(scores)
    assert found is not None
    headers = ["Measure", "Pretrained", "95% interval", "Random initialization", "Raw pixels", "How to read it"]
    assert found.table.headers == headers
    rows = {row[0]: row[1:] for row in found.table.rows}
    assert rows["Alignment"][:4] == ("0.210", "0.200 to 0.220", "0.105", "0.147")
    assert rows["RankMe of the features"][:4] == ("21.4", "", "10.7", "–")
    assert rows["Uniformity"][:2] == ("-2.900", "-2.910 to -2.890")
    assert len(rows) == len(MEASURES) - 1  # gray images have no color to lose
    assert ("Alignment, raw pixels", "how alignment of raw_pixels was measured") in found.protocols
    assert "eval layer final" in found.says


def test_the_spectrum_is_drawn_as_shares_on_logarithmic_axes(scores: Scores, drawn: dict[str, Canvas]) -> None:
    diagnosis(scores)
    [axes] = drawn["spectrum"].axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.yaxis.get_major_formatter()(0.01) == axes.xaxis.get_major_formatter()(0.01) == "0.01"  # no formula
    trained, random = axes.get_lines()
    assert (trained.get_label(), random.get_label()) == ("pretrained, alpha 1.00", "random initialization, alpha 0.50")
    harmonic = sum(1 / j for j in range(1, 33))
    assert trained.get_xydata()[3] == pytest.approx((4, 1 / 4 / harmonic))


def test_invariances_stand_beside_different_images(scores: Scores, drawn: dict[str, Canvas]) -> None:
    diagnosis(scores)
    [axes] = drawn["invariances"].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "cropping",
        "flipping",
        "color jitter",
        "blur",
        "rotation",
        "noise",
    ]
    references = [line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert references == pytest.approx([0.31, 0.155, 0.217])
    points = [line.get_xdata() for line in axes.get_lines() if line.get_marker() == "o"]
    assert points[0] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert len(points) == 3


@pytest.mark.usefixtures("drawn")
def test_without_spectra_or_baselines_the_rest_is_shown(scores: Scores) -> None:
    (scores.folder / "diagnose.spectra.parquet").unlink()
    rows = [row for row in json.loads((scores.folder / "diagnose.json").read_text()) if row["baseline"] != "raw_pixels"]
    (scores.folder / "diagnose.json").write_text(json.dumps(rows))
    found = diagnosis(Scores(scores.folder))
    assert found is not None
    assert found.table.headers[-2:] == ["Random initialization", "How to read it"]
    assert [figure.name for figure in found.figures] == ["invariances"]


def test_rounding_is_no_part_of_the_spectrum(drawn: dict[str, Canvas]) -> None:
    table = pd.DataFrame({"source": "trained", "rank": [1, 2, 3, 4], "eigenvalue": [4.0, 1.0, 1e-15, 0.0]})
    diagnosis_figures.spectrum(table, {})
    assert len(drawn["spectrum"].axes[0].get_lines()[0].get_xdata()) == 2
    assert diagnosis_figures.spectrum(table[:0], {}) is None


def test_nothing_where_the_room_left_nothing(tmp_path: Path) -> None:
    assert diagnosis(Scores(tmp_path)) is None
    (tmp_path / "diagnose.json").write_text("[]")
    assert diagnosis(Scores(tmp_path)) is None


def test_other_numbers_do_not_repeat_it(scores: Scores) -> None:
    assert other_scores(scores) is None
