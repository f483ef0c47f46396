"""Numbers reach the log in order, as means over ranks, and no later than the next ones."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import rank
from ssl_pipelines.training.ledger import Ledger


def test_on_a_cpu_all_is_there_at_once():
    ledger = Ledger()
    ledger.put(3, {"loss": torch.tensor(1.5, requires_grad=True), "accuracy": torch.tensor(0.25).double()}, {"learning_rate": 0.1})
    [entry] = ledger.take(all_of_them=False)
    assert (entry.step, entry.values, entry.clock) == (3, {"loss": 1.5, "accuracy": 0.25}, {"learning_rate": 0.1})
    assert not list(ledger.take(all_of_them=True))


def test_what_is_still_on_its_way_comes_with_the_next_one():
    ledger, waited = Ledger(), []
    for step in (1, 2, 3):
        ledger.put(step, {"loss": torch.tensor(float(step))}, {})
        way = SimpleNamespace(synchronize=lambda step=step: waited.append(step))
        ledger._waiting[-1] = (*ledger._waiting[-1][:4], way)  # as if its copy from a GPU were under way
        assert [entry.step for entry in ledger.take(all_of_them=False)] == ([step - 1] if step > 1 else [])
    assert [entry.step for entry in ledger.take(all_of_them=True)] == [3]
    assert waited == [1, 2, 3]


def logged() -> dict[str, torch.Tensor]:
    ledger = Ledger()
    ledger.put(0, {"loss": torch.tensor(float(rank())), "accuracy": torch.tensor(10.0 * rank())}, {})
    [entry] = ledger.take(all_of_them=True)
    return {name: torch.tensor(value) for name, value in entry.values.items()}


def test_values_are_means_over_ranks(tmp_path):
    for found in on_ranks(logged, tmp_path):
        assert (found["loss"], found["accuracy"]) == (0.5, 5.0)
