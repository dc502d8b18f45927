"""Training passes of a network, replayed as CUDA graphs.

A step of a small network consists of hundreds of kernels that take less time than the CPU takes to launch them. A graph
records the kernels of a pass once and launches all of them together. It replays them on the same memory: the arguments
of a pass are copied to where they were when it was recorded, and gradients are written to the same tensors in every
step. Dropout draws anew in every replay, and batch normalization updates its statistics.

Only passes over full batches are recorded; others run as usual. So do all passes where a recorded one differs from the
usual one by more than rounding, or cannot be recorded: that is tried once and said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from albench.machine_errors import has_stopped, is_out_of_gpu_memory
from albench.training.device import copy_all

_WARM_UP = 3  # passes before recording, in which libraries choose their algorithms
_TOLERANCE = 0.02  # of gradients, outputs and statistics in bfloat16, relative to their norm

Notice = Callable[[str], None]
"""A function that tells the user something."""


class PassGraphs:
    """The recorded passes of one network, for all trainings of a run.

    Args:
        network: to train; if its parameters or buffers have moved to other memory, passes are recorded again.
        batch_size: slices of a full batch; a multiple of it is one too.
        notice: called once if passes cannot be replayed.
    """

    def __init__(self, network: nn.Module, batch_size: int, notice: Notice) -> None:
        self.network = network
        self._batch_size = batch_size
        self._notice = notice
        self._recorded: dict[object, _Recorded] = {}
        self._possible = True

    @contextmanager
    def replaying(self, method: str = "forward") -> Iterator[None]:
        """Replay the passes of a method of the network in a block, the training; autocast must be active in it."""
        self._recorded = {key: recorded for key, recorded in self._recorded.items() if recorded.is_in_place()}
        for recorded in self._recorded.values():
            recorded.pending = False
        usual = getattr(self.network, method)

        def call(*arguments: Any) -> Tensor:
            tensors, structure = tree_flatten(arguments)
            recorded = self._find(method, usual, tensors, structure)
            return usual(*arguments) if recorded is None else recorded(tensors)

        setattr(self.network, method, call)
        try:
            yield
        finally:
            delattr(self.network, method)

    def _find(
        self, method: str, usual: Callable[..., Tensor], tensors: Sequence[Any], structure: TreeSpec
    ) -> _Recorded | None:
        """The recording of a pass over these arguments; None if it must run as usual."""
        if not self._possible:
            return None
        fixed = all(isinstance(value, Tensor) and not value.requires_grad for value in tensors)
        if not fixed or len(tensors[0]) % self._batch_size:
            return None
        differentiable = torch.is_grad_enabled()
        if differentiable and any(recorded.pending for recorded in self._recorded.values()):
            self._give_up("the loss runs the network more than once")
            return None
        modes = tuple(module.training for module in self.network.modules())
        key = (
            method,
            differentiable,
            repr(structure),  # which torch 2.4 cannot hash
            tuple((value.shape, value.dtype) for value in tensors),
            modes,
        )
        if key not in self._recorded:
            try:
                recorded = _Recorded(self.network, usual, tensors, structure)
                difference = recorded.compare(usual, tensors, structure)
            except RuntimeError as error:
                if has_stopped(error):
                    raise
                _let_draw_again()
                full = "the GPU has no memory for them" if is_out_of_gpu_memory(error) else None
                self._give_up(full or str(_first(error)).partition("\n")[0])
                return None
            if not difference <= _TOLERANCE:
                self._give_up(f"replayed passes differ by {difference:.1%}")
                return None
            self._recorded[key] = recorded
        return self._recorded[key]

    def _give_up(self, reason: str) -> None:
        self._possible = False
        self._recorded.clear()
        self._notice(f"training without CUDA graphs: {reason}")


class _Recorded:
    """A pass of a network, recorded with its modules in their present modes, and its backward pass with gradients."""

    def __init__(
        self, network: nn.Module, usual: Callable[..., Tensor], tensors: Sequence[Tensor], structure: TreeSpec
    ) -> None:
        self.pending = False  # whether a forward pass waits for its backward pass
        self._parameters = [value for value in network.parameters() if value.requires_grad]
        self._buffers = list(network.buffers())
        self._inputs = [value.clone() for value in tensors]
        self._device = tensors[0].device
        self._anchor = torch.zeros((), device=self._device, requires_grad=True)  # so that autograd asks for gradients
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        arguments = tree_unflatten(self._inputs, structure)

        def run() -> Tensor:
            return usual(*arguments)

        kind = self._device.type
        precision, active = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        with self._unchanged(), torch.autocast(kind, precision, enabled=active, cache_enabled=False):
            aside = torch.cuda.Stream(self._device)
            aside.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UP):
                    output = run()
                    if output.requires_grad:
                        self._gradients_of(output, torch.zeros_like(output))
            torch.cuda.current_stream(self._device).wait_stream(aside)
            del output
            # Threads that score the evaluation may wait for the device meanwhile
            with torch.cuda.graph(self._forward, capture_error_mode="thread_local"):
                self._output = run()
            self._gradient = torch.zeros_like(self._output, memory_format=torch.contiguous_format)
            if self._output.requires_grad:
                with torch.cuda.graph(self._backward, self._forward.pool(), capture_error_mode="thread_local"):
                    self._gradients = self._gradients_of(self._output, self._gradient)
        self._output = self._output.detach()
        self._places = self._addresses()

    def is_in_place(self) -> bool:
        """Whether parameters and buffers are in the memory in which they were when the passes were recorded."""
        return self._addresses() == self._places

    def _addresses(self) -> list[int]:
        return [value.data_ptr() for value in (*self._parameters, *self._buffers)]

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """The output of the network; its backward pass sets the gradients of the parameters."""
        if not torch.is_grad_enabled():
            return self.forward(tensors)
        self.pending = True
        output: Tensor = _Replay.apply(self._anchor, self, tensors)
        return output

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        """Replay the forward pass."""
        copy_all(tensors, self._inputs)
        self._forward.replay()
        return self._output.clone()  # which the loss may keep

    def backward(self, gradient: Tensor) -> None:
        """Replay the backward pass, and add to the gradients that the parameters may have from elsewhere."""
        self._gradient.copy_(gradient)
        self._backward.replay()
        for parameter, own in zip(self._parameters, self._gradients, strict=True):
            if own is not None:
                parameter.grad = own if parameter.grad is None else parameter.grad + own
        self.pending = False

    def compare(self, usual: Callable[..., Tensor], tensors: Sequence[Tensor], structure: TreeSpec) -> float:
        """The largest relative difference between a replayed and a usual pass: output, gradients, and statistics."""
        arguments = tree_unflatten(tensors, structure)
        replayed, expected = self._results(lambda: self(tensors)), self._results(lambda: usual(*arguments))
        differences = [
            (one.float() - other.float()).norm() / other.float().norm().clamp_min(1e-12)
            for one, other in zip(replayed, expected, strict=True)
        ]
        return float(torch.stack(differences).max())

    def _results(self, run: Callable[[], Tensor]) -> list[Tensor]:
        """Output, gradients and statistics of a pass that changes nothing, whose loss is the mean square."""
        for value in self._parameters:
            value.grad = None
        with self._unchanged():
            output = run()
            found = [output.detach(), *(value.clone() for value in self._buffers if value.is_floating_point())]
            if output.requires_grad:
                output.float().square().mean().backward()
                gradients = [value.grad for value in self._parameters if value.grad is not None]
                found.append(torch.cat([value.flatten().float() for value in gradients]))
        for value in self._parameters:
            value.grad = None
        return found

    def _gradients_of(self, output: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found = torch.autograd.grad(output, self._parameters, gradient, allow_unused=True)
        return tuple(map(_in_layout_of, self._parameters, found))

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Restore the buffers of the network, and the state of random numbers."""
        before, random = [value.clone() for value in self._buffers], torch.cuda.get_rng_state(self._device)
        try:
            yield
        finally:
            for value, old in zip(self._buffers, before, strict=True):
                value.copy_(old)
            torch.cuda.set_rng_state(random, self._device)


def _let_draw_again() -> None:
    """Let GPUs draw random numbers as usual after a recording that failed, which torch 2.11 takes for unfinished."""
    for generator in torch.cuda.default_generators:
        generator.graphsafe_set_state(generator.clone_state())


def _first(error: BaseException) -> BaseException:
    """The error that led to others, such as that of a recording which ends too early."""
    return _first(error.__context__) if error.__context__ else error


def _in_layout_of(parameter: Tensor, gradient: Tensor | None) -> Tensor | None:
    """A gradient with the strides of its parameter, which the fused optimizer needs and `backward` itself sees to."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


class _Replay(torch.autograd.Function):
    """A recorded pass as a function of autograd."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, recorded: _Recorded, tensors: Sequence[Tensor]) -> Tensor:
        ctx.recorded = recorded
        return recorded.forward(tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        ctx.recorded.backward(gradient)
        return None, None, None
