"""A damaged run on the command line: one sentence that names the file and what to do, exit code 2, no traceback."""

import shutil

import pytest
from support.damages import remove, rewrite, set_value
from support.samples import TINY, invoke, tiny_arguments
from support.slow import slow_but
from support.suites import write_suite

import albench
from albench.benchmarks import plan_suite
from albench.runs import find_runs


def _short_of_share(run):
    rewrite(run.layout.records, 0, lambda record: remove(record, ("share",)), sealed=True)
    return (
        r"rounds.jsonl', line 1, must be as albench wrote it, share is missing: restore it from a copy, or remove the"
    )


def _ids_are_text(run):
    rewrite(run.layout.round(0).query, None, lambda query: set_value(query, ("ids",), ["a", "b", "c"]), sealed=True)
    return "query.json' was changed or replaced after it was written, it does not match its record: restore it from a"


def _weights_of_another_shape(run):
    import torch

    torch.save({"a": torch.zeros(3)}, run.layout.round(1).weights)
    return "weights.pt' was changed or replaced after it was written, it does not match its record: restore it from a"


def _damaged_split(run):
    run.layout.split.write_text(run.layout.split.read_text()[:100])
    return "split.json' must hold JSON, it is damaged ("


def _cut_records(run):
    run.layout.records.write_text(run.layout.records.read_text()[:-200])
    return "rounds.jsonl', line 2, must hold JSON, it is damaged ("


def _no_arrays(run):
    run.layout.round(0).pseudo.unlink()
    return "pseudo.npz' is missing, its record lists it: restore it from a copy, or remove the run"


def _cut_settings(run):
    run.layout.config.write_text(run.layout.config.read_text()[:100])
    return "config.json' must hold JSON, it is damaged ("


def _cut_failure(run):
    run.layout.failure.write_text("{")
    return "failure.json' must hold JSON, it is damaged ("


def _no_settings(run):
    rewrite(run.layout.config, None, lambda config: remove(config, ("run",)), sealed=True)
    return "config.json' must be as albench wrote it, run is missing: restore it from a copy, or remove the run"


DAMAGES = {
    damage.__name__.strip("_"): damage
    for damage in (
        *(_short_of_share, _ids_are_text, _weights_of_another_shape, _damaged_split, _no_settings),
        *(_cut_records, _no_arrays, _cut_settings, _cut_failure),
    )
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two runs of one strategy that stopped after two of three rounds."""
    from albench.callback import NullCallback

    class Stops(NullCallback):
        def on_round(self, record):
            if record.round == 1:
                raise KeyboardInterrupt

    out = tmp_path_factory.mktemp("two") / "runs"
    for seed in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            albench.run("random", "phantom", seed=seed, settings=TINY, out=out, device="cpu", callback=Stops())
    return out


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_one_sentence_wherever_it_is_read(two_runs, tmp_path, name):
    out = tmp_path / "runs"
    shutil.copytree(two_runs, out)
    damaged, _ = find_runs(out)
    sentence = DAMAGES[name](damaged)
    code, said = invoke("run", "--strategy", "random", "--dataset", "phantom", "--out", out, *tiny_arguments())
    assert code == 2
    assert sentence.replace("\\", "") in said
    assert "Traceback" not in said
    code, said = invoke("verify", out)
    assert code == 1
    assert sentence in said
    assert "1 of 2 runs are as albench wrote them" in said
    code, said = invoke("status", out)
    assert code == 0
    assert said.count("seed-") >= 2
    if name in ("short_of_share", "no_settings", "cut_records", "cut_settings", "cut_failure"):  # what status reads
        assert "damaged" in said
        assert sentence in said
    code, said = invoke(
        "run", "--strategy", "random", "--dataset", "phantom", "--seed", 1, "--out", out, *tiny_arguments()
    )
    assert code == 0
    assert "finished rounds: 2" in said


@pytest.mark.parametrize("name", slow_but(["weights_of_another_shape", "cut_records"], DAMAGES))
def test_a_damaged_run_of_a_suite_fails_with_its_sentence_and_the_others_go_on(tmp_path, planned, name):
    suite, storage = tmp_path / "tiny.yaml", tmp_path / "runs"
    shutil.copytree(planned, tmp_path, dirs_exist_ok=True)
    damaged, _, finished = find_runs(storage)
    sentence = DAMAGES[name](damaged)
    finished.layout.scores.unlink()
    code, said = invoke("bench", suite, "--storage", storage, "--no-ray", "--retries", 0)
    assert code == 1
    assert "tiny: 3 runs, 1 already finished" in said
    assert "2 of 3 runs are finished, 1 failed" in said
    assert "FAILED random, seed 0, round " in said
    assert sentence in said
    assert finished.layout.scores.exists()
    code, said = invoke("report", storage / "tiny", "--format", "csv")
    assert code == 0
    assert "random on phantom, seed 0, " in said
    assert invoke("bench", suite, "--storage", storage, "--plan")[0] == 0


@pytest.fixture(scope="module")
def planned(two_runs, tmp_path_factory):
    """A suite of three seeds in `tiny.yaml`, of which two are stopped after two of three rounds and one is finished."""
    folder = tmp_path_factory.mktemp("planned")
    suite = write_suite(folder, ["random"], seeds=3)
    shutil.copytree(two_runs, folder / "runs" / "tiny")
    plan = plan_suite(str(suite), storage=folder / "runs")
    albench.run("random", "phantom", seed=2, settings=TINY, out=plan.storage.local, device="cpu")
    assert [run.done(plan.storage.local) for run in plan.runs] == [2, 2, 3]
    return folder
