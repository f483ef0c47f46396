"""TypiClust: from each of the largest clusters that hold no label, the image in the densest place.
Hacohen, Dekel & Weinshall 2022, arXiv:2202.02794, section 3.2.

Differs: features are unit, as the paper's, and k-means starts once, from greedy k-means++."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

NEIGHBORS = 20  # K of equation 4
MAX_CLUSTERS = 500  # the paper's: beyond, clusters give more than one image
SMALLEST = 5  # images: a smaller cluster is taken for outliers
ITERATIONS = 30  # of k-means
BLOCK = 1024  # rows whose distances are held at a time


def typicality(x: Tensor, neighbors: int) -> Tensor:
    """1 / (mean distance to the `neighbors` nearest other rows), equation 4.   (n, D) -> (n,); 1 <= neighbors < n.

    Distances are Euclidean; 1e-5 is added to the mean, so that a row with enough twins stays finite."""
    found = []
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        distances = torch.cdist(part, x)
        rows = torch.arange(len(part))
        distances[rows, start + rows] = torch.inf
        found.append(distances.topk(neighbors, dim=1, largest=False).values.mean(1))
    return 1 / (torch.cat(found) + 1e-5)


def typiclust(x: Tensor, labeled: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The rows to label next and their typicality: (N, D), (L,) int64 -> rows (count,) in order of choice, (count,). count <= N - L.

    k-means with L + count clusters; each time the cluster with the fewest labels, among these the largest, gives its most typical row."""
    assert count <= len(x) - len(labeled), (count, len(x), len(labeled))
    unit = F.normalize(x, dim=1)
    k = min(len(labeled) + count, MAX_CLUSTERS, len(x))
    assigned = _clusters(unit, k, random)
    members = [(assigned == cluster).nonzero().flatten() for cluster in range(k)]
    labels = torch.bincount(assigned[labeled], minlength=k).tolist()
    free = [len(found) - count for found, count in zip(members, labels, strict=True)]
    left: dict[int, Tensor] = {}  # cluster -> the typicality of its rows, -inf where there is a label
    rows: list[int] = []
    values: list[float] = []
    for _ in range(count):
        cluster = min(range(k), key=lambda c: (free[c] == 0, len(members[c]) < SMALLEST, labels[c], -len(members[c])))
        if cluster not in left:
            taken = torch.isin(members[cluster], labeled)
            left[cluster] = _within(unit[members[cluster]]).masked_fill(taken, -torch.inf)
        place = int(left[cluster].argmax())
        rows.append(int(members[cluster][place]))
        values.append(float(left[cluster][place]))
        left[cluster][place] = -torch.inf
        labels[cluster] += 1
        free[cluster] -= 1
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(values)


def _clusters(unit: Tensor, k: int, random: torch.Generator) -> Tensor:
    """(N, D) -> (N,) int64, by k-means++: from a random start few clusters would often leave a whole group to another's centroid."""
    state = int(torch.randint(2**31 - 1, (1,), generator=random))
    found = KMeans(k, n_init=1, max_iter=ITERATIONS, random_state=state).fit_predict(unit.numpy())
    return torch.from_numpy(found).long()


def _within(members: Tensor) -> Tensor:
    """Typicality among the members of one cluster; a lone one has none, and counts 0."""
    neighbors = min(NEIGHBORS, max(1, len(members) // 2), len(members) - 1)
    return typicality(members, neighbors) if neighbors else torch.zeros(len(members), dtype=members.dtype)
