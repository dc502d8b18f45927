"""The time that a suite still needs, against hand calculations."""

import io
import time

import pytest
from rich.console import Console
from support.samples import TINY
from support.suites import write_suite

from albench.benchmarks import plan_suite, ray_runner, run_suite
from albench.benchmarks import progress as progress_module
from albench.benchmarks.plan import plan_runs
from albench.benchmarks.progress import ProgressTable
from albench.benchmarks.remaining_time import RemainingTime, amounts
from albench.benchmarks.suite import load_suite
from albench.benchmarks.suite_callback import SuiteCallback
from albench.errors import ConfigError

SETTINGS = TINY | {"training.stop": "steps", "training.steps": 12, "protocol.rounds": 3, "protocol.budget": 4}


@pytest.fixture
def planned(tmp_path):
    """{label: its run}, of a suite with these strategies, one seed each."""

    def plan(*strategies):
        path = write_suite(tmp_path, list(strategies), seeds=1)
        return {run.spec.label: run for run in plan_runs(load_suite(str(path), settings=SETTINGS))}

    return plan


def test_a_round_needs_the_slices_of_its_training_and_a_third_of_those_that_are_predicted(planned):
    runs = planned("random", "entropy", "mc-dropout", "full")
    slices, batch = runs["random"].slices, runs["random"].config.training.batch_size
    assert slices.initial >= batch
    evaluated = (slices.val + slices.test) / 3
    round_0 = 12 * batch + evaluated
    unlabeled = [slices.annotatable - slices.initial - 4 * index for index in range(4)]
    assert amounts(runs["random"]) == pytest.approx([round_0] * 4)
    assert amounts(runs["entropy"]) == pytest.approx([round_0 + n / 3 for n in unlabeled[:3]] + [round_0])
    passes = runs["mc-dropout"].config.strategy.options["passes"]
    assert amounts(runs["mc-dropout"])[0] == pytest.approx(round_0 + passes * unlabeled[0] / 3)
    assert amounts(runs["full"]) == pytest.approx([round_0])


def test_every_method_has_its_own_speed_and_others_that_of_all(planned):
    runs = planned("random", "entropy", "star")
    random, entropy, star = runs.values()
    remaining = RemainingTime(list(runs.values()), [0, 0, 0], parallel=1)
    assert (remaining.total(), remaining.of(star)) == (None, None)
    remaining.add(random, 0, 100.0)  # trains round 0, which the others share
    remaining.add(random, 1, 10.0)
    remaining.add(entropy, 0, 0.1)
    remaining.add(entropy, 1, 30.0)
    of_random, of_entropy, of_star = map(amounts, runs.values())
    assert remaining.of(random) == pytest.approx(10 * sum(of_random[2:]) / of_random[1])
    assert remaining.of(entropy) == pytest.approx(30 * sum(of_entropy[2:]) / of_entropy[1])
    of_all = (10 + 30) / (of_random[1] + of_entropy[1])
    assert remaining.of(star) == pytest.approx(of_all * sum(of_star))
    assert remaining.total() == pytest.approx(sum(map(remaining.of, runs.values())))


def test_round_0_tells_no_speed_unless_a_run_has_no_other_round(planned):
    """Its training is shared: one run computes it, and the others wait for it or take it at once."""
    runs = planned("random", "entropy", "full")
    random, entropy, full = runs.values()
    remaining = RemainingTime([random, entropy, full], [0, 0, 0], parallel=1)
    remaining.add(random, 0, 100.0)
    remaining.add(entropy, 0, 0.1)
    assert [remaining.of(run) for run in runs.values()] == [None] * 3
    assert remaining.total() is None
    remaining.add(full, 0, 50.0)
    remaining.remove(full)
    assert remaining.of(random) == pytest.approx(50 / amounts(full)[0] * sum(amounts(random)[1:]))
    remaining.add(random, 1, 3.0)
    assert remaining.of(random) == pytest.approx(3 / amounts(random)[1] * sum(amounts(random)[2:]))
    of_all = 53 / (amounts(full)[0] + amounts(random)[1])
    assert remaining.of(entropy) == pytest.approx(of_all * sum(amounts(entropy)[1:]))


def test_parallel_runs_share_the_time_but_none_ends_before_its_own_rounds(planned):
    runs = planned("random", "entropy", "margin")
    random, entropy, margin = runs.values()
    for parallel in (1, 2, 3, 8):
        remaining = RemainingTime(list(runs.values()), [0, 0, 0], parallel)
        for run, seconds in ((random, 1.0), (entropy, 1.0), (margin, 100.0)):
            remaining.add(run, 1, seconds)
        needed = [remaining.of(run) for run in runs.values()]
        assert remaining.total() == pytest.approx(max(sum(needed) / min(parallel, 3), *needed))
    for run in runs.values():
        remaining.remove(run)
    assert remaining.total() == 0


