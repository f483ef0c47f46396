"""Nearest neighbors by cosine, exact. Beside the normalized bank, memory is one chunk of queries by one block of the bank."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 65_536  # rows of the bank compared at a time: fewer, longer selections cost less than many short ones
CHUNK = 1024  # queries, so that a product is large enough to run at full speed; 268 MB of similarities
STRIPES = 16  # columns of which only the largest is compared at first


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
    out = room[: len(a) * len(b)].view(len(a), len(b))
    if out.device.type != "cpu":
        return torch.mm(a, b.T, out=out)
    # numpy's BLAS uses AVX-512 on every processor that has it, torch's on Intel's alone: twice as fast on AMD, alike elsewhere.
    np.matmul(a.numpy(), b.numpy().T, out=out.numpy())
    return out


def _top(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, of equal ones those of lowest index, in any order; torch.topk alone leaves ties to chance."""
    if k >= similarity.shape[1]:
        return similarity.clone(), torch.arange(similarity.shape[1], device=similarity.device).expand_as(similarity)
    values, indices = _largest(similarity, k + 1)
    tied = values[:, k] == values[:, k - 1]  # one more than asked for shows whether the border runs between equals
    values, indices = values[:, :k], indices[:, :k]
    if tied.any():
        values[tied], indices[tied] = (part[:, :k] for part in similarity[tied].sort(dim=1, descending=True, stable=True))
    return values, indices


def _largest(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(R, N) -> the k largest values of each row, descending, and where they stand; among equals any.

    Of columns j, j + n, j + 2 n, ... with n = N // STRIPES only the largest is looked at first. The k best of these n hold k values
    that no column elsewhere exceeds, so the k largest are among their k STRIPES columns (and the N % STRIPES left over): short
    selections in place of a long one."""
    n = similarity.shape[1] // STRIPES
    if 2 * (n + k * STRIPES) > similarity.shape[1]:  # little would be saved
        values, indices = similarity.topk(k, dim=1)
        return values, indices
    stripes = similarity[:, : n * STRIPES].unflatten(1, (STRIPES, n))  # (R, STRIPES, n)
    best = _select(stripes.amax(1), k)  # (R, k)
    candidates = stripes.gather(2, best.unsqueeze(1).expand(-1, STRIPES, -1)).flatten(1)  # (R, STRIPES k)
    places = _select(candidates, k)
    values, order = candidates.gather(1, places).sort(dim=1, descending=True)
    places = places.gather(1, order)
    indices = best.gather(1, places % k) + n * (places // k)
    rest = similarity[:, n * STRIPES :]
    if rest.shape[1]:
        columns = torch.arange(n * STRIPES, similarity.shape[1], device=rest.device).expand_as(rest)
        values, places = torch.cat([values, rest], 1).topk(k, dim=1)
        indices = torch.cat([indices, columns], 1).gather(1, places)
    return values, indices


def _select(x: Tensor, k: int) -> Tensor:
    """Where the k largest of each row stand, in any order."""
    if x.device.type != "cpu":
        return x.topk(k, dim=1, sorted=False).indices
    # numpy selects with vector instructions: on one core twice as fast as torch on two.
    return torch.from_numpy(np.argpartition(x.numpy(), x.shape[1] - k, axis=1)[:, -k:])
