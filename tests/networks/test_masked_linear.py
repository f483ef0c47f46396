"""MADE's masks: connectivity counted, Jacobians, and one row of the output equal to that of the whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from ssl_pipelines.networks.masked_linear import MaskedMLP, draw_known


def network(levels: int = 2, direct: bool = True, orders_differ: bool = True, units_differ: bool = True) -> MaskedMLP:
    torch.manual_seed(3)
    return MaskedMLP(
        1, 9, 24, 2, levels, num_masks=3, orders_differ=orders_differ, units_differ=units_differ, direct=direct, feature_masks=2
    ).double()


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("levels", [2, 4])
def test_outputs_depend_on_the_inputs_before_them_in_each_order(levels, direct):
    net = network(levels, direct)
    for k in range(3):
        # The sum over several inputs: a ReLU may be shut at one of them.
        jacobians = [torch.func.jacrev(net.logits)(torch.randn(1, 9).double(), k)[0, :, :, 0] for _ in range(8)]
        seen = torch.stack([j.abs().sum(1) for j in jacobians]).sum(0) > 0  # (D outputs, D inputs)
        before = net.orders[k].unsqueeze(0) < net.orders[k].unsqueeze(1)
        assert (seen <= before).all(), "a leak"
        assert (seen == before).float().mean() > (0.999 if direct else 0.8), "the order is used"
        first = net.orders[k].argmin()
        assert not seen[first].any(), "the first output is its bias alone"


def test_the_product_of_masks_counts_paths():
    """Equation 11: the product of all masks is the connectivity, and strictly lower triangular in the order."""
    net = network()
    for k in range(3):
        order, (m1, m2) = net.orders[k], net.known[k]
        paths = (m2 < order.unsqueeze(1)).long() @ (m1 <= m2.unsqueeze(1)).long() @ (order <= m1.unsqueeze(1)).long()
        sorted_paths = paths[order.argsort()][:, order.argsort()]
        assert torch.equal(sorted_paths.triu(), torch.zeros_like(sorted_paths))
        with torch.no_grad():  # positive weights: each path counts
            for layer in (*net.hidden_layers, net.last):
                layer.weight.fill_(1.0)
                layer.bias.zero_()
            net.direct.weight.zero_()
            x = torch.eye(9, dtype=torch.float64)
            torch.testing.assert_close(net.logits(x, k)[:, :, 0].T, paths.double())


def test_units_know_of_at_least_as_much_as_the_least_below():
    known = draw_known(20, 500, 3)
    assert known.shape == (3, 500)
    assert known.min() >= 1
    assert known.max() == 19
    for below, layer in pairwise(known):
        assert layer.min() >= below.min()


def test_orders_are_permutations_and_differ_only_where_asked():
    net = network()
    for order in net.orders:
        assert sorted(order.tolist()) == list(range(1, 10))
    assert not torch.equal(net.orders[0], net.orders[1])
    assert not torch.equal(net.known[0], net.known[1])
    fixed = network(orders_differ=False)
    assert fixed.orders.tolist() == [list(range(1, 10))] * 3
    assert not torch.equal(fixed.known[0], fixed.known[1])
    assert torch.equal(*network(units_differ=False).known[:2])


def test_one_output_is_a_row_of_all():
    net = network(levels=4)
    x = torch.randn(5, 9).double()
    for k in range(3):
        whole, hidden = net.logits(x, k), net.hidden(x, net.masked(k))[-1]
        for d in range(9):
            torch.testing.assert_close(net.logits_of(x, k, hidden, d), whole[:, d])


def test_features_are_means_over_mask_sets():
    net = network()
    images = torch.rand(4, 1, 3, 3).double()
    stages = net.stages(images)
    assert list(stages) == ["hidden1", "hidden2"]
    x = images.flatten(1) * 2 - 1
    for n, layer in enumerate(stages.values()):
        torch.testing.assert_close(layer, (net.hidden(x, net.masked(0))[n] + net.hidden(x, net.masked(1))[n]) / 2)
    torch.testing.assert_close(net(images), stages["hidden2"])
