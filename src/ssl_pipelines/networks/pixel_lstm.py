"""Recurrent networks over pixels: the Row LSTM and the Diagonal BiLSTM. van den Oord et al. 2016, arXiv:1601.06759, section 3."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.pixel_conv import PixelConv2d
from ssl_pipelines.networks.pixel_net import PixelNet

FIRST = 3  # rows above and columns to each side of the first convolution: a kernel of 7


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Gates before their functions (B, 4, h, ...) in the order o, f, i, g, and the cell (B, h, ...) -> hidden and cell. Equation 3."""
    o, f, i, g = gates.unbind(1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


class RowLSTM(nn.Module):
    """Rows from top to bottom. Place (i, j) depends on a triangle above it alone, for the state moves one column a row, by
    design."""

    def __init__(self, into: int, units: int, colors: int):
        super().__init__()
        self.units = units
        self.from_input = PixelConv2d(into, 4 * units, "B", colors, side=1, repeats=4)
        self.from_state = nn.Conv1d(units, 4 * units, 3, padding=1, bias=False)

    def step(self, given: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The input's gates for a row (B, 4 h, W) and the state of the row above -> the row's state, hidden and cell (B, h, W)."""
        hidden, cell = state
        return lstm_step((given + self.from_state(hidden)).unflatten(1, (4, self.units)), cell)

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The state above the first row."""
        zero = x.new_zeros(x.shape[0], self.units, x.shape[3])
        return zero, zero

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, h, H, W)."""
        state, rows = self.start(x), []
        for given in self.from_input(x).unbind(2):
            state = self.step(given, state)
            rows.append(state[0])
        return torch.stack(rows, dim=2)

    def row(self, x: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """(B, I, 1, W) -> (B, h, 1, W)."""
        return self.step(self.from_input(x).squeeze(2), state)[0].unsqueeze(2)

    def after(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The state of the row x (B, I, 1, W), which is complete."""
        return self.step(self.from_input(x).squeeze(2), state)


def skew(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W + H - 1): row r moved r places to the right, zeros around it. Diagonals become columns."""
    height, width = x.shape[2:]
    return F.pad(x, (0, height)).flatten(2)[:, :, : height * (width + height - 1)].unflatten(2, (height, -1))


def unskew(x: Tensor) -> Tensor:
    """The inverse of `skew`."""
    height, wide = x.shape[2:]
    return F.pad(x.flatten(2), (0, height)).unflatten(2, (height, wide + 1))[..., : wide - height + 1]


class DiagonalBiLSTM(nn.Module):
    """Diagonals from the upper left and from the upper right corner, whose sum depends on all pixels before.

    A place reads the states to its left (right) and above. What comes from the right is moved down a row before the sum: in its own row
    it has seen what is still to be predicted."""

    def __init__(self, into: int, units: int, colors: int):
        super().__init__()
        self.units = units
        self.from_input = nn.ModuleList(PixelConv2d(into, 4 * units, "B", colors, repeats=4) for _ in range(2))
        # Of the row above and of its own; without a bias, so that where no row has begun all stays 0.
        self.from_state = nn.Conv1d(2 * units, 8 * units, 2, bias=False, groups=2)

    def given(self, x: Tensor) -> list[Tensor]:
        """The input's gates for both directions, each (B, 4 h, H, W), the second one mirrored."""
        left, right = self.from_input
        return [left(x), right(x).flip(3)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, h, H, W). Both directions at once, H + W - 1 steps."""
        gates = torch.cat([skew(one) for one in self.given(x)], dim=1)  # (B, 8 h, H, W + H - 1)
        hidden = x.new_zeros(x.shape[0], 2 * self.units, x.shape[2])
        cell, columns = x.new_zeros(x.shape[0], self.units, 2, x.shape[2]), []
        for now in gates.unbind(3):
            now = now + self.from_state(F.pad(hidden, (1, 0)))  # row 0 has none above
            now = now.unflatten(1, (2, 4, self.units)).permute(0, 2, 3, 1, 4)  # (B, 4, h, 2, H)
            state, cell = lstm_step(now, cell)
            hidden = state.transpose(1, 2).flatten(1, 2)  # (B, 2 h, H)
            columns.append(hidden)
        left, right = unskew(torch.stack(columns, dim=3)).chunk(2, dim=1)
        return left + F.pad(right.flip(3)[:, :, :-1], (0, 0, 1, 0))

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states of both directions above the first row, (B, h, W) each; the second one mirrored."""
        zero = x.new_zeros(x.shape[0], self.units, x.shape[3])
        return zero, zero

    def along(self, given: Tensor, above: Tensor, direction: int) -> Tensor:
        """One row from its beginning to its end: (B, 4 h, W), hidden states of the row above (B, h, W) -> its own."""
        weight = self.from_state.weight[4 * self.units * direction : 4 * self.units * (direction + 1)]  # (4 h, h, 2)
        from_above = torch.einsum("bhw,gh->bgw", above, weight[..., 0])
        hidden = cell = given.new_zeros(len(given), self.units)
        made = []
        for now in (given + from_above).unbind(2):
            hidden, cell = lstm_step((now + hidden @ weight[..., 1].T).unflatten(1, (4, self.units)), cell)
            made.append(hidden)
        return torch.stack(made, dim=2)

    def row(self, x: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """(B, I, 1, W) -> (B, h, 1, W)."""
        left = self.along(self.given(x)[0].squeeze(2), state[0], 0)
        return (left + state[1].flip(2)).unsqueeze(2)

    def after(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The states of the row x (B, I, 1, W), which is complete."""
        left, right = (self.along(given.squeeze(2), above, k) for k, (given, above) in enumerate(zip(self.given(x), state)))
        return left, right


class PixelLSTM(PixelNet):
    """A masked 7 x 7 convolution to 2 h features, then layers of h units, each widened again and added to its input.

    Differs, with diagonals: the image has a column of zeros more on its right. The first mask hides a pixel from the features at its own
    place, and there is no other place right of a row's last pixel: without the column the row below would know that pixel nearby
    alone."""

    def __init__(self, in_channels: int, units: int, depth: int, colors: int, kind: Literal["row", "diagonal"]):
        super().__init__(in_channels, 2 * units)
        self.depth, self.out_dim = depth, 2 * units
        self.beyond = 1 if kind == "diagonal" else 0
        self.first = PixelConv2d(in_channels, 2 * units, "A", colors, above=FIRST, side=FIRST)
        layer = RowLSTM if kind == "row" else DiagonalBiLSTM
        self.layers = nn.ModuleList(layer(2 * units, units, colors) for _ in range(depth))
        self.widen = nn.ModuleList(PixelConv2d(units, 2 * units, "B", colors) for _ in range(depth))

    def widened(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, C, H, W + beyond) in [-1, 1]."""
        return F.pad(self.normalize(images), (0, self.beyond))

    def hidden(self, images: Tensor) -> list[Tensor]:
        x, found = self.first(self.widened(images)), []
        for layer, widen in zip(self.layers, self.widen, strict=True):
            x = x + widen(layer(x))
            found.append(x[..., : images.shape[3]])
        return found

    def output(self, images: Tensor) -> Tensor:
        return self.hidden(images)[-1]

    def above(self, images: Tensor, i: int, memory: Any) -> Any:
        x = self.first.row(self.widened(images), max(0, i - 1))
        if i == 0:
            return [layer.start(x) for layer in self.layers]  # type: ignore[operator]
        states = []
        for layer, widen, state in zip(self.layers, self.widen, memory, strict=True):
            states.append(layer.after(x, state))  # type: ignore[operator]
            x = x + widen(layer.row(x, state))  # type: ignore[operator]
        return states

    def row(self, images: Tensor, i: int, memory: Any) -> Tensor:
        x = self.first.row(self.widened(images), i)
        for layer, widen, state in zip(self.layers, self.widen, memory, strict=True):
            x = x + widen(layer.row(x, state))  # type: ignore[operator]
        return x[..., : images.shape[3]]
