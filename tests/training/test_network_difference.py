"""What of a network is compared with the one that all strategies train."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, spectral_norm

from albench.encoder_decoder import Extended
from albench.training.network_difference import difference

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Has a bit of everything."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Conv2d(2, 1, 1)
        self.scale, self.kept, self.names = torch.ones(2), [torch.zeros(1)], {"b", "a"}
        self.act = partial(nn.functional.leaky_relu, negative_slope=0.1)
        self.turn = lambda values: values

    def forward(self, images):
        return self.head(self.drop(self.act(self.norm(self.conv(images)))))


class Around(Extended):
    def __init__(self, plain):
        super().__init__()
        self.plain = plain
        self.more = nn.Linear(1, 1)

    def forward(self, images):
        return self.plain(images)


def build(around=False):
    torch.manual_seed(0)
    return Around(Net()) if around else Net()


def hook(*arguments):
    return None


def freeze(network):
    network.conv.weight.requires_grad = False


def add_module(network):
    network.adapter = nn.Identity()


def remove_module(network):
    del network.drop


def replace_class(network):
    network.norm = nn.InstanceNorm2d(2, affine=True, track_running_stats=True)


def keep_in_evaluation(network):
    network.norm.train = lambda mode=True: nn.BatchNorm2d.train(network.norm, False)


def hook_on_gradient(network):
    network.conv.weight.register_hook(hook)


def hook_after_gradient(network):
    network.conv.weight.register_post_accumulate_grad_hook(hook)


def other_weights(network):
    nn.init.zeros_(network.head.bias)


def other_statistics(network):
    network.norm.running_mean += 1


def other_shape(network):
    network.head.bias = nn.Parameter(torch.zeros(2))


def other_type(network):
    network.head.double()


def add_buffer(network):
    network.register_buffer("count", torch.zeros(()), persistent=False)


def own_forward(network):
    network.forward = lambda images: Net.forward(network, images)


CHANGES = {
    freeze: "parameter 'conv.weight' of its network is frozen",
    add_module: "its network has a module 'adapter' that the network of all strategies lacks",
    remove_module: "its network lacks the module 'drop' of the network of all strategies",
    replace_class: "module 'norm' of its network is a InstanceNorm2d, and a BatchNorm2d in that of all strategies",
    keep_in_evaluation: "module 'norm' of its network stays in evaluation mode",
    lambda network: network.conv.register_forward_hook(hook): (
        "module 'conv' of its network has other hooks (forward_hooks)"
    ),
    lambda network: network.register_forward_pre_hook(hook): "its network has other hooks (forward_pre_hooks)",
    lambda network: network.conv.register_full_backward_hook(hook): (
        "module 'conv' of its network has other hooks (backward_hooks)"
    ),
    lambda network: network.conv.register_full_backward_pre_hook(hook): (
        "module 'conv' of its network has other hooks (backward_pre_hooks)"
    ),
    hook_on_gradient: "parameter 'conv.weight' of its network has other hooks (backward_hooks)",
    hook_after_gradient: "parameter 'conv.weight' of its network has other hooks (post_accumulate_grad_hooks)",
    other_weights: "parameter 'head.bias' of its network has other initial values",
    other_statistics: "buffer 'norm.running_mean' of its network has other initial values",
    other_shape: "parameter 'head.bias' of its network has shape (2,), and (1,) in that of all strategies",
    other_type: (
        "parameter 'head.weight' of its network has type torch.float64, and torch.float32 in that of all strategies"
    ),
    add_buffer: "attribute '_non_persistent_buffers_set' of its network has another value",
    own_forward: "its network has an attribute 'forward' that it lacks in that of all strategies",
    lambda network: setattr(network.drop, "p", 0.0): (
        "attribute 'p' of module 'drop' of its network has another value"
    ),
    lambda network: network.scale.mul_(2): "attribute 'scale' of its network has another value",
    lambda network: network.kept[0].add_(1): "attribute 'kept' of its network has another value",
    lambda network: setattr(network, "turn", lambda values: -values): (
        "attribute 'turn' of its network has another value"
    ),
    lambda network: setattr(network, "act", partial(nn.functional.leaky_relu, negative_slope=0.2)): (
        "attribute 'act' of its network has another value"
    ),
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("around", [False, True])
def test_every_change_of_what_a_training_depends_on_is_named(change, around):
    network = build(around)
    change(network.plain if around else network)
    assert difference(network, build(), IMAGES) == CHANGES[change]


@pytest.mark.parametrize("around", [False, True])
def test_equal_networks_do_not_differ_and_are_left_as_they_were(around):
    network, usual, before = build(around), build(), build(around).state_dict()
    random = torch.get_rng_state()
    assert difference(network, usual, IMAGES) is None
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(value.grad is None for value in network.parameters())
    assert not any(module.training for module in network.modules())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    "change",
    [
        lambda network: parametrizations.weight_norm(network.conv),
        lambda network: spectral_norm(network.conv),
        lambda network: network.conv.register_forward_hook(lambda module, inputs, output: None),
        own_forward,
        hook_on_gradient,
    ],
)
def test_what_both_networks_have_makes_no_difference(change):
    networks = build(), build()
    for network in networks:
        torch.manual_seed(0)
        change(network)
    assert difference(*networks, IMAGES) is None


def test_hooks_for_all_modules_of_torch_are_found():
    handle = register_module_forward_hook(hook)
    try:
        assert difference(build(), build(), IMAGES) == "torch has hooks that are called for all modules"
    finally:
        handle.remove()


def test_nothing_around_the_plain_network_may_change_its_training():
    class Louder(Around):
        def forward(self, images):
            return 2 * self.plain(images)

    class Drawing(Around):
        def forward(self, images):
            torch.rand(())
            return self.plain(images)

    class Detached(Around):
        def forward(self, images):
            logits = self.plain(images)
            return logits.detach() + 0 * logits

    for cls, what in ((Louder, "logits"), (Drawing, "logits"), (Detached, "gradients")):
        torch.manual_seed(0)
        found = difference(cls(Net()), build(), IMAGES)
        assert found == (what and f"its network has other {what} than the plain network that it contains")
