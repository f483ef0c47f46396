"""Many smooth convex problems minimized together by L-BFGS (Nocedal & Wright 2006, algorithm 7.4): one evaluation serves all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo)
NOISE = 1e-6  # relative; where losses differ by less, slopes decide (Hager & Zhang 2005, approximate Wolfe conditions)
SMALLEST_STEP = 1e-8

# points (A, P), problems (A,) -> loss (A,), gradient (A, P), size of the gradient by which convergence is judged (A,)
Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(slots=True)
class Minimum:
    """One row a problem."""

    point: Tensor  # (L, P)
    loss: Tensor  # (L,)
    size: Tensor  # (L,) of the gradient, as the objective measures it
    iterations: Tensor  # (L,) int64, evaluations of this problem's objective
    converged: Tensor  # (L,) bool


def minimize(
    objective: Objective,
    start: Tensor,
    max_iterations: int,
    tolerance: float,
    *,
    history: int = 10,
    enough: Callable[[Minimum, Tensor], bool] = lambda found, done: False,
) -> Minimum:
    """start (L, P) float64. A problem leaves the batch when its gradient's size is at most `tolerance`.

    Every evaluation tries one step of every problem that is left: kept where it decreases the loss enough, halved and more where not.
    `enough` ends the rest early, asked with what is found and which problems (L,) are done."""
    active = torch.arange(len(start), device=start.device)
    loss, gradient, size = objective(start, active)
    found = Minimum(start.clone(), loss.clone(), size.clone(), torch.zeros_like(active), size <= tolerance)
    x, direction, step = start.clone(), -gradient, torch.ones_like(loss)
    pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(
        maxlen=history
    )  # steps, changes of the gradient, 1 / their product (0: none)
    for _ in range(max_iterations):
        keep = ~found.converged[active] & (step > SMALLEST_STEP)
        if not keep.all():
            active, x, loss, gradient, direction, step = (part[keep] for part in (active, x, loss, gradient, direction, step))
            pairs = deque(((s[keep], y[keep], r[keep]) for s, y, r in pairs), maxlen=history)
        if not len(active) or enough(found, found.converged):
            break
        trial = x + step[:, None] * direction
        trial_loss, trial_gradient, size = objective(trial, active)
        found.iterations[active] += 1
        slope = (gradient * direction).sum(1)
        trial_slope = (trial_gradient * direction).sum(1)
        kept = trial_loss <= loss + SUFFICIENT * step * slope
        kept |= (trial_loss <= loss + NOISE * loss.abs()) & (trial_slope <= (2 * SUFFICIENT - 1) * slope)
        moved, change = trial - x, trial_gradient - gradient
        curvature = (moved * change).sum(1)
        use = kept & (curvature > 1e-12 * (moved.square().sum(1) * change.square().sum(1)).sqrt())
        # A problem that did not move adds an empty pair, so that all histories have one length.
        pairs.append((moved * use[:, None], change * use[:, None], torch.where(use, 1 / curvature, 0.0)))
        where = kept[:, None]
        x, gradient = torch.where(where, trial, x), torch.where(where, trial_gradient, gradient)
        step = torch.where(kept, 1.0, step * _shrink(loss, trial_loss, step * slope))
        loss = torch.where(kept, trial_loss, loss)
        direction = torch.where(where, _direction(gradient, pairs), direction)
        rows = active[kept]
        found.point[rows], found.loss[rows], found.size[rows] = x[kept], loss[kept], size[kept]
        found.converged[rows] = size[kept] <= tolerance
    return found


def _shrink(loss: Tensor, trial: Tensor, promised: Tensor) -> Tensor:
    """The factor to the minimum of the parabola through both losses and the slope, from 0.1 to 0.5 (Nocedal & Wright 2006, eq. 3.58)."""
    return (-promised / (2 * (trial - loss - promised))).nan_to_num(0.1).clamp(0.1, 0.5)


def _direction(gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """-H gradient by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4), scaled by each problem's newest pair."""
    q, weights = gradient.clone(), []
    scale = torch.zeros_like(gradient[:, 0])
    for s, y, r in reversed(pairs):
        weight = r * (s * q).sum(1)
        weights.append(weight)
        q -= weight[:, None] * y
        newest = (scale == 0) & (r > 0)
        scale = torch.where(newest, 1 / (r * y.square().sum(1)), scale)
    q *= torch.where(scale > 0, scale, 1.0)[:, None]
    for (s, y, r), weight in zip(pairs, reversed(weights)):
        q += (weight - r * (y * q).sum(1))[:, None] * s
    return -q
