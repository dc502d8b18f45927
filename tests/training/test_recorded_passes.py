"""Training passes that are recorded and replayed, on a machine without a GPU; more in test_graphs.py."""

import pytest
import torch
from support.learners import Drifting, examples, make_learner, supervised, twice
from support.recorded_operations import graphs_on_cpu

from albench.training.graphs import PassGraphs


@pytest.fixture
def graphs():
    with graphs_on_cpu():
        yield


def trained(notices=None, loss=supervised, **settings):
    """A learner after its training, with graphs if there is a list for notices."""
    learner = make_learner(epochs=2, patience=9, **settings)
    if notices is not None:
        learner._graphs = PassGraphs(learner.network, learner.batch_size, notices.append)
    learner.fit(examples(), loss)
    return learner


def assert_alike(learner, expected):
    torch.testing.assert_close(learner.weights(), expected.weights(), rtol=1e-4, atol=1e-6)


def test_replayed_passes_train_like_usual_ones(graphs):
    notices = []
    learner = trained(notices)
    assert notices == []
    assert len(learner._graphs._recorded) == 2  # of training and of validation
    assert "forward" not in vars(learner.network)
    assert_alike(learner, trained())


def test_gradients_of_another_loss_are_added_to_replayed_ones(graphs):
    def penalized(model, batch, unlabeled, epoch):
        return supervised(model, batch, unlabeled, epoch) + sum(p.square().sum() for p in model.parameters())

    notices = []
    assert_alike(trained(notices, penalized), trained(loss=penalized))
    assert notices == []


def test_a_network_whose_weights_have_moved_is_recorded_again(graphs):
    learner = trained([])
    first = set(learner._graphs._recorded.values())
    weight = next(learner.network.parameters())
    weight.data = weight.data.clone()
    learner.fit(examples(), supervised)
    assert not set(learner._graphs._recorded.values()) & first


def test_a_network_that_changes_from_pass_to_pass_is_not_replayed(graphs):
    notices = []
    learner = trained(notices, network=Drifting(make_learner().network))
    assert len(notices) == 1
    assert notices[0].startswith("training without CUDA graphs: replayed passes differ by ")
    assert not learner._graphs._recorded


def test_a_loss_of_two_passes_is_not_replayed(graphs):
    notices = []
    learner = trained(notices, twice)
    assert notices == ["training without CUDA graphs: the loss runs the network more than once"]
    assert_alike(learner, trained(loss=twice))


def test_without_a_gpu_passes_cannot_be_recorded_and_train_as_usual():
    notices = []
    learner = trained(notices)
    assert len(notices) == 1
    assert notices[0].startswith("training without CUDA graphs: ")
    assert_alike(learner, trained())
