"""MADE's network: linear layers whose masks give every unit a place in an order of the inputs. Germain et al. 2015, arXiv:1502.03509."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.encoder import Encoder


class MaskedMLP(Encoder):
    """Inputs (B, D) -> logits (B, D, K - 1) of each input's levels against its lowest, each from those before it in the order alone.

    A mask set k is an order (each input's place, 1 to D) and for every hidden unit the largest place that it may know, m: uniform in
    [least m of the layer below, D - 1] (equations 12 to 14 and section 4.2). Mask sets are drawn once, with the weights.
    What is evaluated is a hidden layer, averaged over the first `feature_masks` mask sets."""

    orders: Tensor  # (M, D) int64
    known: Tensor  # (M, depth, units) int64

    def __init__(
        self,
        in_channels: int,
        num_inputs: int,
        units: int,
        depth: int,
        levels: int,
        *,
        num_masks: int,
        orders_differ: bool,
        units_differ: bool,
        direct: bool,
        feature_masks: int,
    ):
        super().__init__(in_channels, units)
        self.set_statistics([0.5] * in_channels, [0.5] * in_channels)  # [0, 1] to [-1, 1]
        self.levels, self.num_masks, self.feature_masks = levels, num_masks, feature_masks
        orders = torch.stack([torch.randperm(num_inputs) + 1 for _ in range(num_masks)])
        self.register_buffer("orders", orders if orders_differ else (torch.arange(num_inputs) + 1).repeat(num_masks, 1))
        known = torch.stack([draw_known(num_inputs, units, depth) for _ in range(num_masks if units_differ else 1)])
        self.register_buffer("known", known.expand(num_masks, -1, -1).clone())
        sizes = [num_inputs, *[units] * depth]
        self.hidden_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(units, num_inputs * (levels - 1))
        self.direct = nn.Linear(num_inputs, num_inputs * (levels - 1), bias=False) if direct else None

    def flat(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D) in [-1, 1], the channels of a pixel side by side."""
        return self.normalize(images).movedim(1, 3).flatten(1)

    def masked(self, k: int) -> list[Tensor]:
        """The hidden layers' weights by mask set k: a unit reads the places, or units, that know no more than it may."""
        before, found = self.orders[k], []
        for layer, known in zip(self.hidden_layers, self.known[k], strict=True):
            found.append(layer.weight * (before <= known.unsqueeze(1)))  # type: ignore[operator]
            before = known
        return found

    def hidden(self, x: Tensor, weights: list[Tensor]) -> list[Tensor]:
        """(B, D), what `masked` gave -> each hidden layer (B, units)."""
        found: list[Tensor] = []
        for layer, weight in zip(self.hidden_layers, weights, strict=True):
            found.append(F.relu(F.linear(found[-1] if found else x, weight, layer.bias)))  # type: ignore[arg-type]
        return found

    def logits(self, x: Tensor, k: int) -> Tensor:
        """(B, D) -> (B, D, K - 1)."""
        place = self.orders[k].repeat_interleave(self.levels - 1).unsqueeze(1)
        made = F.linear(self.hidden(x, self.masked(k))[-1], self.last.weight * (self.known[k, -1] < place), self.last.bias)
        if self.direct is not None:
            made = made + F.linear(x, self.direct.weight * (self.orders[k] < place))
        return made.unflatten(1, (-1, self.levels - 1))

    def logits_of(self, x: Tensor, k: int, hidden: Tensor, d: int) -> Tensor:
        """(B, K - 1): input d's row of `logits`, for drawing it. `hidden`: the last layer's."""
        rows = slice(d * (self.levels - 1), (d + 1) * (self.levels - 1))
        made = F.linear(hidden, self.last.weight[rows] * (self.known[k, -1] < self.orders[k, d]), self.last.bias[rows])
        return made if self.direct is None else made + F.linear(x, self.direct.weight[rows] * (self.orders[k] < self.orders[k, d]))

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        x = self.flat(images)
        by_mask = [self.hidden(x, self.masked(k)) for k in range(self.feature_masks)]
        return {f"hidden{n}": torch.stack(layer).mean(0) for n, layer in enumerate(zip(*by_mask, strict=True), start=1)}

    def map(self, images: Tensor) -> Tensor:
        return list(self.stages(images).values())[-1][:, :, None, None]


def draw_known(num_inputs: int, units: int, depth: int) -> Tensor:
    """(depth, units) int64: the largest place that each unit may know."""
    least, found = 1, []
    for _ in range(depth):
        layer = torch.randint(least, num_inputs, (units,))  # up to D - 1
        least = int(layer.min())
        found.append(layer)
    return torch.stack(found)
