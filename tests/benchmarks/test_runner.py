"""Suites from Python, without Ray."""

import gc
import weakref
from collections import Counter

import pytest
import yaml
from support.breaking import break_after_round_0, out_of_memory, stopped
from support.samples import invoke
from support.suites import damages, failing, results, small_phantom, write_study, write_suite

from albench.benchmarks import plan_suite, run_suite
from albench.benchmarks.suite_callback import SuiteCallback
from albench.errors import ConfigError, DataError, StoreError
from albench.reports import load
from albench.run_session import RunSession
from albench.runs import find_runs
from albench.strategy import Round


class Recorder(SuiteCallback):
    """Keeps every event with the name of its run."""

    def __init__(self):
        self.events = []

    def on_preparation(self, done, total, case):
        self.events.append(("preparation", done, total))

    def on_plan(self, name, chosen, left):
        self.events.append(("plan", name, len(chosen), len(left)))

    def on_start(self, runs, done, parallel, where):
        self.events.append(("start", [run.name for run in runs], list(done), parallel, where))

    def on_earlier_rounds(self, run, records):
        self.events.append(("earlier", run.name, len(records)))

    def on_run_start(self, run):
        self.events.append(("run start", run.name))

    def on_round(self, run, record):
        self.events.append(("round", run.name, record.round))

    def on_run_notice(self, run, text):
        self.events.append(("notice", run.name, text))

    def on_run_finish(self, run):
        self.events.append(("run finish", run.name))

    def on_retry(self, run, error):
        self.events.append(("retry", run.name, error))

    def on_failure(self, run, error):
        self.events.append(("failure", run.name, error))

    def on_end(self):
        self.events.append(("end",))


@pytest.fixture
def start(tmp_path):
    """Plan and run a suite without Ray; returns its outcome and the events."""

    def call(suite, *, retries=0, callback=None, **changes):
        recorder = callback or Recorder()
        plan = plan_suite(str(suite), storage=tmp_path / "runs", callback=recorder, **changes)
        outcome = run_suite(plan, use_ray=False, device="cpu", retries=retries, callback=recorder)
        return outcome, recorder.events

    return call


@pytest.mark.slow
def test_a_suite_from_python_equals_that_of_the_command_line(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "star", "full"], seeds=1)
    outcome, _ = start(suite)
    assert outcome.folder == tmp_path / "runs" / "tiny"
    assert outcome.finished == list(outcome.runs)
    assert outcome.failures == {}
    assert damages(outcome.folder) == []
    code, output = invoke("bench", suite, "--storage", tmp_path / "commands", "--no-ray")
    assert code == 0, output
    assert results(outcome.folder) == results(tmp_path / "commands" / "tiny")


def test_a_suite_is_run_by_its_name_in_the_folder_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, ["full"], seeds=1)
    outcome = run_suite("tiny.yaml", use_ray=False, device="cpu")
    assert outcome.folder == tmp_path / "runs" / "tiny"
    assert len(outcome.finished) == 1


def test_a_callback_is_called_in_the_order_of_the_suite(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "full"], seeds=[3])
    _, events = start(suite)
    assert [event for event in events if event[0] != "preparation"] == [
        ("plan", "tiny", 2, 2),
        ("start", ["random, seed 3", "full, seed 3"], [0, 0], 1, "in this process"),
        ("run start", "random, seed 3"),
        *(("round", "random, seed 3", index) for index in range(3)),
        ("run finish", "random, seed 3"),
        ("run start", "full, seed 3"),
        ("round", "full, seed 3", 0),
        ("run finish", "full, seed 3"),
        ("end",),
    ]
    outcome, events = start(suite)
    assert events == [("plan", "tiny", 2, 0), ("end",)]
    assert len(outcome.finished) == 2


def test_what_the_user_should_know_of_a_run_is_told_with_its_name(tmp_path, start, monkeypatch):
    usual = RunSession.fit

    def fit(session, ctx, out):
        session.callback.on_notice(f"round {ctx.index} is slow")
        usual(session, ctx, out)

    monkeypatch.setattr(RunSession, "fit", fit)
    _, events = start(write_suite(tmp_path, ["full"], seeds=1))
    assert ("notice", "full, seed 0", "round 0 is slow") in events


