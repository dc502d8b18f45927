"""What `make speed` asks, in which order and for how long, and what is left of a measurement that is stopped."""

import importlib
import json
import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from albench.benchmarks import speed
from albench.benchmarks.estimate import Probe, RunCost
from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.speed import __main__ as program
from albench.benchmarks.speed import floor, record, start_time, synthetic, together, training
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.paper_round import Size, resolved
from albench.benchmarks.speed.record import Row
from albench.benchmarks.suite import load_suite
from albench.files import write_json
from albench.resolve import make_strategy

HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}
TWO_ROWS = """
import os, signal
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Row, main

def measure():
    yield Row("first", Spread.of([1.0]), "<= 2")
    yield Row("second", Spread.of([3.0]), "<= 2")
    os.kill(os.getpid(), signal.SIGKILL)
    yield Row("third", Spread.of([1.0]))

main("killed", measure)
"""


def test_a_measurement_that_is_killed_leaves_what_it_had(tmp_path):
    path, code = tmp_path / "record.json", f'"""How long until the end?"""{TWO_ROWS}'
    done = subprocess.run([sys.executable, "-c", code, "--json", path], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [line.partition(" s: ")[2] for line in done.stdout.splitlines()] == [
        "first 1 (1 to 1) [<= 2]",
        "second 3 (3 to 3) [<= 2: MISSED]",
    ]
    (finding,) = json.loads(path.read_text())["findings"]
    assert (finding["name"], finding["question"]) == ("killed", "How long until the end?")
    assert [(row["name"], row["value"]["median"], row["kept"]) for row in finding["rows"]] == [
        ("first", 1, True),
        ("second", 3, False),
    ]
    assert not finding["finished"]


def measured(monkeypatch, path, name):
    monkeypatch.setattr(sys, "argv", [name, "--json", str(path)])
    record.main(name, lambda: iter([Row(f"row of {name}", Spread.of([2.0]), note="of two")]))


def test_questions_add_to_one_record(monkeypatch, tmp_path):
    path = tmp_path / "record.json"
    measured(monkeypatch, path, "one")
    measured(monkeypatch, path, "other")
    written = record.read(path)
    assert written["planned"] == ["one"]
    assert [finding["name"] for finding in written["findings"]] == ["one", "other"]
    assert all(finding["finished"] for finding in written["findings"])
    (row,) = written["findings"][1]["rows"]
    value = {"median": 2, "low": 2, "high": 2}
    expected = {"value": value, "limit": "", "unit": "", "floor": None, "note": "of two", "kept": None}
    assert row == {"name": "row of other", **expected}


def test_records_before_these_have_the_same_keys(monkeypatch, tmp_path):
    measured(monkeypatch, tmp_path / "record.json", "one")
    now = record.read(tmp_path / "record.json")
    for path in (Path(speed.__path__[0]) / "records").glob("*.json"):
        before = record.read(path)
        assert before.keys() <= now.keys(), path.name
        for finding in before["findings"]:
            assert finding.keys() - {"notes"} <= now["findings"][0].keys()
            assert all(row.keys() <= now["findings"][0]["rows"][0].keys() for row in finding["rows"])


def test_packages_that_only_developers_have_may_be_missing(monkeypatch):
    version = record.version

    def installed(name):
        if name in ("scikit-activeml", "scikit-learn"):
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(record, "version", installed)
    found = record.machine()["versions"]
    assert found["scikit-activeml"] is None
    assert found["torch"] == version("torch")


@pytest.mark.slow
def test_a_question_of_a_gpu_imports_nothing_that_only_developers_have():
    modules = ", ".join(f"albench.benchmarks.speed.{name}" for name in program._GPU)
    code = f"import sys, {modules}; print({{'skactiveml', 'sklearn', 'pytest'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_measurements_of_a_gpu_come_first_in_one_process_and_see_it():
    hidden = [((name,), HIDDEN) for name in program._CPU]
    assert program.plan(("training", "scale"), cpu=True, gpu=False) == [(("training",), HIDDEN), (("scale",), HIDDEN)]
    both = [(("training",), {}), (("training",), HIDDEN), (("scale",), HIDDEN)]
    assert program.plan(("scale", "training"), cpu=True, gpu=True) == both
    assert program.plan(None, cpu=True, gpu=True) == [(program._GPU, {}), *hidden]
    assert program.plan(None, cpu=True, gpu=False) == hidden
    assert program.plan(("large_pool",), cpu=True, gpu=True) == [(("large_pool",), HIDDEN)]


def test_gpu_only_asks_what_has_a_goal_on_a_gpu():
    assert program.plan(None, cpu=False, gpu=True) == [(program._GPU, {})]
    assert program.plan(("scale", "k_center"), cpu=False, gpu=True) == [(("k_center",), {})]
    assert program.plan(("scale",), cpu=False, gpu=True) == []


def test_every_question_is_a_module_that_measures():
    for name in {*program._CPU, *program._GPU, *program._LONG}:
        code = (Path(speed.__path__[0]) / f"{name}.py").read_text()
        needs_gpu = "" if name in (*program._CPU, *program._LONG) else ", needs_gpu=True"
        assert code.endswith(f'    main("{name}", measure{needs_gpu})\n')
        module = importlib.import_module(f"{speed.__name__}.{name}")
        assert "?" in module.__doc__.partition("\n")[0]


def started(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["speed", *map(str, arguments)])
    return program.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_one_sentence_says_what_is_missing(monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit) as error:
        started(monkeypatch, "--gpu-only", "--records", tmp_path / "records")
    assert error.value.code == 2
    assert capsys.readouterr().err == "--gpu-only needs a CUDA device, this machine has none: leave it out\n"
    assert not (tmp_path / "records").exists()
    monkeypatch.setattr(sys, "argv", ["brats_size"])
    with pytest.raises(SystemExit) as error:
        record.main("brats_size", lambda: iter([]), needs_gpu=True)
    assert error.value.code == 2
    assert capsys.readouterr().err == "brats_size needs a CUDA device, this machine has none: leave it out\n"


def test_the_record_is_there_before_the_first_question(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(
        program, "answer", lambda planned, path, seconds: asked.append((planned, path, seconds)) or True
    )
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    assert started(monkeypatch, "--only", "k_center", "--records", tmp_path, "--gpu-seconds", 90) == 0
    ((planned, path, seconds),) = asked
    assert seconds == 90
    assert record.read(path)["planned"] == [name for names, _ in planned for name in names] == ["k_center"]
    assert capsys.readouterr().out == f"record: {path}\n"


def test_a_folder_for_records_that_cannot_be_written_is_refused_before_anything_is_measured(
    monkeypatch, capsys, tmp_path
):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as error:
        started(monkeypatch, "--only", "k_center", "--records", tmp_path / "file")
    assert error.value.code == 2
    assert "must be writable" in capsys.readouterr().err


def record_of(names, tmp_path):
    path = tmp_path / "record.json"
    write_json(path, record.start_record(names))
    return path


def test_the_questions_of_a_gpu_end_with_their_time(capsys, tmp_path):
    names = ("floor", "k_center")
    assert not program.answer([(names, {})], record_of(names, tmp_path), gpu_seconds=0)
    assert capsys.readouterr().out.splitlines() == [
        "ended, because the questions of the GPU may take 0 s",
        "not or not completely answered: floor, k_center",
    ]


def test_a_question_that_fails_does_not_stop_those_after_it(monkeypatch, capfd, tmp_path):
    names = ("floor", "training")
    path = record_of(names, tmp_path)
    asked = []

    def answer(name, measure, path):
        asked.append((name, measure, path))
        assert name != "floor", "broken"

    monkeypatch.setattr(together, "answer", answer)
    monkeypatch.setattr(sys, "argv", ["together", "--json", str(path), *names])
    assert together.main() == 1
    assert asked == [("floor", floor.measure, path), ("training", training.measure, path)]
    assert "AssertionError: broken" in capfd.readouterr().err


@pytest.mark.slow
def test_questions_answered_together_are_in_the_record(tmp_path):
    path = record_of(["floor"], tmp_path)
    assert program.answer([(("floor",), HIDDEN)], path, gpu_seconds=0)  # the time of those of the CPU is not limited
    (finding,) = record.read(path)["findings"]
    assert (finding["name"], finding["finished"], len(finding["rows"])) == ("floor", True, 2)
    assert finding["question"] == floor.__doc__


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_question_that_needs_a_gpu_says_so_where_there_is_none(monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit) as error:
        started(monkeypatch, "--only", "brats_size", "--records", tmp_path / "records")
    assert error.value.code == 2
    assert capsys.readouterr().err == "brats_size needs a CUDA device, this machine has none: leave it out\n"


def test_records_are_kept_in_the_checkout_or_where_the_command_is_given(monkeypatch, tmp_path):
    assert program.records_folder() == Path(program.__file__).parent / "records"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert program.records_folder() == Path()
    monkeypatch.undo()
    installed = tmp_path / "albench" / "benchmarks" / "speed"
    (installed / "records").mkdir(parents=True)  # as in a wheel
    monkeypatch.setattr(program, "__file__", str(installed / "__main__.py"))
    assert program.records_folder() == Path()


def test_the_size_of_the_paper_is_that_of_its_suites():
    sizes = {name: Size.of(load_suite(name).runs[0]) for name in ("paper-brats", "paper-spleen")}
    assert sizes == {"paper-brats": Size((50, 14, 12), 155, 240), "paper-spleen": Size((28, 6, 7), 90, 512)}


def test_a_run_of_the_paper_is_planned_without_its_data():
    runs = {spec.label: spec for spec in load_suite("paper-brats").runs}
    size = Size.of(runs["random"])
    whole = synthetic.outline(sum(size.cases), size.depth, size.side)
    random, full = (PlannedRun.of(runs[name], resolved(runs[name], whole, size.cases)) for name in ("random", "full"))
    assert (random.slices.train, random.slices.val, random.slices.test) == (7750, 2170, 1860)
    assert (random.slices.initial, full.slices.initial) == (800, 7750)
    assert (random.rounds, full.rounds) == (17, 1)
    costs = [
        RunCost(random, Probe(**({"fit": 0, "evaluate": 0, "query": 0, "training": 0} | {part: 1})), 0)
        for part in ("evaluate", "query", "fit")
    ]
    assert costs[0].seconds(0, None) == 17 * (2170 + 1860)
    assert costs[1].seconds(0, None) == sum(7750 - 800 - 100 * index for index in range(16))
    steps = [-(-(800 + 100 * index) // 32) for index in range(17)]  # of an epoch; 6 to 100 epochs
    read = [sum(epochs * (32 * count + 2170 / 3) for count in steps) for epochs in (6, 100)]
    assert [costs[2].seconds(bound, None) for bound in (0, 1)] == pytest.approx(read)


def test_volumes_have_a_foreground_that_is_nearly_what_is_bright():
    prepared = synthetic.volumes(2, 20, 48)
    assert prepared.images.shape == (40, 1, 48, 48)
    bright, foreground = prepared.images[:, 0] > synthetic.BRIGHT, prepared.masks == 1
    assert (bright <= foreground).all()
    for rows in (slice(20), slice(20, 40)):
        assert 0.5 < bright[rows].sum() / foreground[rows].sum() < 1
        assert 0.001 < foreground[rows].mean() < 0.2


def test_a_training_that_is_measured_is_one_epoch(tmp_path):
    strategy = make_strategy("random", {})
    ctx = synthetic.make_round(strategy, synthetic.made_up(80, 32, tmp_path), synthetic.SMALLEST)
    validations, validate = [], ctx.learner.validate
    ctx.learner.validate = lambda: validations.append(validate()) or validations[-1]
    trained = ctx.learner.fit(ctx.examples(), strategy.loss)
    assert (trained.epochs, len(validations)) == (1, 1)


@pytest.mark.slow
def test_the_start_is_timed_and_relative_to_torch(monkeypatch):
    monkeypatch.setattr(start_time, "_REPEATS", 1)
    rows = {row.name: row for row in start_time.measure()}
    assert rows["albench --help"].unit == rows["import torch"].unit == "s"
    relative = rows["import albench.strategy, relative to torch"]
    expected = rows["import albench.strategy"].value.median / rows["import torch"].value.median
    assert relative.value.median == pytest.approx(expected)
