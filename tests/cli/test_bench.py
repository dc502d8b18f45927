import errno
import json
import re
import sys
from pathlib import Path

import pytest
from support.samples import invoke, tiny_arguments
from support.suites import failing, records, write_suite

import albench.files
from albench.runs.store import read_records

BIN = Path(sys.executable).parent


def bench(suite, storage, *more):
    """Run a suite in this process; exit code and what was said."""
    return invoke("bench", suite, "--storage", storage, *more)


def steps(root):
    """Optimizer steps that were really made, of all runs together."""
    return sum(r["cost"]["steps"] for p in root.rglob("rounds.jsonl") for r in read_records(p.parent))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A suite of eight runs, done in this process."""
    folder = tmp_path_factory.mktemp("finished")
    suite = write_suite(folder, ["random", "entropy", "star", "full"])
    code, said = bench(suite, folder / "runs", "--no-ray")
    assert code == 0, said
    return suite, folder / "runs" / "tiny", said


def test_a_suite_runs_everything_and_says_what_comes_next(finished):
    _, root, said = finished
    assert "tiny: 8 runs, 0 are finished already" in said
    assert "8 of 8 runs are finished, 0 failed" in said
    assert f"next: albench report {root}" in said
    assert {len(rounds) for rounds in records(root).values()} == {3, 1}


def test_the_manifest_names_every_run(finished):
    _, root, _ = finished
    manifest = json.loads((root / "suite.json").read_text())
    assert (manifest["name"], manifest["about"]) == ("tiny", "a test")
    assert {run["folder"] for run in manifest["runs"]} == set(records(root))
    assert {(r["label"], r["group"], r["seed"]) for r in manifest["runs"]} == {
        (label, "phantom", seed) for label in ("random", "entropy", "star", "full") for seed in (0, 1)
    }


def test_a_run_of_a_suite_has_the_records_of_the_same_run_alone(finished, tmp_path):
    _, root, _ = finished
    for strategy, seed in (("star", 0), ("entropy", 1)):
        arguments = tiny_arguments("--strategy", strategy, "--dataset", "phantom", "--seed", str(seed))
        code, said = invoke("run", *arguments, "--no-share", "--out", tmp_path)
        assert code == 0, said
    for name, rounds in records(tmp_path).items():
        assert rounds == records(root)[name]


def test_a_second_call_does_nothing(finished, capfd):
    suite, root, _ = finished
    before = {path: path.stat().st_mtime_ns for path in root.rglob("rounds.jsonl")}
    code, said = bench(suite, root.parent)
    assert code == 0
    assert "tiny: 8 runs, 8 are finished already" in said
    assert {path: path.stat().st_mtime_ns for path in root.rglob("rounds.jsonl")} == before


def test_round_0_is_trained_once_for_all_that_share_it(finished, tmp_path):
    suite, root, _ = finished
    code, _ = bench(suite, tmp_path, "--no-ray", "--no-share")
    assert code == 0
    alone = tmp_path / "tiny"
    assert records(alone) == records(root)
    first = {name: read_records(alone / name)[0]["fit"][0]["steps"] for name in records(alone) if "/full/" not in name}
    saved = sum(steps for name, steps in first.items() if "/random/" not in name)
    assert steps(alone) - steps(root) == saved > 0


def test_a_new_strategy_and_a_new_seed_run_only_what_is_new(finished, tmp_path):
    suite = write_suite(tmp_path, ["random"], seeds=1)
    assert bench(suite, tmp_path, "--no-ray")[0] == 0
    suite = write_suite(tmp_path, ["random", "margin"], seeds=2)
    code, said = bench(suite, tmp_path, "--no-ray")
    assert code == 0
    assert "4 runs, 1 are finished already" in said
    assert said.count("random, seed 0") == 0
    assert said.count("finished [") + said.count(": finished") >= 3


def test_only_runs_what_is_named_and_the_manifest_keeps_the_rest(tmp_path):
    suite = write_suite(tmp_path, ["random", "margin"], seeds=1)
    code, said = bench(suite, tmp_path, "--no-ray", "--only", "margin")
    assert code == 0
    assert "1 of 1 runs are finished" in said
    assert len(json.loads((tmp_path / "tiny" / "suite.json").read_text())["runs"]) == 2
    code, said = bench(suite, tmp_path, "--only", "margn")
    assert (code, said) == (2, "albench: --only must name a label of the suite, got 'margn': did you mean 'margin'?")


def test_a_run_that_fails_is_tried_again_then_reported_and_the_others_go_on(tmp_path):
    suite = write_suite(tmp_path, [failing(tmp_path), "random"])
    code, said = bench(suite, tmp_path, "--no-ray", "--retries", "1")
    assert code == 1
    assert said.count("fails, seed 1: tried again: RuntimeError: the idea did not work") == 1
    assert "3 of 4 runs are finished, 1 failed" in said
    assert "FAILED fails, seed 1, round 1: RuntimeError: the idea did not work" in said
    (path,) = (tmp_path / "tiny").rglob("failure.json")
    failure = json.loads(path.read_text())
    assert (failure["round"], failure["attempts"]) == (1, 2)
    assert "raise RuntimeError" in failure["trace"]
    assert re.search(r"fails +seed-1-\w+ +1/3 +failed", invoke("status", tmp_path)[1])
    (tmp_path / "broken").unlink()
    code, said = bench(suite, tmp_path, "--no-ray")
    assert code == 0
    assert "4 runs, 3 are finished already" in said
    assert not path.exists()


def test_a_plan_says_what_is_left_and_runs_nothing(tmp_path):
    suite = write_suite(tmp_path, ["random", "star", "full"])
    code, said = bench(suite, tmp_path, "--plan")
    assert code == 0
    assert not (tmp_path / "tiny").exists()
    for label, runs, rounds in (("random", 2, 6), ("star", 2, 6), ("full", 2, 2)):
        assert re.search(rf"{label} {runs} 0 {rounds} ", said), said
    assert re.search(
        r"6 runs: \dm\d\ds.* of CPU time on cpu .* with 1 threads a run, \d+ MB; \d at once end between", said
    ), said


def test_the_menu_of_suites_is_printed_without_a_name():
    code, said = invoke("bench")
    assert code == 0
    assert "paper-spleen" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "x"], "--seeds must be a number of seeds or a list such as 0,3,7, got 'x': give --seeds 5"),
        (["--seeds", "0"], "--seeds must be a number of seeds or a list such as 0,3,7, got '0': give --seeds 5"),
        (["--no-ray", "--jobs", "2"], "--no-ray does one run at a time, got --jobs 2: leave one of them out"),
        (["--dataset", "fantom"], "did you mean 'phantom'?"),
        (["--set", "training.epoch=3"], "got 'training.epoch': did you mean 'training.epochs'?"),
        (["--no-ray", "--device", "tpu"], "--device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path, arguments, sentence):
    code, said = bench(write_suite(tmp_path, ["random"]), tmp_path, *arguments)
    assert code == 2
    assert said.startswith("albench: ") or "albench: " in said
    assert sentence in said


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    code, said = bench(write_suite(tmp_path, ["random"]), tmp_path / "file" / "runs", "--no-ray")
    assert code == 2
    assert "must be writable, the system says" in said


def test_a_disk_that_is_full_is_one_sentence_for_each_run_and_what_is_finished_stays(tmp_path, monkeypatch):
    suite = write_suite(tmp_path, ["random"], seeds=1)
    assert bench(suite, tmp_path, "--no-ray")[0] == 0
    done = records(tmp_path / "tiny")
    suite = write_suite(tmp_path, ["random", "entropy"], seeds=1)
    written = []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 1:  # the manifest just fits
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(albench.files.os, "fsync", full)
    code, said = bench(suite, tmp_path, "--no-ray", "--retries", "0")
    assert code == 1
    assert "FAILED entropy, seed 0, round 0: the disk must have room for" in said
    assert records(tmp_path / "tiny") == done
    monkeypatch.undo()
    assert bench(suite, tmp_path, "--no-ray")[0] == 0
