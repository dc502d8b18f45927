import pytest
from support.samples import TINY
from support.suites import write_suite

from albench.benchmarks.estimate import Probe, RunCost, probe, steps_of_training
from albench.benchmarks.plan import plan_runs
from albench.benchmarks.suite import load_suite
from albench.config import Training
from albench.run_session import Execution
from albench.training.device import choose_device


@pytest.mark.parametrize(
    ("settings", "labeled", "expected"),
    [
        ({"stop": "steps", "steps": 70}, 10, (70, 70)),
        ({"patience": 5, "patience_steps": 0, "min_steps": 0, "epochs": 100}, 64, (12, 200)),  # epochs of two steps
        ({"patience": 5, "patience_steps": 0, "min_steps": 0, "epochs": 4}, 64, (8, 8)),
        ({"patience": 5, "patience_steps": 100, "min_steps": 0, "epochs": 100}, 64, (102, 200)),
        ({"patience": 5, "patience_steps": 100, "min_steps": 300, "epochs": 100}, 64, (300, 300)),
        ({"patience": 5, "patience_steps": 100, "min_steps": 300, "epochs": 400}, 64, (300, 800)),
    ],
)
def test_bounds_of_the_steps_of_a_training(settings, labeled, expected):
    assert steps_of_training(Training(batch_size=32, **settings), labeled) == expected


def planned(tmp_path, **settings):
    path = write_suite(tmp_path, ["star", "random"])
    return plan_runs(load_suite(str(path), seeds=[0], settings=TINY | settings))[0]


def test_the_cost_of_a_matched_run_is_that_of_its_steps(tmp_path):
    matched = {"protocol.compute": "matched", "protocol.steps": 40, "training.val_steps": 10}
    run = planned(tmp_path, **matched)
    timed = Probe(fit=1.0, evaluate=0.0, query=0.0, training=100.0, weights=0, masks=0.0)
    val, rounds = run.slices.val, run.rounds
    read = lambda steps: 8 * steps + val / 3 * (steps / 10)  # noqa: E731
    expected = read(40) + (rounds - 1) * (read(20) + 100 * read(20))
    for bound in (0, 1):
        assert RunCost(run, timed, 0).seconds(bound, None) == pytest.approx(expected)
        assert RunCost(run, timed, rounds).seconds(bound, None) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"protocol.compute": "matched", "protocol.steps": 40},
        {"protocol.validation": "none", "training.stop": "steps"},
        {"protocol.splits": "nested", "protocol.start": "cases"},
        {"training.stop": "val_dice", "training.min_steps": 10**6},
    ],
)
def test_a_run_with_any_protocol_is_probed_in_two_epochs(tmp_path, settings):
    found = probe(planned(tmp_path, **settings).spec, Execution(choose_device("cpu", 1)))
    assert found.fit > 0
    assert found.training > 0
