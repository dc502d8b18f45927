"""Strategies that look are caught whatever their way, those that do not are not, and the ledger says so."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import cheats
from support.samples import TINY, invoke, tiny_arguments, tiny_training_arguments, vectors_of, write_pair
from support.suites import write_suite

from albench import run
from albench.audit.auditor import audit_rounds
from albench.data import cache_folder
from albench.errors import ConfigError, StoreError
from albench.registry import STRATEGIES, available
from albench.runs import RunReader, find_runs, verify
from albench.training.device import choose_device

CPU = choose_device("cpu")
ONE_QUERY = tiny_arguments("--set", "protocol.rounds=1", "--device", "cpu")
Albench = Callable[..., subprocess.CompletedProcess[str]]


def named(cheat: type) -> str:
    return f"{cheats.__file__}:{cheat.__name__}"


def arguments(strategy: str, *more: str) -> list[str]:
    return ["run", "--strategy", strategy, "--dataset", "phantom", *ONE_QUERY, *more]


def only_run(out: Path) -> RunReader:
    (run,) = find_runs(out)
    return run


LAZY = """
from dataclasses import dataclass
from albench.strategy import Query, Strategy

@dataclass(frozen=True)
class Lazy(Strategy):
    def query(self, ctx):
        from beside import scaled
        return Query.highest(scaled(ctx.rng.random(len(ctx.pool.unlabeled))), ctx)
