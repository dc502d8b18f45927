"""The size of a network: counted operations and bytes, and what a run stores."""

import pytest
import torch
from support.samples import TINY

from albench.benchmarks.network_size import NetworkSize
from albench.benchmarks.plan import plan_runs
from albench.benchmarks.suite import load_suite

NETWORK = """
from dataclasses import dataclass
import torch
from torch import nn
from albench.network import Network, Task

@dataclass(frozen=True)
class Plain(Network):
    def build(self, task: Task) -> nn.Module:
        width = WIDTH
        return nn.Sequential(nn.Conv2d(task.channels, width, 3, padding=1), nn.Conv2d(width, task.outputs, 1))
"""


def sizes(folder, *strategies, network="residual"):
    """The sizes of the networks of strategies on the tiny phantom, by label."""
    suite = folder / "own.yaml"
    suite.write_text(f"about: a test\ndataset: phantom\nstrategies: [{', '.join(strategies)}]\n")
    settings = {name: value for name, value in TINY.items() if network == "residual" or "network" not in name}
    runs = plan_runs(load_suite(str(suite), seeds=[0], settings=settings, network=network))
    return {run.spec.label: NetworkSize.of(run) for run in runs}


@pytest.mark.parametrize("width", ["6", "int(torch.ones(6).sum())"])
def test_operations_of_a_convolution_are_counted_also_of_a_network_that_reads_tensors(tmp_path, width):
    (tmp_path / "plain.py").write_text(NETWORK.replace("WIDTH", width))
    found = sizes(tmp_path, "random", network=f"{tmp_path / 'plain.py'}:Plain")["random"]
    assert found.gflop * 1e9 == pytest.approx(2 * 32 * 32 * (9 * 1 * 6 + 6))
    assert found.weights == 4 * (9 * 6 + 6 + 6 + 1)


def test_weights_take_the_bytes_that_a_run_stores(tmp_path, tiny_run):
    for strategy in ("random", "star"):
        stored = torch.load(tiny_run(strategy).folder / "rounds" / "02" / "weights.pt", weights_only=True)
        assert sizes(tmp_path, strategy)[strategy].weights == sum(tensor.nbytes for tensor in stored.values())


def test_the_network_of_the_paper_has_the_arithmetic_that_was_measured_on_a_gpu():
    brats, spleen = (
        NetworkSize.of(plan_runs(load_suite(name, seeds=[0]), published=True)[0]).gflop
        for name in ("paper-brats", "paper-spleen")
    )
    assert 3 * brats == pytest.approx(109.6, abs=0.1)  # a training step of a slice
    assert spleen / brats == pytest.approx(512**2 / 240**2, rel=0.01)
