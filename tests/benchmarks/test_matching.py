import io

import pytest
from rich.console import Console
from support.samples import TINY
from support.suites import write_suite

from albench.benchmarks.plan import plan_runs
from albench.benchmarks.progress import ProgressTable
from albench.benchmarks.runner import plan_suite, run_suite
from albench.benchmarks.suite import load_suite
from albench.errors import ConfigError

MATCHED = {"protocol.compute": "matched", "training.steps": 30}


def planned_steps(tmp_path, strategies, **settings):
    path = write_suite(tmp_path, strategies)
    return {run.config.protocol.steps for run in plan_runs(load_suite(str(path), settings=MATCHED | settings))}


def test_all_methods_take_the_steps_of_the_one_with_most_trainings(tmp_path):
    assert planned_steps(tmp_path, ["random", "taal"]) == {30}
    assert planned_steps(tmp_path, ["random", "star"]) == {60}
    supervised = {"strategy": "star", "settings": {"strategy": {"aggregation": "none"}}}
    assert planned_steps(tmp_path, ["random", supervised]) == {30}


def test_a_given_number_of_steps_stays(tmp_path):
    assert planned_steps(tmp_path, ["random", "star"], **{"protocol.steps": 45}) == {45}


def test_a_method_alone_cannot_be_matched(tmp_path):
    with pytest.raises(ConfigError) as caught:
        planned_steps(tmp_path, ["star"])
    assert str(caught.value) == (
        "protocol.compute=matched needs at least two methods, 'star' is the only one: add a method, or set "
        "protocol.steps"
    )


def test_crossed_splits_repeat_every_seed_on_every_split(tmp_path):
    path = write_suite(tmp_path, ["random", "entropy"])
    runs = plan_runs(load_suite(str(path), seeds=[0, 4], settings={"protocol.splits": 3, "protocol.split_seed": 5}))
    found = [(run.spec.label, run.spec.seed, run.config.protocol.split_seed) for run in runs]
    assert sorted(found) == sorted((name, s, k) for name in ("random", "entropy") for s in (0, 4) for k in (5, 6, 7))
    assert len({run.folder for run in runs}) == 12
    assert runs[0].name == "random, seed 0, split 5"


def test_a_suite_with_crossed_splits_runs_to_the_end(tmp_path):
    path = write_suite(tmp_path, ["random", "entropy"])
    console = Console(file=io.StringIO(), width=200)
    settings = TINY | {"protocol.splits": 2, "protocol.rounds": 1}
    progress = ProgressTable(console)
    plan = plan_suite(str(path), settings=settings, seeds=[0], storage=tmp_path / "runs", callback=progress)
    outcome = run_suite(plan, use_ray=False, device="cpu", callback=progress)
    assert len(outcome.finished) == 4
    assert "entropy, seed 0, split 1: finished" in console.file.getvalue()


@pytest.mark.parametrize("splits", [0, -2, "many"])
def test_wrong_splits_are_one_sentence(tmp_path, splits):
    path = write_suite(tmp_path, ["random", "entropy"])
    with pytest.raises(ConfigError, match=r"protocol\.splits"):
        load_suite(str(path), settings={"protocol.splits": splits})
