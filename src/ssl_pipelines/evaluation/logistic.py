"""L2-regularized multinomial logistic regression: a whole path of penalties at once, by preconditioned L-BFGS, exact to a gradient norm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from ssl_pipelines.algorithms.lapack import one_lapack_thread
from ssl_pipelines.algorithms.lbfgs import Minimum, minimize

CELLS = 2**19  # numbers in one block of features or of logits, so that both matrix products read from the cache
STATE = 2**27  # float64 numbers that L-BFGS may keep; a longer path is cut into parts
HISTORY = 10  # pairs that L-BFGS remembers
SAMPLE, LEADING = 4096, 512  # rows from which the preconditioner is estimated, and directions that it tells apart


@dataclass(frozen=True, slots=True)
class Linear:
    """argmax_k of x W + b, over the classes met in training."""

    weight: Tensor  # (D, K) float64, for features as they are: standardization is folded in
    bias: Tensor  # (K,)
    classes: Tensor  # (K,) int64
    loss: float  # mean cross entropy + l2 / (2 n) |W|^2, W in the standardized coordinates
    gradient: float  # its largest component at the end, in the standardized or the preconditioned coordinates, whichever is larger
    iterations: int
    converged: bool

    def predict(self, x: NDArray) -> NDArray:
        """(n, D) -> (n,) int64; equal scores: the lower class."""
        return self.classes[self._logits(x).argmax(dim=1)].numpy()

    def score(self, x: NDArray, y: NDArray) -> tuple[float, float]:
        """(share of correct answers, mean log likelihood over the labels that training has met, -inf if it met none)."""
        logits, y_ = self._logits(x), torch.from_numpy(y)
        share = float((self.classes[logits.argmax(dim=1)] == y_).double().mean())
        met = torch.isin(y_, self.classes)
        if not met.any():
            return share, -float("inf")
        targets = torch.searchsorted(self.classes, y_[met])
        return share, -float(F.cross_entropy(logits[met], targets))

    def _logits(self, x: NDArray) -> Tensor:
        return torch.cat([block @ self.weight + self.bias for block in blocks(x, max(64, CELLS // x.shape[1]), torch.float64)])


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The correlation of the features, about Q diag(values) Q^T + rest (1 - Q Q^T). It changes the solver's speed, not the
    optimum."""

    directions: Tensor  # Q, (D, R), orthonormal
    values: Tensor  # (R,)
    rest: float

    @classmethod
    def of(cls, rows: NDArray) -> Spectrum:
        """rows: (m, D), standardized."""
        rank = min(LEADING, *rows.shape)
        if rank == rows.shape[1]:
            values, directions = torch.linalg.eigh(torch.from_numpy((rows.T @ rows / len(rows)).astype(np.float64)))
            return cls(directions, values.clamp(min=0), 0.0)
        with one_lapack_thread():
            _, scales, turned = randomized_svd(rows, rank, n_iter=2, random_state=0)
        values = torch.from_numpy(scales.astype(np.float64) ** 2 / len(rows))
        rest = (float((rows.astype(np.float64) ** 2).sum()) / len(rows) - float(values.sum())) / (rows.shape[1] - rank)
        return cls(torch.from_numpy(turned.T.astype(np.float64)).contiguous(), values, max(rest, 0.0))


