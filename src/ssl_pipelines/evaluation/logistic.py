"""L2-regularized multinomial logistic regression: full-batch L-BFGS in float64, preconditioned, exact to a gradient norm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

CELLS = 2**19  # numbers converted to float64 at a time: 4 MB, so that both products find them in the cache
SAMPLE = 4096  # rows at least, from which the preconditioner is estimated


@dataclass(frozen=True, slots=True)
class Linear:
    """argmax_k of x W + b, over the classes met in training."""

    weight: Tensor  # (D, K) float64, for features as they are: standardization is folded in
    bias: Tensor  # (K,)
    classes: Tensor  # (K,) int64
    loss: float  # mean cross entropy + l2 / (2 n) |W|^2, W in the standardized coordinates
    gradient: float  # largest component at the end, in the preconditioned coordinates
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
        return torch.cat([block @ self.weight + self.bias for block in _blocks(x)])


class Problem:
    """min_{W, b} of (1/n) sum_i CE(x_i W + b, y_i) + l2 / (2 n) |W|^2.   x: (n, D) float, y: (n,) int; b carries no penalty.

    That is scikit-learn's with C = 1 / l2. `standardize`: W acts on (x - mean) / std of these n rows.
    The solver works on V, W = P V with P P^T about the inverse Hessian at uniform predictions: the same optimum in a tenth of
    the iterations; `gram` of a problem like this one saves estimating it again. x stays as it is and is read in blocks."""

    def __init__(self, x: NDArray, y: NDArray, standardize: bool, gram: Tensor | None = None):
        classes, targets = np.unique(y, return_inverse=True)
        self.x, self.n, self.dim = x, len(x), x.shape[1]
        self.classes, self.targets = torch.from_numpy(classes.astype(np.int64)), torch.from_numpy(targets)
        self.mean, self.scale = _moments(x, standardize)
        self.gram = self._gram() if gram is None else gram

    def solve(self, l2: float, start: Linear | None, max_iterations: int, tolerance: float = 1e-6) -> Linear:
        """`start`: a solution at another l2 or of other rows with the same classes; the optimum does not depend on it."""
        factor = self._factor(l2)  # (D, D), upper: P = diag(1 / scale) factor^-1
        shape = (self.dim, len(self.classes))

        def unpack(flat: NDArray) -> tuple[Tensor, Tensor]:
            flat_ = torch.from_numpy(flat)
            standard = torch.linalg.solve_triangular(factor, flat_[: -shape[1]].view(shape), upper=True)
            return standard, flat_[-shape[1] :]  # W in the standardized coordinates, b there

        def objective(flat: NDArray) -> tuple[float, NDArray]:
            standard, bias = unpack(flat)
            loss, to_standard, to_bias = self._loss(standard, bias)
            loss += l2 / (2 * self.n) * float((standard**2).sum())
            to_v = torch.linalg.solve_triangular(factor.T, to_standard + l2 / self.n * standard, upper=False)
            return loss, torch.cat([to_v.flatten(), to_bias]).numpy()

        first = self._start(start, factor)
        options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "gtol": tolerance, "ftol": 0.0, "maxcor": 20}
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
        gradient = float(np.abs(found.jac).max())
        standard, bias = unpack(found.x)
        weight = standard / self.scale[:, None]
        return Linear(
            weight, bias - self.mean @ weight, self.classes, float(found.fun), gradient, int(found.nit), gradient <= tolerance
        )

    def _loss(self, standard: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """Mean cross entropy and its gradients by W (D, K) and b (K,), both in the standardized coordinates."""
        weight = (standard / self.scale[:, None]).T.contiguous()  # classes first: these products take half the time
        offset = bias - weight @ self.mean
        loss, to_weight, to_bias = 0.0, torch.zeros_like(weight), torch.zeros_like(bias)
        for block, targets in zip(_blocks(self.x), self.targets.split(_rows(self.dim))):
            log_p = F.log_softmax(torch.addmm(offset[:, None], weight, block.T), dim=0)  # (K, rows)
            loss -= float(log_p.gather(0, targets[None]).sum())
            residual = log_p.exp_()
            residual[targets, torch.arange(len(targets))] -= 1
            to_weight += residual @ block
            to_bias += residual.sum(dim=1)
        to_standard = (to_weight - torch.outer(to_bias, self.mean)).T / self.scale[:, None]
        return loss / self.n, to_standard / self.n, to_bias / self.n

    def _gram(self) -> Tensor:
        """Correlation of the standardized features, (D, D), from some rows: it sets the speed, not the optimum."""
        step = max(1, self.n // max(SAMPLE, 3 * self.dim // 2))
        rows = (torch.from_numpy(np.ascontiguousarray(self.x[::step])).double() - self.mean) / self.scale
        return rows.T @ rows / len(rows)

    def _factor(self, l2: float) -> Tensor:
        curvature = (1 / len(self.classes)) * self.gram
        jitter = l2 / self.n + 1e-8 * float(curvature.diagonal().mean()) + 1e-12
        lower: Tensor = torch.linalg.cholesky(curvature + jitter * torch.eye(self.dim, dtype=torch.float64))
        return lower.T.contiguous()

    def _start(self, start: Linear | None, factor: Tensor) -> NDArray:
        if start is None or not torch.equal(start.classes, self.classes):
            return np.zeros((self.dim + 1) * len(self.classes))
        bias = start.bias + self.mean @ start.weight
        return torch.cat([(factor @ (start.weight * self.scale[:, None])).flatten(), bias]).numpy()


def _rows(dim: int) -> int:
    return max(64, CELLS // dim)


def _blocks(x: NDArray) -> Iterator[Tensor]:
    """(rows, D) float64, a block at a time; each lies in the same memory, so use it before asking for the next."""
    step = _rows(x.shape[1])
    buffer = torch.empty(min(step, len(x)), x.shape[1], dtype=torch.float64)
    for start in range(0, len(x), step):
        rows = x[start : start + step]
        yield buffer[: len(rows)].copy_(torch.from_numpy(np.ascontiguousarray(rows)))


def _moments(x: NDArray, standardize: bool) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column (1 where it is constant, or nothing is to be scaled)."""
    total, squares = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros(x.shape[1], dtype=torch.float64)
    for block in _blocks(x):
        total += block.sum(dim=0)
    mean = total / len(x)
    if not standardize:
        return mean, torch.ones_like(mean)
    for block in _blocks(x):
        squares += ((block - mean) ** 2).sum(dim=0)
    std = (squares / len(x)).sqrt()
    return mean, torch.where(std > 1e-12 * (1 + mean.abs()), std, 1.0)
