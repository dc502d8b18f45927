"""How large the network of a run is: the arithmetic of a forward pass, and the bytes of its weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from albench.benchmarks.plan import PlannedRun
from albench.config import build
from albench.network import Task
from albench.registry import NETWORKS, find
from albench.resolve import make_strategy
from albench.strategy import Strategy


@dataclass(frozen=True)
class NetworkSize:
    """The size of a network.

    Attributes:
        gflop: operations of a forward pass over one slice, in billions; a product and its sum are two.
        weights: bytes of all that its strategy trains, as a round stores it.
    """

    gflop: float
    weights: int

    @classmethod
    def of(cls, run: PlannedRun) -> NetworkSize:
        """The size of the network of a run, which computes nothing if it can be built without content."""
        channels, height, width = run.shape
        network = build(find(NETWORKS, run.spec.network), run.config.network.options, "network")
        task = Task(channels, (height, width), network, len(run.config.classes))
        strategy = make_strategy(run.spec.strategy, run.spec.settings)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of initial weights, which a network without content does not have
            try:
                return cls._built(task, strategy, "meta")
            except Exception:  # such as a network that reads values of tensors while it is built
                return cls._built(task, strategy, "cpu")

    @classmethod
    def _built(cls, task: Task, strategy: Strategy, device: str) -> NetworkSize:
        with torch.device(device):
            plain, trained = task.build(), strategy.network(task)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            plain.eval()(torch.zeros(1, task.channels, *task.size, device=device))
        state = trained.state_dict().values()
        return cls(counter.get_total_flops() / 1e9, sum(t.numel() * t.element_size() for t in state))
