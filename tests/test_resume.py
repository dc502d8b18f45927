import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support.breaking import left_by
from support.forks import Fork
from support.samples import tiny_arguments

from albench.runs import find_runs, verify

FRAGILE = Path(__file__).parent / "support" / "fragile.py"
KILLS = [  # in this order: each process continues where the last one was killed
    ("prepare", "rename masks.npy 1"),
    ("fit", "batch 1"),
    ("write", "half query.json 1"),
    ("write", "rename rounds.jsonl 1"),
    ("write", "open scores.csv 1"),
    ("fit", "batch 3"),
    ("query", "score 2"),
    ("write", "half rounds.jsonl 1"),
    ("write", "remove weights.pt 2"),  # the first is that of the half-written round, before it is done again
    ("query", "query 1"),
]


def begin(folder, moment="never", *options):
    """Start the run in a process of its own."""
    command = [str(Path(sys.executable).parent / "albench"), "run", "--strategy", f"{FRAGILE}:Fragile"]
    return Fork(
        [*command, "--dataset", "phantom", *tiny_arguments("--set", "protocol.rounds=3"), *options],
        cwd=folder,
        env=os.environ | {"FRAGILE": moment, "ALBENCH_CACHE": str(folder / "cache")},
        audits=True,
    )


def end(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def results(folder):
    """What a run leaves, without what may differ, and the names of all its files."""
    (run,) = find_runs(folder)
    assert verify(run) == []
    return *left_by(folder), sorted(str(file.relative_to(run.folder)) for file in run.folder.rglob("*"))


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    Fork([sys.executable, "-c", ""]).communicate()  # the first one takes longer
    start = time.monotonic()
    end(begin(folder))
    return results(folder), time.monotonic() - start


def finished_rounds(folder):
    return [record.results() for run in find_runs(folder) for record in run.records]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_gives_what_an_uninterrupted_run_gives(uninterrupted, tmp_path):
    expected, _ = uninterrupted
    rounds = []
    for _, moment in KILLS:
        process = begin(tmp_path, moment)
        _, err = process.communicate(timeout=120)
        assert process.returncode in (-signal.SIGKILL, -signal.SIGXFSZ), f"{moment}: {process.returncode} {err}"
        if moment.startswith("half"):
            (half,) = tmp_path.rglob(f".{moment.split()[1]}.{process.pid}.tmp")
            assert half.stat().st_size == 20
        done = finished_rounds(tmp_path)
        assert done == expected[1][: len(done)], moment
        rounds.append(len(done))
    assert rounds == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert Counter(phase for phase, _ in KILLS) >= Counter(fit=1, query=1, write=1)
    assert "finished rounds: 2" in end(begin(tmp_path))
    assert results(tmp_path) == expected


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(10))
def test_a_run_that_is_killed_at_a_random_moment_gives_what_an_uninterrupted_run_gives(
    uninterrupted, tmp_path, attempt
):
    expected, duration = uninterrupted
    process = begin(tmp_path)
    time.sleep(random.Random(attempt).uniform(0.2, 0.95) * duration)
    process.kill()
    process.communicate()
    end(begin(tmp_path))
    assert results(tmp_path) == expected


@pytest.mark.slow
def test_an_audited_run_that_is_killed_again_and_again_has_the_same_verdicts_and_leaves_no_world(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    start = time.monotonic()
    end(begin(whole, "never", "--audit"))
    duration = time.monotonic() - start
    expected = results(whole)
    moments = ("rename masks.partial 1", "open question 1", "half audit.json 1", "rename audit.json 2", "query 1")
    for moment in moments:
        process = begin(killed, moment, "--audit")
        _, err = process.communicate(timeout=120)
        assert process.returncode in (-signal.SIGKILL, -signal.SIGXFSZ), f"{moment}: {process.returncode} {err}"
    process = begin(killed, "never", "--audit")
    time.sleep(0.5 * duration)
    process.kill()
    process.communicate()
    end(begin(killed, "never", "--audit"))
    (run,) = find_runs(killed)
    assert [run.audit(index).verdict for index in range(3)] == ["passed"] * 3
    assert results(killed) == expected
    assert list((killed / "cache").glob("*audit-*")) == []
