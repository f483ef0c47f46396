"""The table of transfers: best marked, skipped ones without numbers, ranks last."""

from __future__ import annotations

from ssl_pipelines.reporting.transfer import table

COLUMNS = {"": "simclr, this encoder", "random_init": "Random init", "raw_pixels": "Raw pixels", "byol": "byol"}


def row(value, n=40):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def test_lines_of_the_table():
    scores = {
        f"transfer.digits.knn.{key}top1": row(value)
        for key, value in (("", 0.5), ("random_init_", 0.4), ("raw_pixels_", 0.2), ("byol_", 0.6))
    }
    scores |= {"transfer.digits.knn.gain": row(-0.05)}
    scores |= {
        f"transfer.knn.{key}mean_rank": row(rank, 1)
        for key, rank in (("", 2), ("random_init_", 3), ("raw_pixels_", 4), ("byol_", 1))
    }
    found = table("knn", scores, [{"name": "plain", "skipped": "no labels"}, {"name": "digits", "skipped": None}], COLUMNS)
    assert found.headers == ["Data set", "Test images", *COLUMNS.values(), "Gain over random init"]
    assert found.rows[0] == ("plain (skipped)", "–", "–", "–", "–", "–", "–")
    assert found.rows[1][:3] == ("digits", "40", "50.0 [40.0, 60.0]")
    assert found.rows[1][5:] == ("★ 60.0 [50.0, 70.0]", "-5.0 [-15.0, +5.0]")
    assert found.rows[2][:3] == ("Mean rank", "", "2.00 [1.90, 2.10]")
