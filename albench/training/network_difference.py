"""Whether a network is trained as another one would be: the first thing in which they differ, in words.

Compared are the modules with their classes, modes, hooks and other attributes, and the parameters and buffers with
their hooks and values. What a plugin changes for both networks, such as a method of a class of torch, is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType, MethodType

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from albench.encoder_decoder import plain

_TOLERANCE = 0.02  # of logits and gradients, relative to their norm: a GPU rounds two equal passes differently
_REGISTERED = ("_modules", "_parameters", "_buffers")  # compared by their own names
_HOOKS_OF_ALL_MODULES = tuple(
    f"_global_{name}_hooks" for name in ("forward", "forward_pre", "backward", "backward_pre")
)
_HOOKS_OF_PARAMETERS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def difference(network: nn.Module, usual: nn.Module, images: Tensor) -> str | None:
    """What makes the training of a network another one than that of the `usual` network; None if nothing does.

    Of an `Extended` network, its plain part is compared, and whether what is around it changes logits or gradients. The
    networks are compared in training mode, which a module may refuse, and are in evaluation mode afterwards.

    Args:
        network: before its first training.
        usual: built from the same random numbers, on the same device.
        images: (b, c, h, w) on this device, to compare an `Extended` network with its plain part.
    """
    own = plain(network)
    network.train()
    usual.train()
    try:
        found = next(_differences(own, usual), None)
        if found is None and network is not own:
            found = next(_passes(network, own, images), None)
        return found
    finally:
        network.eval()
        usual.eval()


def _differences(own: nn.Module, usual: nn.Module) -> Iterator[str]:
    if any(getattr(torch_module, hooks, None) for hooks in _HOOKS_OF_ALL_MODULES):
        yield "torch has hooks that are called for all modules"
    modules, others = dict(own.named_modules()), dict(usual.named_modules())
    yield from _missing("module", modules, others)
    for name, one in modules.items():
        yield from _of_module(f"module '{name}' of its network" if name else "its network", one, others[name])
    parameters, usual_parameters = dict(own.named_parameters()), dict(usual.named_parameters())
    yield from _missing("parameter", parameters, usual_parameters)
    for name, value in parameters.items():
        yield from _of_parameter(f"parameter '{name}' of its network", value, usual_parameters[name])
    buffers, usual_buffers = dict(own.named_buffers()), dict(usual.named_buffers())
    yield from _missing("buffer", buffers, usual_buffers)
    for name, buffer in buffers.items():
        yield from _of_values(f"buffer '{name}' of its network", buffer, usual_buffers[name])


def _missing(kind: str, own: Mapping[str, object], usual: Mapping[str, object]) -> Iterator[str]:
    for name in own.keys() - usual.keys():
        yield f"its network has a {kind} '{name}' that the network of all strategies lacks"
    for name in usual.keys() - own.keys():
        yield f"its network lacks the {kind} '{name}' of the network of all strategies"


def _of_module(what: str, own: nn.Module, usual: nn.Module) -> Iterator[str]:
    if not _same_class(type(own), type(usual)):
        yield f"{what} is a {type(own).__qualname__}, and a {type(usual).__qualname__} in that of all strategies"
    if own.training != usual.training:
        yield f"{what} stays in {'training' if own.training else 'evaluation'} mode"
    attributes, others = vars(own), vars(usual)
    for name in sorted(attributes.keys() | others.keys()):
        if name in _REGISTERED:
            continue
        if name not in others:
            yield f"{what} has an attribute '{name}' that it lacks in that of all strategies"
        elif name not in attributes:
            yield f"{what} lacks the attribute '{name}' that it has in that of all strategies"
        elif "hooks" in name:
            if _content(list(attributes[name].values())) != _content(list(others[name].values())):
                yield f"{what} has other hooks ({name.strip('_')})"
        elif _content(attributes[name]) != _content(others[name]):
            yield f"attribute '{name}' of {what} has another value"


def _of_parameter(what: str, own: nn.Parameter, usual: nn.Parameter) -> Iterator[str]:
    if own.requires_grad != usual.requires_grad:
        yield f"{what} is {'trained' if own.requires_grad else 'frozen'}"
    for hooks in _HOOKS_OF_PARAMETERS:
        one, other = getattr(own, hooks, None) or {}, getattr(usual, hooks, None) or {}
        if _content(list(one.values())) != _content(list(other.values())):
            yield f"{what} has other hooks ({hooks.strip('_')})"
    yield from _of_values(what, own, usual)


def _of_values(what: str, own: Tensor, usual: Tensor) -> Iterator[str]:
    if own.shape != usual.shape:
        yield f"{what} has shape {tuple(own.shape)}, and {tuple(usual.shape)} in that of all strategies"
    if own.dtype != usual.dtype:
        yield f"{what} has type {own.dtype}, and {usual.dtype} in that of all strategies"
    if _content(own) != _content(usual):
        yield f"{what} has other initial values"


def _same_class(one: type, other: type) -> bool:
    """Whether two classes are the same, or made alike, as a parametrization makes one for every module."""
    if one is other:
        return True
    names = [(cls.__module__, cls.__qualname__, cls.__bases__) for cls in (one, other)]
    return names[0] == names[1] and _content(dict(vars(one))) == _content(dict(vars(other)))


def _content(value: object) -> object:
    """What can be compared of a value: tensors by their bytes, functions by their code, all else as it is written."""
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        return tuple(value.shape), str(value.dtype), flat.view(torch.uint8).numpy().tobytes()
    if isinstance(value, MethodType):
        return _content(value.__func__)
    if isinstance(value, FunctionType):
        return value.__code__
    if isinstance(value, Mapping):
        return [(_content(key), _content(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    return type(value).__qualname__, re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _passes(network: nn.Module, own: nn.Module, images: Tensor) -> Iterator[str]:
    """Whether a network gives other logits than its plain part, or other gradients of its parameters."""
    trained = [value for value in own.parameters() if value.requires_grad]
    one, other = (_pass(module, trained, images) for module in (network, own))
    for name, value, expected in zip(("logits", "gradients"), one, other, strict=True):
        if not (value - expected).norm() <= _TOLERANCE * expected.norm():
            yield f"its network has other {name} than the plain network that it contains"


def _pass(network: nn.Module, trained: Sequence[nn.Parameter], images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the gradients of their mean square as one vector; statistics and random state are left unchanged."""
    before = [value.clone() for value in network.buffers()]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        logits = network(images).float()
    loss = logits.square().mean()
    found = torch.autograd.grad(loss, trained, allow_unused=True) if loss.requires_grad else [None] * len(trained)
    for value, old in zip(network.buffers(), before, strict=True):
        value.copy_(old)
    gradients = [torch.zeros_like(value) if one is None else one for value, one in zip(trained, found, strict=True)]
    return logits.detach(), torch.cat([value.flatten() for value in gradients])
