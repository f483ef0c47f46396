"""PixelCNN's and PixelRNN's networks: the order of pixels and colors, the whole context, and the recurrences written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.networks.gated_pixelcnn import GatedPixelCNN
from ssl_pipelines.networks.pixel_lstm import DiagonalBiLSTM, PixelLSTM, RowLSTM, skew, unskew

SIDE = 6


def network(kind: str, colors: int, channels: int = 3):
    torch.manual_seed(0)
    if kind == "cnn":
        return GatedPixelCNN(channels, 6, 5, colors).double()
    return PixelLSTM(channels, 6, 2, colors, kind).double()


def influence(net, colors: int) -> torch.Tensor:
    """(SIDE, SIDE, colors, SIDE, SIDE, 3): the sum of |d feature of a place and color / d input| over the features of that color."""
    x = torch.rand(1, 3, SIDE, SIDE, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda images: net.output(images)[0], x)[:, :, :, 0]  # (F, S, S, 3, S, S)
    of = torch.arange(len(jacobian)) * colors // len(jacobian)
    total = torch.stack([jacobian[of == color].abs().sum(0) for color in range(colors)])  # (colors, S, S, 3, S, S)
    return total.permute(1, 2, 0, 4, 5, 3)


@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("kind", ["cnn", "row", "diagonal"])
def test_every_place_sees_all_that_came_before_and_nothing_else(kind, colors):
    """No leak from later pixels or channels, no blind spot; the Row LSTM alone has a triangle of context, by design."""
    found = influence(network(kind, colors), colors) != 0
    for i in range(SIDE):
        for j in range(SIDE):
            for color in range(colors):
                for r in range(SIDE):
                    for c in range(SIDE):
                        seen = found[i, j, color, r, c]  # (3,)
                        if (r, c) == (i, j):  # the first layer hides a color from its own features, later ones pass it on
                            wanted = [colors > 1 and given < color for given in range(3)]
                            assert seen.tolist() == wanted, (i, j, color)
                        elif r < i or (r == i and c < j):
                            if kind != "row":
                                assert seen.all(), f"blind spot: {(r, c)} from {(i, j)}"
                        else:
                            assert not seen.any(), f"leak: {(r, c)} to {(i, j)}"


def test_the_row_lstm_hears_of_a_triangle():
    """One column a row in the state of a layer; the first convolution adds 3, a layer's input one to the left."""
    torch.manual_seed(0)
    layer = RowLSTM(2, 3, 1).double()
    x = torch.randn(1, 2, 5, 9, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(layer, x)[0, :, 4, 4, 0].abs().sum((0, 1))  # (5, 9) of place (4, 4)
    for r in range(5):
        for c in range(9):
            up = 4 - r
            assert (jacobian[r, c] != 0) == (4 - up - 1 <= c <= 4 + up), (r, c)


def test_skewing_turns_diagonals_into_columns_and_back():
    x = torch.arange(1.0, 25).view(1, 2, 3, 4)
    found = skew(x)
    assert found.shape == (1, 2, 3, 6)
    for r in range(3):
        for c in range(6):
            wanted = x[0, :, r, c - r] if 0 <= c - r < 4 else torch.zeros(2)
            assert torch.equal(found[0, :, r, c], wanted)
    assert torch.equal(unskew(found), x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell_by_hand(gates, before):
    """Equation 3: gates (4, h) in the order o, f, i, g."""
    o, f, i, g = gates
    cell = sigmoid(f) * before + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def test_row_lstm_equals_its_equation_in_loops():
    torch.manual_seed(1)
    h, height, width = 3, 3, 4
    layer = RowLSTM(2, h, 1).double()
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    w_is, b_is = layer.from_input.weight.detach().numpy()[:, :, 0], layer.from_input.bias.detach().numpy()  # taps: left, own
    w_ss, image = layer.from_state.weight.detach().numpy(), x[0].numpy()
    hidden, cells = np.zeros((height, width, h)), np.zeros((height, width, h))
    for r in range(height):
        for c in range(width):
            gates = b_is + w_is[:, :, 1] @ image[:, r, c] + (w_is[:, :, 0] @ image[:, r, c - 1] if c else 0)
            for tap in (-1, 0, 1):
                if r and 0 <= c + tap < width:
                    gates = gates + w_ss[:, :, tap + 1] @ hidden[r - 1, c + tap]
            hidden[r, c], cells[r, c] = cell_by_hand(gates.reshape(4, h), cells[r - 1, c] if r else 0)
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), hidden.transpose(2, 0, 1), rtol=1e-10, atol=1e-12)