"""
LOOKED = "must depend on nothing but its context, "
CHANGED = "change without the masks that were not bought"
ELSEWHERE = "were others in the run than in fresh processes in the same state"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cheat", "what"),
    [
        (cheats.FileName, f"the scores {CHANGED}"),
        (cheats.Cache, f"the scores {CHANGED}"),
        (cheats.Meta, ELSEWHERE),
        (cheats.Garbage, f"the scores {CHANGED}"),
        (cheats.Frames, f"the scores {CHANGED}"),
        (cheats.Validation, f"the scores {CHANGED}"),
        (cheats.ValidationTraining, f"the scores {CHANGED}"),
        (cheats.TestTruth, f"the scores {CHANGED}"),
        (cheats.Records, f"the scores {CHANGED}"),
        (cheats.Metric, ELSEWHERE),
        (cheats.Loop, ELSEWHERE),
        (cheats.Memory, ELSEWHERE),
        (cheats.Stolen, "stolen.npy'"),
        (cheats.Child, "(it asked for what was hidden, 'subprocess.Popen')"),
        (cheats.Variable, f"the scores {CHANGED}"),
        (cheats.Wary, ELSEWHERE),
        (cheats.Pseudo, f"the pseudo-labels {CHANGED}"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_query_that_looks_ends_the_run_and_the_ledger_keeps_the_verdict(albench, tmp_path, cheat, what):
    place = ["--set", f"strategy.place={tmp_path}"]
    done = albench(*arguments(named(cheat), "--audit", *place), timeout=500)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"albench: strategy '{cheat.__name__.lower()}': the query of round 0 {LOOKED}" in done.stderr
    assert what in done.stderr
    stored = only_run(tmp_path / "runs")
    assert stored.audit(0).verdict == "looked"
    assert "audit.json" in stored.records[0].files
    assert verify(stored) == []


@pytest.mark.slow
def test_a_run_whose_query_looked_is_not_continued_audited_or_not(albench, tmp_path):
    """The first run and its audit are fresh processes."""
    command = [Path(sys.executable).parent / "albench", *arguments(named(cheats.FileName), "--audit")]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    again = [albench(*arguments(named(cheats.FileName), *audit), timeout=500) for audit in (["--audit"], [])]
    assert LOOKED in first.stderr
    assert [one.stderr.splitlines()[-1] for one in again] == [first.stderr.splitlines()[-1]] * 2


@pytest.mark.slow
def test_a_query_that_reads_the_volumes_is_caught(albench, tmp_path):
    root, rng = tmp_path / "data", np.random.default_rng(0)
    for index in range(6):
        mask = np.zeros((32, 32, 8), np.uint8)
        mask[5 : 12 + index, 6:15, 2:6] = 1
        write_pair(root, f"case_{index}", rng.normal(100, 10, mask.shape).astype(np.float32) + 40 * mask, mask)
    told = ["--dataset", "folder", "--data-root", str(root), "--set", f"strategy.place={root}", "--device", "cpu"]
    settings = tiny_training_arguments(protocol__split=[4, 1, 1])
    done = albench("run", "--strategy", named(cheats.Volumes), *told, *settings, "--audit", timeout=500)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "(it asked for what was hidden, '" in done.stderr
    assert "labelsTr/case_" in done.stderr


@pytest.mark.slow
def test_more_budget_is_refused_before_any_audit(call):
    _, _, err = call(*arguments(named(cheats.Budget), "--audit"))
    assert "strategy 'budget': a query must have exactly 3 slices, got 6: return `budget` ids" in err


@pytest.mark.slow
def test_a_query_that_does_not_repeat_itself_is_unrepeatable_and_the_run_goes_on(albench, tmp_path):
    done = albench(*arguments(named(cheats.Moody), "--audit"), timeout=500)
    assert done.returncode == 0, done.stderr
    stored = only_run(tmp_path / "runs")
    assert stored.finished
    assert stored.audit(0).verdict == "unrepeatable"
    assert "the queried slices differ between two processes in the same state" in stored.audit(0).sentence


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize("name", [*(entry.name for entry in available(STRATEGIES)), named(cheats.Draws)])
def test_the_strategies_of_albench_pass_and_one_that_draws_from_every_generator(call, tmp_path, name):
    code, _, err = call(*arguments(name, "--audit", "--keep-weights"))
    assert code == 0, err
    stored = only_run(tmp_path / "runs")
    assert stored.finished
    audit = stored.audit(0)
    assert (audit is None) if name == "full" else (audit.verdict == "passed"), audit


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_an_audited_query_may_read_the_vectors_of_a_cold_start(call, tiny, tmp_path):
    np.savez(tmp_path / "vectors.npz", **vectors_of(tiny))
    start = ["protocol.start=own", f"protocol.start_embeddings={tmp_path / 'vectors.npz'}"]
    code, _, err = call(*arguments("typiclust", *(word for setting in start for word in ("--set", setting)), "--audit"))
    assert code == 0, err
    assert only_run(tmp_path / "runs").audit(0).verdict == "passed"


def test_an_honest_strategy_passes_in_the_run_and_its_records_are_the_same(tiny_run, tmp_path):
    settings = TINY | {"protocol.rounds": 1}
    plain = tiny_run("entropy", settings, out="plain")
    where = {"out": tmp_path / "audited", "device": "cpu"}
    audited = run("entropy", "phantom", settings=settings, audit=True, **where)
    assert [record.results() for record in audited.records] == [record.results() for record in plain.records]
    assert audited.audit(0).sentence == "the query of round 0 is the same without the masks that were not bought"
    assert audited.audit(1) is None, "the last round has no query"
    assert plain.audit(0) is None
    assert "audit.json" not in plain.records[0].files
    assert not list(cache_folder().glob("*audit-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_a_run_that_was_audited_is_audited_again_with_its_training(tmp_path):
    settings = TINY | {"protocol.rounds": 1}
    where = {"out": tmp_path, "device": "cpu"}
    audited = run("entropy", "phantom", settings=settings, audit=True, keep_weights=True, **where)
    code, output = invoke("audit", audited.folder, "--device", "cpu", "--fit")
    assert (code, output) == (0, "passed the query of round 0 is the same without the masks that were not bought")
    assert not list(cache_folder().glob("*audit-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_an_audit_says_what_it_does_next(tmp_path):
    settings = TINY | {"protocol.rounds": 1}
    stored = run("entropy", "phantom", settings=settings, keep_weights=True, out=tmp_path, device="cpu")
    for fit in (False, True):
        steps = []
        assert [audit.verdict for audit in audit_rounds(stored, CPU, fit=fit, on_step=steps.append)] == ["passed"]
        question = "asking for the query of round 0 again" + ", after its training" * fit
        assert steps == ["opening the data of the run", question]


def test_what_an_audit_needs_is_said_in_one_sentence(tiny_run, tmp_path):
    stored = tiny_run("random")
    with pytest.raises(StoreError, match=r"audit of round 1 must start from the weights of round 0, .* has not kept"):
        list(audit_rounds(stored, CPU, [1]))
    with pytest.raises(ConfigError, match=r"must have a query, .* has one in rounds 0, 1, got 2: choose one of them"):
        list(audit_rounds(stored, CPU, [2]))
    code, output = invoke("audit", tmp_path)
    assert code == 2
    assert f"RUN must be the folder of a run, '{tmp_path}' has no config.json: see albench status" in output


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_a_stored_run_that_trains_in_its_query_is_audited_with_its_training(call, tmp_path):
    """Validation masks are canaries too; the ends of trainings are those that are recorded."""
    settings = tiny_arguments("--set", "protocol.rounds=2", "--device", "cpu", "--keep-weights")
    assert call("run", "--strategy", "star", "--dataset", "phantom", *settings)[0] == 0
    code, out, err = call("audit", only_run(tmp_path / "runs").folder, "--device", "cpu")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["passed", "passed"]), out + err


@pytest.mark.slow
def test_a_plugin_that_imports_modules_beside_it_in_its_query_passes(albench, tmp_path):
    (tmp_path / "beside.py").write_text(
        "from beside_too import FACTOR\n\ndef scaled(values):\n    return FACTOR * values\n"
    )
    (tmp_path / "beside_too.py").write_text("FACTOR = 2\n")
    plugin = tmp_path / "lazy.py"
    plugin.write_text(LAZY)
    done = albench(*arguments(f"{plugin}:Lazy", "--audit"), timeout=500)
    assert done.returncode == 0, done.stderr
    assert only_run(tmp_path / "runs").audit(0).verdict == "passed"


@pytest.mark.slow
def test_a_stored_run_whose_query_looked_gives_exit_code_1(albench, tmp_path):
    assert albench(*arguments(named(cheats.FileName), "--keep-weights"), timeout=500).returncode == 0
    told = albench("audit", str(only_run(tmp_path / "runs").folder), "--device", "cpu", timeout=500)
    assert told.returncode == 1, told.stderr
    assert told.stdout.startswith(f"looked       the query of round 0 {LOOKED}")


@pytest.mark.slow
@pytest.mark.parametrize("ray", [("--no-ray",), ("--jobs", "1")], ids=["without Ray", "on Ray"])
def test_a_suite_is_audited_too(albench, tmp_path, ray):
    suite = write_suite(tmp_path, ["random"], seeds=1)
    done = albench("bench", str(suite), *ray, "--audit", timeout=500)
    assert done.returncode == 0, done.stderr
    stored = only_run(tmp_path / "runs")
    assert [stored.audit(index).verdict for index in (0, 1)] == ["passed", "passed"]
