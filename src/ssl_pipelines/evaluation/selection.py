"""select: which images to label next, by the encoder's features. Labels say which images have one already, and nothing else.

Typicality (Hacohen et al. 2022, arXiv:2202.02794) is made for few labels, core-set (Sener & Savarese 2018, arXiv:1708.00489) for many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_pipelines.algorithms.k_center import k_center_greedy
from ssl_pipelines.algorithms.typicality import typiclust
from ssl_pipelines.artifacts import InputError, new_file
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import SelectConfig
from ssl_pipelines.evaluation.stored import TRAINED, StoredFeatures
from ssl_pipelines.views.randomness import generator

ROOM = "select"
Choice = tuple[Tensor, Tensor]  # rows (count,) in order of choice, their scores (count,)


def _random(x: Tensor, labeled: Tensor, count: int, random: torch.Generator) -> Choice:
    free = torch.ones(len(x), dtype=torch.bool)
    free[labeled] = False
    rows = free.nonzero().flatten()
    return rows[torch.randperm(len(rows), generator=random)[:count]], torch.full((count,), torch.nan)


# Name -> the choice of `count` rows of x (N, D), unit rows, beside those that are labeled (L,); the score is the strategy's own.
STRATEGIES: dict[str, Callable[[Tensor, Tensor, int, torch.Generator], Choice]] = {
    "typicality": typiclust,
    "coreset": k_center_greedy,
    "random": _random,
}


def pick(strategy: str, features: NDArray, labeled: NDArray[np.int64], count: int, seed: int, *draw: int) -> Choice:
    """Rows of `features` (N, D) beside the rows `labeled`; a function of the seed and the numbers of the draw."""
    x = F.normalize(torch.from_numpy(features), dim=1)
    return STRATEGIES[strategy](x, torch.from_numpy(labeled), count, generator(seed, f"evaluation/{ROOM}/{strategy}", *draw))


def everything_is_labeled(store: Path) -> bool:
    opened = Store.open(store)
    return bool((opened.labels(opened.pretraining_ids()) >= 0).all())


def select(features: Path, store: Path, config: SelectConfig, eval_layer: str, seed: int, out: Path) -> pd.DataFrame:
    """Writes select.parquet (rank, id, path, score) and select.csv, which has an empty column `label` too, into `out`, by the features of the layer
    `eval_layer`.

    Raises InputError where fewer than `count` images are without a label."""
    opened, stored = Store.open(store), StoredFeatures.open(features)
    layer, pool = stored.eval_layer(eval_layer, f"{ROOM}.eval_layer"), opened.pretraining_ids()
    labeled = np.flatnonzero(opened.labels(pool) >= 0)
    free = len(pool) - len(labeled)
    if free == 0:
        raise InputError(
            f"{ROOM}: each of the {len(pool):,} training images of {opened.name!r} has its label, so there is none to choose; "
            f"{ROOM}.simulate=true measures the strategies on them"
        )
    if config.count > free:
        raise InputError(f"{ROOM}.count={config.count:,}: {free:,} images have no label; allowed is 1 to {free:,}")
    rows, scores = pick(config.strategy, stored.rows(TRAINED, layer, pool), labeled, config.count, seed)
    ids = pool[rows.numpy()]
    paths = opened.manifest.set_index("id")["path"].loc[ids].to_numpy()
    table = pd.DataFrame({"rank": np.arange(1, len(ids) + 1), "id": ids, "path": paths, "score": scores.double().numpy()})
    with new_file(out / f"{ROOM}.parquet") as partial:
        table.to_parquet(partial, index=False)
    with new_file(out / f"{ROOM}.csv") as partial:
        table.assign(label="").to_csv(partial, index=False)
    return table
