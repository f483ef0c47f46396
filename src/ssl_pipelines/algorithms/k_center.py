"""Core-set by k-center greedy: no image is to be far from a labeled one. Sener & Savarese 2018, arXiv:1708.00489, algorithm 1; its radius
is at most twice the best one (Gonzalez 1985). Differs: no mixed integer program afterwards that leaves outliers out."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 4096  # rows compared with all given centers at a time


def k_center_greedy(x: Tensor, centers: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each time the row farthest (Euclidean) from its nearest center becomes one: (N, D), (L,) int64 -> rows (count,), distances (count,).

    Without given centers the first is a random row at distance inf. Equal distances: the lower row. count <= N - L."""
    assert count <= len(x) - len(centers), (count, len(x), len(centers))
    squares = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)  # to the nearest center
    if len(centers):
        given = x[centers]
        squares = torch.cat([torch.cdist(part, given).amin(1) for part in x.split(BLOCK)]).square()
        squares[centers] = -1.0
    rows: list[int] = []
    distances: list[float] = []
    for _ in range(count):
        first = not rows and not len(centers)
        row = int(torch.randint(len(x), (1,), generator=random)) if first else int(squares.argmax())
        rows.append(row)
        distances.append(float(squares[row].sqrt()))
        squares = torch.minimum(squares, (x - x[row]).square().sum(1))
        squares[row] = -1.0  # below every distance, so the row is not chosen again; an equal row may be
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(distances)


def covering_radius(x: Tensor, centers: Tensor) -> float:
    """max_i min_c |x_i - x_c|.   (N, D), (L,) int64, L >= 1"""
    return max(float(torch.cdist(part, x[centers]).amin(1).max()) for part in x.split(BLOCK))
