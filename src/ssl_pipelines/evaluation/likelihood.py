"""The exact likelihood of the test images in bits per symbol, for a method that has one. No label is read."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_pipelines.artifacts import write_json
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.protocols import described
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.methods.base import Method
from ssl_pipelines.methods.likelihood import LikelihoodMethod
from ssl_pipelines.views.plain import plain_view

FILE = "likelihood.json"  # in the features folder; absent where there is nothing to score
PREFIX, BASELINE = "likelihood", "histogram"
BATCH = 64  # images: 256 logits a channel are large
NORMAL = 1.96  # standard errors to both ends of a 95% interval


@torch.no_grad()
def likelihood_scores(method: Method, store: Store, seed: int) -> list[Score]:
    """Bits a symbol over the test images, and what each value costs by its frequency alone. [] where the method has no exact likelihood or
    the store no test images. Leaves the method in evaluation mode."""
    ids, train = store.ids("test"), store.pretraining_ids()
    if not isinstance(method, LikelihoodMethod) or not len(ids):
        return []
    method.eval()
    ours, counts, symbols = [], _counts(method, store, train), 0
    table, theirs = -torch.log2(counts / counts.sum(1, keepdim=True)), []  # (G, K)
    for start in range(0, len(ids), BATCH):
        images = _images(method, store, ids[start : start + BATCH])
        found = method.log_likelihood(images)
        if found is None:
            return []
        coded = method.symbols(images).cpu()  # (b, G, n)
        symbols = coded[0].numel()
        ours.append(-found.double().cpu() / symbols / math.log(2))
        theirs.append(table.expand(len(coded), -1, -1).gather(2, coded).flatten(1).mean(1))
    what = f"{method.coded()}; mean over {len(ids):,} test images as they are, {symbols:,} symbols each; 95% interval of the mean, normal"
    uniform = f"a uniform guess costs {math.log2(method.num_symbols):.4g}"
    exact = f"bits a symbol by the model's exact likelihood, last weights, fp32; a symbol is {what}; {uniform}"
    alone = f"bits a symbol by its frequency (of its color) in {len(train):,} training images, one added to each count, nothing else known; {what}"
    return [
        _score(f"{PREFIX}.{method.unit}", torch.cat(ours), exact, seed, None),
        _score(f"{PREFIX}.{BASELINE}_{method.unit}", torch.cat(theirs), alone, seed, BASELINE),
    ]


def write_likelihood(folder: Path, scores: list[Score]) -> None:
    if scores:
        write_json(folder / FILE, [asdict(score) for score in scores])


def _counts(method: LikelihoodMethod, store: Store, ids: NDArray[np.int64]) -> Tensor:
    """(G, K) double: how often each symbol occurs in each group, plus one."""
    total: Tensor | None = None
    for start in range(0, len(ids), BATCH):
        symbols = method.symbols(_images(method, store, ids[start : start + BATCH])).cpu()
        groups = symbols.transpose(0, 1).flatten(1)  # (G, b n)
        found = torch.stack([torch.bincount(one, minlength=method.num_symbols) for one in groups])
        total = found if total is None else total + found
    assert total is not None
    return total.double() + 1


def _images(method: LikelihoodMethod, store: Store, ids: NDArray[np.int64]) -> Tensor:
    device = next(method.parameters()).device
    return plain_view(torch.from_numpy(store.gather(ids).fields["image"]).to(device), method.image_size)


def _score(metric: str, bits: Tensor, protocol: str, seed: int, baseline: str | None) -> Score:
    n, mean = len(bits), float(bits.mean())
    half = NORMAL * float(bits.std()) / math.sqrt(n) if n > 1 else 0.0
    return Score(metric, mean, mean - half, mean + half, n, described(protocol), seed, baseline)
