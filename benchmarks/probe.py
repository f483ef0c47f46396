"""The linear probe's regularization path against scikit-learn's LogisticRegression, value by value, at the same tolerance."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.measure import Bar, Row, rate, row, turns
from benchmarks.photos import crops, green_ranks
from ssl_pipelines.evaluation.linear import grid
from ssl_pipelines.evaluation.logistic import Linear, Problem
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.views import plain_view

BAR = Bar("probe", 5.0)
VALUES, TOLERANCE, MOST = 45, 1e-4, 1000
TRIED = [10, 25, 40]  # values that scikit-learn solves, from weak to strong regularization; their time stands for all


@torch.no_grad()
def features(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 512) of a fresh ResNet-18 on crops (in bfloat16, for time), standardized; classes: ranks of noised mean green."""
    torch.manual_seed(0)
    encoder = build_encoder(BackboneConfig(name="resnet18"), 3, 32).eval()
    pixels = crops(count, 32)
    with torch.autocast("cpu", torch.bfloat16):
        parts = [encoder(plain_view(torch.from_numpy(pixels[s : s + 500]), 32)).float() for s in range(0, count, 500)]
    x = torch.cat(parts).numpy()
    return ((x - x.mean(0)) / (x.std(0) + 1e-8)).astype(np.float32), green_ranks(pixels)


def run(quick: bool) -> list[Row]:
    count, held_out = (800, 1_000) if quick else (50_000, 5_000)
    x, y = features(count + held_out)
    x_val, y_val, x, y = x[count:], y[count:], x[:count], y[:count]
    values = grid(VALUES)
    ours: list[Linear | None] = []
    theirs: list[LogisticRegression] = []

    def path() -> None:
        ours[:] = Problem(x, y, standardize=False).path(values.tolist(), MOST, TOLERANCE, dtype=torch.float32)

    def one_by_one() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs[:] = [LogisticRegression(C=1 / values[k], tol=TOLERANCE, max_iter=MOST).fit(x, y) for k in TRIED]

    rates = turns({"ours": rate(path, VALUES), "sklearn": rate(one_by_one, len(TRIED))})
    found = {k: solution for k, solution in enumerate(ours) if solution is not None}
    done = sum(solution.converged for solution in found.values())
    best, best_of_theirs = max(found[k].score(x_val, y_val)[0] for k in TRIED), max(model.score(x_val, y_val) for model in theirs)
    assert round(abs(best - best_of_theirs), 6) <= 0.002, (best, best_of_theirs)
    detail = (
        f"{count:,} x 512, 10 classes, {VALUES} values ({done} converged), {len(TRIED)} by scikit-learn; "
        f"best top-1 of these {best:.4f} and {best_of_theirs:.4f}"
    )
    return [row(BAR, rates["ours"], rates["sklearn"], detail, "values/s")]
