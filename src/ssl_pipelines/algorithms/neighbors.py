"""Nearest neighbors by cosine, exact. Beside the normalized bank, memory is one chunk of queries by one block of the bank."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 65_536  # rows of the bank compared at a time: fewer, longer selections cost less than many short ones
CHUNK = 1024  # queries, so that a product is large enough to run at full speed; 268 MB of similarities


def nearest(bank: Tensor, queries: Tensor, k: int, chunk: int = CHUNK) -> Tensor:
    """Indices of the k rows of `bank` with the largest cosine, best first.   (N, D), (Q, D) -> (Q, k) int64.

    Equal similarities: the lower index first. A zero row has cosine 0 with everything. 1 <= k <= N."""
    return _search(bank, queries, k, chunk)[1]


def knn_predict(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, k: int, temperature: float, num_classes: int, chunk: int = CHUNK
) -> Tensor:
    """argmax_c sum_{i in top k, y_i = c} exp(cos_i / T).   (N, D), (N,) int64, (Q, D) -> (Q,) int64; equal scores: the lower class.

    Wu et al. 2018 (InstDisc), arXiv:1805.01978, section 3.4. The best cosine is subtracted before exp, which changes no argmax."""
    similarity, indices = _search(bank, queries, k, chunk)
    weights = ((similarity.double() - similarity[:, :1].double()) / temperature).exp()  # (Q, k)
    scores = torch.zeros(len(queries), num_classes, dtype=torch.float64, device=queries.device)
    return scores.scatter_add_(1, bank_labels.to(indices.device)[indices], weights).argmax(dim=1)


@torch.no_grad()
def _search(bank: Tensor, queries: Tensor, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """(similarities, indices), both (Q, k), by descending similarity, then ascending index."""
    assert 1 <= k <= len(bank), f"k={k} with a bank of {len(bank)}"
    unit = F.normalize(bank, dim=1)
    room = unit.new_empty(min(chunk, len(queries)) * min(BLOCK, len(bank)))  # taken once: fresh pages cost more than the selection
    similarity, indices = [], []
    for part in queries.split(chunk):
        values, found = _search_chunk(unit, F.normalize(part, dim=1), k, room)
        similarity.append(values)
        indices.append(found)
    return torch.cat(similarity), torch.cat(indices)


def _search_chunk(unit: Tensor, queries: Tensor, k: int, room: Tensor) -> tuple[Tensor, Tensor]:
    tops = [_top(_product(queries, block, room), k) for block in unit.split(BLOCK)]
    values = torch.cat([found for found, _ in tops], 1)
    indices = torch.cat([found + block * BLOCK for block, (_, found) in enumerate(tops)], 1)
    indices, order = indices.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values[:, :k], indices.gather(1, order[:, :k])


def _product(a: Tensor, b: Tensor, room: Tensor) -> Tensor:
    """a b^T, written into `room`."""
    return torch.mm(a, b.T, out=room[: len(a) * len(b)].view(len(a), len(b)))


def _top(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, of equal ones those of lowest index, in any order; torch.topk alone leaves ties to chance."""
    if k >= similarity.shape[1]:
        return similarity.clone(), torch.arange(similarity.shape[1], device=similarity.device).expand_as(similarity)
    values, indices = similarity.topk(k + 1, dim=1)
    tied = values[:, k] == values[:, k - 1]  # one more than asked for shows whether the border runs between equals
    values, indices = values[:, :k], indices[:, :k]
    if tied.any():
        values[tied], indices[tied] = (part[:, :k] for part in similarity[tied].sort(dim=1, descending=True, stable=True))
    return values, indices