def test_diagonal_bilstm_equals_its_equation_in_loops():
    """States from the left and above, from the right and above; the latter's map one row down before the sum."""
    torch.manual_seed(1)
    h, height, width = 2, 3, 4
    layer = DiagonalBiLSTM(2, h, 1).double()
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    image, w_ss, maps = x[0].numpy(), layer.from_state.weight.detach().numpy(), []
    for direction, side in ((0, -1), (1, 1)):
        w_is = layer.from_input[direction].weight.detach().numpy()[:, :, 0, 0]
        b_is = layer.from_input[direction].bias.detach().numpy()
        w_up, w_side = (w_ss[4 * h * direction : 4 * h * (direction + 1), :, tap] for tap in (0, 1))
        hidden, cells = np.zeros((height, width, h)), np.zeros((height, width, h))
        for r in range(height):
            for c in range(width)[::-side]:
                gates, before = b_is + w_is @ image[:, r, c], np.zeros(h)
                if r:
                    gates = gates + w_up @ hidden[r - 1, c]
                if 0 <= c + side < width:
                    gates, before = gates + w_side @ hidden[r, c + side], cells[r, c + side]
                hidden[r, c], cells[r, c] = cell_by_hand(gates.reshape(4, h), before)
        maps.append(hidden)
    wanted = maps[0]
    wanted[1:] += maps[1][:-1]
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), wanted.transpose(2, 0, 1), rtol=1e-10, atol=1e-12)


def test_gated_layer_equals_its_formula():
    """y = tanh(a) * sigmoid(b) of the horizontal convolution plus the vertical stack's 1x1; the sum with its input behind a 1x1."""
    net = network("cnn", 1)
    layer, x, above = net.layers[1], torch.randn(1, 6, 3, 4, dtype=torch.float64), torch.randn(1, 12, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        found = layer.horizontal(x, above)[0].numpy()
        weight, bias = layer.across.weight[:, :, 0].numpy(), layer.across.bias.numpy()  # taps: left, own
        mix, shift = layer.down_to_across.weight[:, :, 0, 0].numpy(), layer.down_to_across.bias.numpy()
        out, end = layer.out.weight[:, :, 0, 0].numpy(), layer.out.bias.numpy()
    image, vertical = x[0].numpy(), above[0].numpy()
    for r in range(3):
        for c in range(4):
            pre = bias + weight[:, :, 1] @ image[:, r, c] + shift + mix @ vertical[:, r, c]
            pre = pre + (weight[:, :, 0] @ image[:, r, c - 1] if c else 0)
            wanted = image[:, r, c] + end + out @ (np.tanh(pre[:6]) * sigmoid(pre[6:]))
            np.testing.assert_allclose(found[:, r, c], wanted, rtol=1e-10)


@pytest.mark.parametrize("kind", ["cnn", "row", "diagonal"])
def test_row_after_row_equals_the_parallel_pass(kind):
    net = network(kind, 3)
    x, memory = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64), None
    with torch.no_grad():
        whole = net.output(x)
        for i in range(SIDE):
            seen = x.clone()
            seen[:, :, i + 1 :] = 0.123  # not drawn yet: whatever stands there
            memory = net.above(seen, i, memory)
            torch.testing.assert_close(net.row(seen, i, memory), whole[:, :, i : i + 1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["cnn", "row", "diagonal"])
def test_stages_are_the_means_of_the_layers(kind):
    net = network(kind, 1)
    x = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64)
    stages = list(net.stages(x).values())
    assert [stage.shape for stage in stages] == [(2, net.dim)] * net.depth
    torch.testing.assert_close(net(x), stages[net.middle])
    torch.testing.assert_close(stages[-1][:, -net.out_dim :], net.output(x).mean((2, 3)))