def test_a_run_that_fails_is_in_the_outcome_and_continues_later(tmp_path, start):
    suite = write_suite(tmp_path, [failing(tmp_path), "random"])
    outcome, events = start(suite, retries=1)
    (folder,) = outcome.failures
    assert outcome.failures[folder] == "RuntimeError: the idea did not work"
    assert [run.name for run in outcome.runs if run not in outcome.finished] == ["fails, seed 1"]
    counts = Counter(event[0] for event in events)
    assert (counts["retry"], counts["failure"], counts["run finish"], counts["end"]) == (1, 1, 3, 1)
    assert ("retry", "fails, seed 1", "RuntimeError: the idea did not work") in events
    (tmp_path / "broken").unlink()
    outcome, events = start(suite)
    started = events.index(("start", ["fails, seed 1"], [1], 1, "in this process"))
    assert events[started + 1] == ("earlier", "fails, seed 0", 3)
    assert [event for event in events if event[0] == "round"] == [
        ("round", "fails, seed 1", 1),
        ("round", "fails, seed 1", 2),
    ]
    assert outcome.failures == {}
    assert len(outcome.finished) == 4


def test_settings_seeds_dataset_and_labels_can_be_replaced(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "margin"])
    outcome, _ = start(suite, settings={"protocol.rounds": 0}, seeds=[7], only=["margin"])
    (run,) = outcome.runs
    assert (run.name, run.rounds) == ("margin, seed 7", 1)
    (done,) = find_runs(outcome.folder)
    assert (done.config.seed, done.config.protocol.rounds) == (7, 0)


def test_a_plan_starts_no_run_and_writes_nothing(tmp_path):
    suite = write_suite(tmp_path, ["random", "full"])
    recorder = Recorder()
    plan = plan_suite(str(suite), only=["full"], storage=tmp_path / "runs", callback=recorder)
    assert [run.name for run in plan.left] == ["full, seed 0", "full, seed 1"]
    assert len(plan.runs) == 4
    assert recorder.events[-1] == ("plan", "tiny", 2, 2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"only": ["rndom"]}, ConfigError, "--only must name a label of the suite, got 'rndom': did you mean 'random'"),
        ({"storage": "nonsense://x"}, StoreError, "--storage must be a folder or a URI that pyarrow or fsspec knows"),
        ({"settings": {"protocol.split": [40, 1, 1]}}, ConfigError, "protocol.split must"),
    ],
)
def test_an_error_of_the_plan_is_one_sentence_and_ends_the_progress(tmp_path, changes, error, sentence):
    recorder = Recorder()
    with pytest.raises(error, match=sentence):
        plan_suite(
            str(write_suite(tmp_path, ["random"])), callback=recorder, **{"storage": tmp_path / "runs"} | changes
        )
    assert recorder.events[-1] == ("end",)
    assert not (tmp_path / "runs").exists()


def test_more_than_one_parallel_run_without_ray_is_rejected(tmp_path):
    plan = plan_suite(str(write_suite(tmp_path, ["random"])), storage=tmp_path / "runs")
    with pytest.raises(ConfigError, match="--no-ray does one run at a time, got 2 in parallel: leave one of them out"):
        run_suite(plan, use_ray=False, max_parallel=2)
    assert not (tmp_path / "runs").exists()