def test_an_earlier_call_tells_the_speed_of_a_method_until_it_is_measured(planned):
    runs = planned("entropy", "star")
    entropy, star = runs.values()
    of_entropy, of_star = map(amounts, runs.values())
    remaining = RemainingTime([entropy, star], [2, 0], parallel=1)
    remaining.add_earlier(entropy, [100.0, 8.0])
    of_entropy_then = 8 / of_entropy[1]
    assert remaining.of(entropy) == pytest.approx(of_entropy_then * sum(of_entropy[2:]))
    assert remaining.of(star) == pytest.approx(of_entropy_then * sum(of_star))
    remaining.add(star, 0, 6.0)
    assert remaining.of(entropy) == pytest.approx(of_entropy_then * sum(of_entropy[2:]))
    remaining.add(entropy, 2, 3.0)
    assert remaining.of(entropy) == pytest.approx(3 / of_entropy[2] * of_entropy[3])


def test_the_progress_counts_the_cost_of_each_method(planned, monkeypatch):
    class Record:
        def __init__(self, index):
            self.round = index

    clock = iter([0.0, 100.0, 110.0, 110.0, 110.0, 170.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress_module, "describe", lambda record: f"round {record.round}")
    random, entropy = planned("random", "entropy").values()
    console = Console(file=io.StringIO(), width=200)
    table = ProgressTable(console)
    table.on_start([random, entropy], [0, 0], 1, "here")
    table.on_run_start(random)
    table.on_round(random, Record(0))
    table.on_round(random, Record(1))
    table.on_run_start(entropy)
    table.on_round(entropy, Record(0))
    table.on_round(entropy, Record(1))
    assert console.file.getvalue().splitlines()[1] == "[0/2] random, seed 0: round 0"
    last = console.file.getvalue().splitlines()[-1]
    of_random, of_entropy = amounts(random), amounts(entropy)
    seconds = 10 * sum(of_random[2:]) / of_random[1] + 60 * sum(of_entropy[2:]) / of_entropy[1]
    minutes, rest = divmod(round(seconds), 60)
    assert last == f"[0/2] entropy, seed 0: round 1  {minutes}m{rest:02d}s left"
    assert seconds == pytest.approx(20 + 120, rel=0.1)  # two more rounds of 10 s, and two of about 60 s


def test_a_suite_says_what_is_awaited_until_something_else_is_printed(planned, monkeypatch):
    monkeypatch.setattr("albench.console.LONG_WAIT", 0.02)
    console, (random,) = Console(file=io.StringIO(), width=200), planned("random").values()
    table = ProgressTable(console)

    def printed_after(call, *arguments):
        before = len(console.file.getvalue())
        call(*arguments)
        time.sleep(0.1)
        return console.file.getvalue()[before:].splitlines()

    assert printed_after(table.on_wait, "looking at the files of the data") == ["looking at the files of the data"]
    assert printed_after(table.on_plan, "tiny", [random], [random]) == ["tiny: 1 run, 0 already finished"]
    assert printed_after(table.on_wait, "starting Ray") == ["starting Ray"]
    started = printed_after(table.on_start, [random], [0], 1, "on Ray")
    assert started == ["1 in parallel on Ray", "computing the first round of 1 run"]
    assert printed_after(table.on_wait, "starting Ray") == ["starting Ray"]
    table.on_wait("nothing")
    assert printed_after(table.on_run_notice, random, "no graphs") == ["[0/1] random, seed 0: no graphs"]
    table.on_wait("nothing")
    assert printed_after(table.on_end) == []


def test_a_suite_awaits_its_data_ray_and_the_first_rounds(tmp_path, monkeypatch):
    class Waits(SuiteCallback):
        said = ()

        def on_wait(self, words):
            self.said += (words,)

    def no_ray(*_):
        raise ConfigError("no Ray")

    monkeypatch.setattr(ray_runner, "connected", no_ray)
    waits, path = Waits(), write_suite(tmp_path, ["random"], seeds=1)
    for address, expected in ((None, "starting Ray"), ("127.0.0.1:1", "connecting to Ray at 127.0.0.1:1")):
        plan = plan_suite(str(path), settings=SETTINGS, storage=tmp_path / "runs", callback=waits)
        with pytest.raises(ConfigError, match="no Ray"):
            run_suite(plan, address=address, callback=waits)
        assert waits.said[-2:] == ("looking at the files of the data", expected)
