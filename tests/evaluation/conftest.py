"""A store and a model folder; one thread, so that equal means equal."""

import pytest
import torch

from tests.evaluation.evaluation_samples import make_model, make_store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", {"train": 90, "validation": 30, "test": 60, "unlabeled": 24})


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "simclr")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
