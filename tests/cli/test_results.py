"""`albench results`: which results are published, and what one of them tells."""

import re
import shlex

import pytest
from support.made_runs import write_run
from support.samples import invoke

import albench
from albench.bundles import Publication, published_results
from albench.reports import load, publish


@pytest.fixture
def bundle(tmp_path):
    for seed, last in enumerate((0.7, 0.8)):
        write_run(tmp_path / "runs", "random", seed, [0.5, 0.6, last])
        write_run(tmp_path / "runs", "power-pe", seed, [0.5, 0.5, last], options={"exponent": 4.0})
    write_run(tmp_path / "runs", "full", 0, [0.9], rounds=2)
    publish(load(tmp_path / "runs"), tmp_path / "bundle", Publication("CC0", None, None))
    return tmp_path / "bundle"


def test_published_results_are_listed_with_where_and_when_they_were_made():
    code, said = invoke("results")
    assert code == 0
    assert said.startswith("name dataset methods seeds date hardware commit")
    assert "menu-hippocampus hippocampus 28 3 2026-11-28 cpu (x86_64), 1 thread 166b5b69" in said
    assert all(name in said for name in published_results())


def test_results_are_shown_with_all_that_a_reader_must_know(bundle):
    code, said = invoke("results", bundle)
    assert code == 0
    for line in (
        "Command: albench run",
        "Commit: c0ffee",
        "Hardware: cpu, 1 thread",
        f"Versions: albench {albench.__version__}",
        "Seeds: 0, 1",
        "Runs: 5 runs, 0 left out",
        "License: numbers: CC0; data: not stated",
        "Protocol: interval=10, start=interval, budget=5, rounds=2, warm_start=true",
        "made: volume Dice",
        "random 2 0.675 ± 0.035 0.750 ± 0.071",
        "power-pe exponent=4 2 0.625 ± 0.035 0.750 ± 0.071",
        f"albench report {bundle} writes tables and figures",
    ):
        assert line in said, said


@pytest.mark.parametrize("name", ["menu-hipocampus", "elsewhere"])
def test_unknown_results_are_one_sentence(name):
    code, said = invoke("results", name)
    near = "did you mean 'menu-hippocampus'?" if name.startswith("menu") else "choose one of"
    assert code == 2
    assert said.startswith(f"albench: results must be published ones or the folder of a bundle, got '{name}': {near}")


def test_published_results_are_read_by_their_name_unless_a_folder_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("menu-hippocampus").collection.name == "menu-hippocampus"
    write_run(tmp_path / "menu-hippocampus", "random", 0, [0.5, 0.6])
    assert not load("menu-hippocampus").collection.bundled


def test_published_results_are_compared_with_runs_of_their_protocol_only(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    results = load(tmp_path, compare="menu-hippocampus")
    assert list(results.groups[0].methods) == ["random"]
    first = results.collection.problems[0].sentence
    assert first.startswith("random on hippocampus, seed 0, of menu-hippocampus is not compared: ")


def test_a_bundle_is_verified(bundle):
    assert invoke("verify", bundle) == (0, "a bundle of 5 runs, as albench wrote it")
    (bundle / "queries.csv.gz").unlink()
    said = f"'{bundle}/queries.csv.gz' is missing: get the bundle again"
    assert invoke("verify", bundle) == (1, said)


def test_the_command_that_results_name_gives_runs_that_are_compared_with_them(tiny_run, tmp_path):
    tiny_run("random", {"protocol.nsd_tolerance": 2.5, "training.lr": 3e-4, "data.window": [-100, 240]})
    publish(load(tmp_path / "runs"), tmp_path / "bundle")
    _, said = invoke("results", tmp_path / "bundle")
    (command,) = re.findall(r"under the same protocol: albench (run .*) albench report", said)
    words = shlex.split(command.replace("STRATEGY", "entropy").replace("SEED", "3"))
    code, output = invoke(*words, "--out", tmp_path / "mine", "--device", "cpu")
    assert code == 0, output
    (group,) = load(tmp_path / "mine", compare=tmp_path / "bundle").groups
    assert {*group.methods} == {"entropy", "random (bundle)"}
