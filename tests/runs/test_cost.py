"""The cost of a round: what its phases took on the clock and of the CPU."""

import time
from dataclasses import asdict

import torch
from pydantic import TypeAdapter

from albench.runs.cost import Clock
from albench.runs.records import ComputeCost


def test_seconds_of_the_cpu_do_not_count_waiting_and_blocks_of_a_phase_add_up():
    clock = Clock(torch.device("cpu"))
    with clock.phase("fit"):
        time.sleep(0.3)
    with clock.phase("evaluate"):
        _compute(0.2)
    for _ in range(2):
        with clock.phase("query"):
            _compute(0.1)
    cost = clock.cost(1, [], [])
    assert cost.cpu_seconds is not None
    assert cost.seconds.fit >= 0.3
    assert cost.cpu_seconds.fit < 0.15
    assert cost.cpu_seconds.evaluate >= 0.2
    assert cost.cpu_seconds.query >= 0.2


def test_a_cost_of_an_earlier_version_has_no_seconds_of_the_cpu():
    clock = Clock(torch.device("cpu"))
    for phase in ("fit", "evaluate", "query"):
        with clock.phase(phase):
            pass
    written = asdict(clock.cost(1, [], []))
    del written["cpu_seconds"]
    assert TypeAdapter(ComputeCost).validate_python(written).cpu_seconds is None


def _compute(seconds: float) -> None:
    """Use this much time of the CPU."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