class Problem:
    """min_{W, b} of (1/n) sum_i CE(x_i W + b, y_i) + l2 / (2 n) |W|^2.   x: (n, D) float, y: (n,) int; b carries no penalty.

    That is scikit-learn's with C = 1 / l2. `standardize`: W acts on (x - mean) / std of these n rows.
    The solver works on V, W = P V with P P^T about the inverse Hessian at uniform predictions: the same optimum in a tenth of
    the iterations; `spectrum` of a problem like this one saves estimating it again. x stays as it is and is read in blocks,
    each once an evaluation for all values of l2 together."""

    def __init__(self, x: NDArray, y: NDArray, standardize: bool, spectrum: Spectrum | None = None):
        classes, targets = np.unique(y, return_inverse=True)
        self.x, self.n, self.dim = x, len(x), x.shape[1]
        self.classes, self.targets = torch.from_numpy(classes.astype(np.int64)), torch.from_numpy(targets)
        self.mean, self.scale = moments(x, standardize)
        self.counts = torch.bincount(self.targets, minlength=len(classes)).double()
        self.sums = self._class_sums()
        self.spectrum = Spectrum.of(self._sample()) if spectrum is None else spectrum

    def solve(self, l2: float, start: Linear | None, max_iterations: int, tolerance: float = 1e-6) -> Linear:
        """`start`: a solution at another l2 or of other rows with the same classes; the optimum does not depend on it."""
        (solution,) = self.path([l2], max_iterations, tolerance, start=start)
        assert solution is not None
        return solution

    def path(
        self,
        l2s: Sequence[float],
        max_iterations: int,
        tolerance: float,
        *,
        start: Linear | None = None,
        dtype: torch.dtype = torch.float64,
        enough: Callable[[dict[int, Linear]], bool] = lambda solved: False,
    ) -> list[Linear | None]:
        """One solution a value of l2, all together. `dtype` is that of the products; sums are float64.

        `enough` is asked when another solution (index -> Linear) is there, and ends the path early: None is what was not finished."""
        shape = (len(self.classes), self.dim)
        together = max(1, STATE // (2 * HISTORY * (shape[1] + 1) * shape[0]))
        solved: dict[int, Linear] = {}
        for first in range(0, len(l2s), together):
            part = torch.tensor([float(l2) for l2 in l2s[first : first + together]], dtype=torch.float64)
            path = _Path(self, part, dtype)

            def take(found: Minimum, done: Tensor, path: _Path = path, first: int = first) -> bool:
                new = [row for row in done.nonzero().flatten().tolist() if first + row not in solved]
                solved.update({first + row: path.linear(found, row) for row in new})
                return bool(new) and enough(solved)

            state = minimize(path, path.start(start), max_iterations, tolerance, history=HISTORY, enough=take)
            if take(state, state.converged) or enough(solved):
                break
            take(state, torch.ones_like(state.converged))
        return [solved.get(k) for k in range(len(l2s))]

    def rows(self, step: int, dtype: torch.dtype) -> Iterator[Tensor]:
        """Blocks of standardized rows."""
        mean, scale = self.mean.to(dtype), self.scale.to(dtype)
        for block in blocks(self.x, step, dtype):
            yield block.sub_(mean).div_(scale)

    def _class_sums(self) -> Tensor:
        """(K, D): standardized features summed over each class."""
        sums, step = torch.zeros(len(self.classes), self.dim, dtype=torch.float64), max(64, CELLS // self.dim)
        for block, targets in zip(self.rows(step, torch.float64), self.targets.split(step)):
            sums.index_add_(0, targets, block)
        return sums

    def _sample(self) -> NDArray:
        step = max(1, self.n // max(SAMPLE, 3 * min(self.dim, LEADING) // 2))
        rows = np.ascontiguousarray(self.x[::step])
        return ((rows - self.mean.numpy()) / self.scale.numpy()).astype(np.float32)


class _Path:
    """The objective of all values of l2 in V and b, flat: (A, K D + K)."""

    def __init__(self, problem: Problem, l2s: Tensor, dtype: torch.dtype):
        self.problem, self.l2s, self.dtype = problem, l2s, dtype
        self.num_classes, self.dim = len(problem.classes), problem.dim
        spectrum = problem.spectrum
        least = 1e-8 * max(float(spectrum.values.mean()), 1e-4)

        def inverse_root(curvature: Tensor) -> Tensor:
            return (curvature / self.num_classes + least + l2s[:, None] / problem.n).rsqrt()  # (L, ...)

        self.leading = inverse_root(spectrum.values)  # (L, R)
        whole = spectrum.directions.shape[1] == self.dim
        self.rest = None if whole else inverse_root(torch.tensor([spectrum.rest], dtype=torch.float64))  # (L, 1)

    def scaled(self, vectors: Tensor, which: Tensor, *, inverse: bool = False) -> Tensor:
        """P v for the rows v of (A, K, D); P is symmetric."""
        q = self.problem.spectrum.directions
        leading = self.leading[which][:, None]
        leading = 1 / leading if inverse else leading
        if self.rest is None:
            return ((vectors @ q) * leading) @ q.T
        rest = self.rest[which][:, None]
        rest = 1 / rest if inverse else rest
        return vectors * rest + ((vectors @ q) * (leading - rest)) @ q.T

    def __call__(self, points: Tensor, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        v, bias = self._split(points)
        weight, l2 = self.scaled(v, which), self.l2s[which]
        loss, to_weight, to_bias = self._cross_entropy(weight, bias)
        loss += l2 / (2 * self.problem.n) * weight.square().sum((1, 2))
        to_weight += (l2 / self.problem.n)[:, None, None] * weight
        to_v = self.scaled(to_weight, which)
        size = torch.stack([part.abs().flatten(1).amax(1) for part in (to_weight, to_v, to_bias)]).amax(0)
        return loss, torch.cat([to_v.flatten(1), to_bias], 1), size

    def _cross_entropy(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(A, K, D), (A, K) -> mean cross entropy (A,) and its gradients. Class-major logits (K A, rows): no transpose is needed."""
        problem, (a, k, d) = self.problem, weight.shape
        flat, offset = (part.transpose(0, 1).reshape(k * a, -1).to(self.dtype) for part in (weight, bias))
        normalizers = torch.zeros(a, dtype=torch.float64)
        to_flat, to_offset = torch.zeros(k * a, d, dtype=torch.float64), torch.zeros(k * a, dtype=torch.float64)
        for block in problem.rows(max(64, CELLS // max(d, k * a)), self.dtype):
            logits = torch.addmm(offset, flat, block.T).view(k, a, -1)
            log_p = F.log_softmax(logits, dim=0)
            normalizers += (logits[0] - log_p[0]).sum(1, dtype=torch.float64)
            p = log_p.exp_().view(k * a, -1)
            to_flat += p @ block
            to_offset += p.sum(1, dtype=torch.float64)
        # The targets' part is linear: class sums hold it once and for all.
        loss = normalizers - (weight * problem.sums).sum((1, 2)) - bias @ problem.counts
        to_weight = to_flat.view(k, a, d).transpose(0, 1) - problem.sums
        to_bias = to_offset.view(k, a).T - problem.counts
        return loss / problem.n, to_weight / problem.n, to_bias / problem.n

    def _split(self, points: Tensor) -> tuple[Tensor, Tensor]:
        cut = self.num_classes * self.dim
        return points[:, :cut].view(-1, self.num_classes, self.dim), points[:, cut:]

    def start(self, start: Linear | None) -> Tensor:
        points = torch.zeros(len(self.l2s), (self.dim + 1) * self.num_classes, dtype=torch.float64)
        if start is not None and torch.equal(start.classes, self.problem.classes):
            every = torch.arange(len(self.l2s))
            weight = (start.weight * self.problem.scale[:, None]).T.expand(len(every), -1, -1)
            bias = start.bias + self.problem.mean @ start.weight
            points = torch.cat([self.scaled(weight, every, inverse=True).flatten(1), bias.expand(len(every), -1)], 1)
        return points

    def linear(self, found: Minimum, row: int) -> Linear:
        v, bias = self._split(found.point[row : row + 1])
        weight = self.scaled(v, torch.tensor([row]))[0].T / self.problem.scale[:, None]
        measured = (float(found.loss[row]), float(found.size[row]), int(found.iterations[row]), bool(found.converged[row]))
        return Linear(weight, bias[0] - self.problem.mean @ weight, self.problem.classes, *measured)


def blocks(x: NDArray, step: int, dtype: torch.dtype) -> Iterator[Tensor]:
    """(rows, D), a block at a time; each lies in the same memory, so use it before asking for the next."""
    buffer = torch.empty(min(step, len(x)), x.shape[1], dtype=dtype)
    for start in range(0, len(x), step):
        rows = x[start : start + step]
        yield buffer[: len(rows)].copy_(torch.from_numpy(np.ascontiguousarray(rows)))


def moments(x: NDArray, standardize: bool) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column (1 where it is constant, or nothing is to be scaled)."""
    total, squares = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros(x.shape[1], dtype=torch.float64)
    step = max(64, CELLS // x.shape[1])
    for block in blocks(x, step, torch.float64):
        total += block.sum(dim=0)
    mean = total / len(x)
    if not standardize:
        return mean, torch.ones_like(mean)
    for block in blocks(x, step, torch.float64):
        squares += ((block - mean) ** 2).sum(dim=0)
    std = (squares / len(x)).sqrt()
    return mean, torch.where(std > 1e-12 * (1 + mean.abs()), std, 1.0)
