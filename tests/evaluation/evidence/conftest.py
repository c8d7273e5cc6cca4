"""The shipped phantom teachers, loaded once for all tests of the evidence."""

import pytest
import torch

from medlabel.evaluation.evidence.witnesses import witnesses_for


@pytest.fixture(scope="package", autouse=True)
def one_thread_each():
    """Batches this small gain nothing from more, and threads wait for each other on a busy CPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def witness_home(tmp_path_factory):
    return tmp_path_factory.mktemp("witnesses")


@pytest.fixture(scope="session")
def witnesses(witness_home):
    return witnesses_for("phantom", witness_home)