def test_data_that_cannot_be_prepared_end_the_progress(tmp_path, decathlon, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    damaged = decathlon / "imagesTr" / "blob_5.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:200])
    suite = tmp_path / "own.yaml"
    settings = {"data": {"root": str(decathlon)}}
    suite.write_text(
        yaml.safe_dump({"about": "a", "dataset": "folder", "seeds": 1, "settings": settings, "strategies": ["random"]})
    )
    recorder = Recorder()
    with pytest.raises(DataError, match=r"blob_5.nii.gz' must be "):
        plan_suite(str(suite), storage=tmp_path / "runs", callback=recorder)
    assert recorder.events[-1] == ("end",)


def test_an_interrupted_suite_ends_the_progress_and_continues_after_the_last_finished_round(tmp_path, start):
    class Stops(Recorder):
        def on_round(self, run, record):
            super().on_round(run, record)
            raise KeyboardInterrupt

    recorder, suite = Stops(), write_suite(tmp_path, ["random"], seeds=1)
    with pytest.raises(KeyboardInterrupt):
        start(suite, callback=recorder)
    assert recorder.events[-1] == ("end",)
    assert "failure" not in {event[0] for event in recorder.events}
    assert [len(run.records) for run in find_runs(tmp_path / "runs")] == [1]
    outcome, events = start(suite)
    assert len(outcome.finished) == 1
    assert [event[2] for event in events if event[0] == "round"] == [1, 2]


def test_a_run_for_which_the_gpu_has_no_memory_fails_and_others_go_on(tmp_path, start, monkeypatch):
    suite = write_suite(tmp_path, ["entropy", "random"], seeds=1)
    with monkeypatch.context() as breaking:
        break_after_round_0(breaking, Round, "score", out_of_memory())  # which random does not need
        outcome, events = start(suite, retries=1)
    (folder,) = outcome.failures
    assert "entropy" in folder
    sentence = outcome.failures[folder]
    assert sentence.startswith("a run must fit into the memory of the GPU, in query of round 1 it does not (it asked")
    assert ("retry", "entropy, seed 0", sentence) in events
    assert ("run finish", "random, seed 0") in events
    (failed,) = (run for run in find_runs(outcome.folder) if run.failure)
    assert (failed.failure.error, failed.failure.round, failed.failure.attempts) == (sentence, 1, 2)
    outcome, events = start(suite)
    assert ("start", ["entropy, seed 0"], [1], 1, "in this process") in events
    assert outcome.failures == {}
    invoke("bench", suite, "--storage", tmp_path / "undisturbed", "--no-ray")
    assert results(outcome.folder) == results(tmp_path / "undisturbed" / "tiny")


def test_the_memory_of_a_run_that_failed_is_free_for_the_next_one(tmp_path, start, monkeypatch):
    class Watches(Recorder):
        def on_run_start(self, run):
            super().on_run_start(run)
            alive.append([network() for network in networks if network() is not None])

    def fails(ctx, *arguments):
        networks.append(weakref.ref(ctx.learner.network))
        raise out_of_memory()

    networks, alive = [], []
    monkeypatch.setattr(Round, "score", fails)
    gc.disable()
    try:
        start(write_suite(tmp_path, ["entropy"]), retries=1, callback=Watches())
    finally:
        gc.enable()
    assert len(networks) == len(alive) == 4
    assert alive == [[]] * 4


@pytest.mark.slow
@pytest.mark.parametrize("retries", [0, 2])
def test_without_ray_a_suite_ends_where_its_gpu_stops_and_the_same_command_continues_it(tmp_path, monkeypatch, retries):
    suite = write_suite(tmp_path, ["random", "entropy", "margin"], seeds=1)
    command = ("bench", suite, "--storage", tmp_path, "--no-ray", "--device", "cpu", "--retries", retries)
    with monkeypatch.context() as breaking:
        break_after_round_0(breaking, Round, "score", stopped())
        breaking.setattr("albench.benchmarks.sequential.works", lambda device: False)
        code, output = invoke(*command)
    assert code == 2
    assert "entropy, seed 0: FAILED: a GPU must work until a run ends, in query of round " in output
    assert "trying again" not in output
    assert output.endswith(
        "albench: without Ray all runs need one GPU that works, it stopped in run 2 of 3 (entropy, seed 0): run the "
        "same command again, which continues after the last finished round, or use Ray, which starts a new process "
        "after an error"
    )
    assert "Traceback" not in output
    code, output = invoke(*command)
    assert code == 0, output
    assert "3 of 3 runs are finished, 0 failed" in output
    invoke("bench", suite, "--storage", tmp_path / "undisturbed", "--no-ray")
    assert results(tmp_path / "tiny") == results(tmp_path / "undisturbed" / "tiny")
    assert damages(tmp_path / "tiny") == []


@pytest.mark.slow
def test_a_study_continues_with_the_datasets_that_were_left_out_and_is_reported_as_one(tmp_path, start):
    path = write_study(tmp_path, ["random", "strided"], [small_phantom("phantom"), small_phantom("noisy", noise=0.6)])
    outcome, _ = start(path, dataset=["noisy"])
    assert [run.name for run in outcome.finished] == ["noisy, random, seed 0", "noisy, strided, seed 0"]
    outcome, events = start(path)
    assert len(outcome.finished) == 4
    begun = [event[1] for event in events if event[0] == "run start"]
    assert begun == ["phantom, random, seed 0", "phantom, strided, seed 0"]
    assert damages(outcome.folder) == []
    found = load(outcome.folder)
    assert [(group.name, group.dataset) for group in found.groups] == [("phantom", "phantom"), ("noisy", "noisy")]
    assert [sorted(group.methods) for group in found.groups] == [["random", "strided"]] * 2
