import errno
import re
import shutil

import pytest
from support.samples import invoke, tiny_arguments
from support.suites import FAILS, damages, failing, results, small_phantom, write_study, write_suite

import albench.files
from albench.reports import load
from albench.reports.captions import left_out
from albench.runs import RunReader, find_runs
from albench.runs.manifest import read_manifest
from albench.runs.store import write_failure


def bench(suite, storage, *more):
    """Run a suite in this process; return the exit code and the output."""
    return invoke("bench", suite, "--storage", storage, *more)


def steps(root):
    """Optimizer steps that were made, without those of shared trainings, of all runs together."""
    return sum(record.cost.steps for run in find_runs(root) for record in run.records)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished suite of eight runs: its file, its folder and the output."""
    folder = tmp_path_factory.mktemp("finished")
    suite = write_suite(folder, ["random", "entropy", "star", "full"])
    code, output = bench(suite, folder / "runs", "--no-ray")
    assert code == 0, output
    return suite, folder / "runs" / "tiny", output


def test_a_suite_does_all_runs_and_prints_the_next_command(finished):
    _, root, output = finished
    assert "tiny: 8 runs, 0 already finished" in output
    assert "8 of 8 runs are finished, 0 failed" in output
    assert f"next: albench report {root}" in output
    assert {len(rounds) for rounds in results(root).values()} == {3, 1}
    assert damages(root) == []


def test_the_manifest_lists_every_run(finished):
    _, root, _ = finished
    manifest = read_manifest(root)
    assert manifest is not None
    assert (manifest.name, manifest.about) == ("tiny", "a test")
    assert {run.folder for run in manifest.runs} == set(results(root))
    assert {(run.label, run.group, run.seed) for run in manifest.runs} == {
        (label, "phantom", seed) for label in ("random", "entropy", "star", "full") for seed in (0, 1)
    }


def test_a_run_of_a_suite_has_the_records_of_the_same_run_alone(finished, tmp_path):
    _, root, _ = finished
    for strategy, seed in (("star", 0), ("entropy", 1)):
        arguments = tiny_arguments("--strategy", strategy, "--dataset", "phantom", "--seed", str(seed))
        code, output = invoke("run", *arguments, "--no-share", "--out", tmp_path)
        assert code == 0, output
    alone = results(tmp_path)
    assert len(alone) == 2
    assert all(rounds == results(root)[name] for name, rounds in alone.items())


def test_a_second_call_does_nothing(finished, capfd):
    suite, root, _ = finished
    before = {path: path.stat().st_mtime_ns for path in root.rglob("rounds.jsonl")}
    code, output = bench(suite, root.parent)
    assert code == 0
    assert "tiny: 8 runs, 8 already finished" in output
    code, output = bench(suite, root.parent, "--plan")
    assert (code, output) == (0, "tiny: 8 runs, 8 already finished nothing is left to do")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("rounds.jsonl")} == before


@pytest.mark.slow
def test_round_0_is_trained_once_for_all_that_share_it(finished, tmp_path):
    suite, root, _ = finished
    code, _ = bench(suite, tmp_path, "--no-ray", "--no-share")
    assert code == 0
    alone = tmp_path / "tiny"
    assert results(alone) == results(root)
    first = {
        name: RunReader(alone / name).records[0].fit_trainings[0].steps
        for name in results(alone)
        if "/full/" not in name
    }
    saved = sum(steps for name, steps in first.items() if "/random/" not in name)
    assert steps(alone) - steps(root) == saved > 0


@pytest.mark.slow
def test_a_new_strategy_and_a_new_seed_add_only_their_runs(tmp_path):
    suite = write_suite(tmp_path, ["random"], seeds=1)
    assert bench(suite, tmp_path, "--no-ray")[0] == 0
    suite = write_suite(tmp_path, ["random", "margin"], seeds=2)
    code, output = bench(suite, tmp_path, "--no-ray")
    assert code == 0
    assert "4 runs, 1 already finished" in output
    assert output.count("random, seed 0") == 0
    assert output.count(": finished") == 3


def test_fewer_or_other_seeds_add_to_the_manifest_and_the_report_keeps_all_runs(finished, tmp_path):
    suite, root, _ = finished
    shutil.copytree(root, tmp_path / "tiny")
    before = read_manifest(root)
    code, output = bench(suite, tmp_path, "--no-ray", "--seeds", 1)
    assert code == 0
    assert "tiny: 4 runs, 4 already finished" in output
    assert read_manifest(tmp_path / "tiny") == before
    code, output = bench(suite, tmp_path, "--no-ray", "--seeds", "1,2", "--only", "random")
    assert code == 0, output
    assert [run.replicate.seed for run in load(tmp_path / "tiny").group("phantom").methods["random"]] == [1, 2, 0]
    removed = next(run.folder for run in before.runs if (run.label, run.seed) == ("star", 0))
    shutil.rmtree(tmp_path / "tiny" / removed)
    assert bench(suite, tmp_path, "--no-ray", "--seeds", "1,2", "--only", "random")[0] == 0
    assert removed not in {run.folder for run in read_manifest(tmp_path / "tiny").runs}


def test_a_manifest_that_cannot_be_read_is_written_anew_with_a_sentence(finished, tmp_path):
    suite, root, _ = finished
    shutil.copytree(root, tmp_path / "tiny")
    (tmp_path / "tiny" / "suite.json").write_text("{")
    code, output = bench(suite, tmp_path, "--no-ray")
    assert code == 0
    assert "only the runs of this call are listed again, because the list could not be read: '" in output
    assert "suite.json' must hold JSON, it is damaged" in output
    assert read_manifest(tmp_path / "tiny") == read_manifest(root)


@pytest.fixture
def edited(finished, tmp_path):
    """The finished suite, whose file can be edited without another call of `albench bench`."""
    _, root, _ = finished
    shutil.copytree(root, tmp_path / "tiny")
    suite = write_suite(tmp_path, ["random", "entropy", "star", "full"])
    code, output = bench(suite, tmp_path, "--no-ray")
    assert (code, "8 already finished" in output) == (0, True)

    def edit(strategies, **more):
        write_suite(tmp_path, strategies, **more)
        code, output = invoke("report", tmp_path / "tiny", "--format", "csv")
        assert code == 0, output
        return load(tmp_path / "tiny"), output

    return edit


def test_a_renamed_removed_or_added_method_reaches_the_report_at_once(edited, tmp_path):
    renamed = {"strategy": "entropy", "label": "most uncertain"}
    found, output = edited([renamed, "random", "margin", "full"], about="other words")
    (group,) = found.groups
    assert {label: len(runs) for label, runs in group.methods.items()} == {"most uncertain": 2, "random": 2}
    assert list(group.methods) == ["most uncertain", "random"]
    assert found.collection.about == "other words"
    assert output.startswith(
        f"star is not in '{tmp_path / 'tiny.yaml'}' any more and left out: its 2 runs stay in '{tmp_path / 'tiny'}' "
        "margin on phantom is not run yet wrote "
    )
    assert left_out(found.collection) == ["Not run yet: margin."]
    assert len(find_runs(tmp_path / "tiny")) == 8
    found, output = edited(["random", "entropy", "star", "full"])
    assert list(found.groups[0].methods) == ["random", "entropy", "star"]
    assert "left out" not in output


@pytest.mark.slow
def test_runs_of_other_seeds_are_renamed_with_their_method(edited, tmp_path):
    suite = tmp_path / "tiny.yaml"
    assert bench(suite, tmp_path, "--no-ray", "--seeds", "5", "--only", "random", "--set", "protocol.rounds=1")[0] == 0
    write_suite(tmp_path, [{"strategy": "random", "label": "chance"}, "full"])
    assert bench(suite, tmp_path, "--no-ray")[0] == 0
    manifest = read_manifest(tmp_path / "tiny")
    assert {run.label for run in manifest.runs if run.strategy == "random"} == {"chance"}
    assert sorted(run.seed for run in manifest.runs if run.label == "chance") == [0, 0, 1, 1, 2, 3, 4]


def test_a_report_of_a_suite_whose_methods_were_all_removed_says_so(edited, tmp_path):
    write_suite(tmp_path, ["margin"])
    folder = tmp_path / "tiny"
    code, output = invoke("report", folder)
    assert code == 2
    assert output.startswith(
        f"albench: a report needs a finished run of a strategy other than full, '{folder}' has none: random; entropy; "
        f"star; full are not in '{tmp_path / 'tiny.yaml'}' any more and left out: their 8 runs stay in '{folder}'"
    )


def test_status_is_by_suite_and_group_and_says_why_a_run_failed(edited, tmp_path):
    write_suite(tmp_path, ["random", {"strategy": "entropy", "label": "most uncertain"}, "full"])
    full = next(run for run in find_runs(tmp_path / "tiny") if run.config.strategy.name == "full")
    write_failure(full.folder, "ValueError: no labels", "")
    full.layout.records.unlink()
    code, output = invoke("status", tmp_path)
    assert code == 0
    group, removed = re.fullmatch("tiny: phantom (.*) tiny: not in its file any more (.*)", output).groups()
    assert re.findall(r"([a-z][a-z ]*) seed-", group) == ["random"] * 2 + ["most uncertain"] * 2 + ["full"] * 2
    assert re.findall(r"([a-z]+) seed-", removed)[:2] == ["star"] * 2
    assert f"failed: full, {full.folder.name}, after 0 of 1 rounds: ValueError: no labels" in output
    assert re.search(rf"full +{full.folder.name} +0/1 +failed", output)


def test_status_names_a_file_of_a_suite_that_cannot_be_read(edited, tmp_path):
    (tmp_path / "tiny.yaml").write_text("strategies: [")
    code, output = invoke("status", tmp_path)
    assert code == 0
    assert "tiny: methods are named as in the last run of the suite: a suite must be valid YAML" in output
    assert invoke("verify", tmp_path)[0] == 0
    code, output = invoke("report", tmp_path / "tiny", "--format", "csv")
    assert (code, "methods are named as in the last run of the suite: a suite must be valid" in output) == (0, True)


def test_only_limits_the_runs_and_the_manifest_lists_all(tmp_path):
    suite = write_suite(tmp_path, ["random", "margin"], seeds=1)
    code, output = bench(suite, tmp_path, "--no-ray", "--only", "margin")
    assert code == 0
    assert "1 of 1 runs are finished" in output
    manifest = read_manifest(tmp_path / "tiny")
    assert manifest is not None
    assert len(manifest.runs) == 2
    code, output = bench(suite, tmp_path, "--only", "margn")
    assert (code, output) == (2, "albench: --only must name a label of the suite, got 'margn': did you mean 'margin'?")


def test_a_failed_run_is_retried_then_reported_and_the_others_continue(tmp_path):
    suite = write_suite(tmp_path, [failing(tmp_path), "random"])
    code, output = bench(suite, tmp_path, "--no-ray", "--retries", "1")
    assert code == 1
    assert output.count("fails, seed 1: failed, trying again: RuntimeError: the idea did not work") == 1
    assert "3 of 4 runs are finished, 1 failed" in output
    assert "FAILED fails, seed 1, round 1: RuntimeError: the idea did not work" in output
    (failed,) = (run for run in find_runs(tmp_path / "tiny") if run.failure)
    assert failed.failure is not None
    assert (failed.failure.round, failed.failure.attempts) == (1, 2)
    assert failed.failure.error == "RuntimeError: the idea did not work"
    assert "raise RuntimeError" in failed.failure.trace
    assert re.search(r"fails +seed-1-\w+ +1/3 +failed", invoke("status", tmp_path)[1])
    (tmp_path / "broken").unlink()
    code, output = bench(suite, tmp_path, "--no-ray")
    assert code == 0
    assert "4 runs, 3 already finished" in output
    assert failed.failure is None
    assert damages(tmp_path) == []


@pytest.mark.slow
def test_a_suite_continues_runs_of_other_code_only_with_the_option(tmp_path, monkeypatch):
    entry = failing(tmp_path)
    suite, plugin = write_suite(tmp_path, [entry, "random"]), (tmp_path / "fails.py").resolve()
    assert bench(suite, tmp_path, "--no-ray", "--retries", "0")[0] == 1
    (tmp_path / "broken").unlink()
    plugin.write_text(f"{FAILS}EDITED = True\n")
    folders = {run.folder: len(run.records) for run in find_runs(tmp_path / "tiny" / "phantom" / "fails")}
    code, output = bench(suite, tmp_path, "--plan")
    assert code == 0, output
    assert output.endswith(
        f"code changed: fails, seed 0; fails, seed 1 began with other code of '{plugin}': use that code, another "
        "--storage, or --accept-code-change, which writes the change down"
    )
    code, output = bench(suite, tmp_path, "--no-ray", "--retries", "0")
    assert code == 1
    for folder, count in folders.items():
        seed = int(folder.name.split("-")[1])
        assert (
            f"FAILED fails, seed {seed}, round {count}: a run must be continued by the code that wrote it, the rounds "
            f"up to {count - 1} of '{folder}' were made under other code of '{plugin}': use that code, another --out, "
            "or --accept-code-change, which writes the change down"
        ) in output.replace("StoreError: ", "")
    assert sorted(folders.values()) == [1, 3]
    assert "2 of 4 runs are finished, 2 failed" in output
    monkeypatch.setattr("albench.runs.code_identity.own_source", lambda: "0123")
    code, output = bench(suite, tmp_path, "--no-ray", "--accept-code-change")
    assert code == 0, output
    assert "4 of 4 runs are finished, 0 failed" in output
    assert {run.folder for run in find_runs(tmp_path / "tiny" / "phantom" / "fails")} == set(folders)
    assert damages(tmp_path) == []


def test_a_suite_goes_on_with_a_plugin_whose_comments_were_edited(tmp_path):
    suite, plugin = write_suite(tmp_path, [failing(tmp_path)]), tmp_path / "fails.py"
    assert bench(suite, tmp_path, "--no-ray", "--retries", "0")[0] == 1
    (tmp_path / "broken").unlink()
    plugin.write_text(f"# a comment\n{FAILS}")
    assert "code changed" not in bench(suite, tmp_path, "--plan")[1]
    code, output = bench(suite, tmp_path, "--no-ray", "--retries", "0")
    assert code == 0, output
    assert "2 runs, 1 already finished" in output


def test_a_plan_prints_what_is_left_and_starts_no_run(tmp_path):
    suite = write_suite(tmp_path, ["random", "star", "full"])
    code, output = bench(suite, tmp_path, "--plan")
    assert code == 0
    assert not (tmp_path / "tiny").exists()
    for label, runs, rounds in (("random", 2, 6), ("star", 2, 6), ("full", 2, 2)):
        assert re.search(rf"{label} {runs} 0 {rounds} ", output), output
    total = (
        r"6 runs: \dm\d\ds.* of CPU time on cpu .* with 1 thread per run, \d+ MB; \d in parallel finish (between|at) "
    )
    assert re.search(total, output), output


@pytest.mark.parametrize(
    ("name", "hours", "sizes"),
    [
        (
            "paper-spleen",
            "6.2 to 83.8 hours",
            "spleen is not here: planned with 41 cases and 3,650 slices of 512 x 512 (counted by the STAR paper, "
            "2,525 + 644 + 481); it takes 2.9 GB prepared, 1.6 GB to download and as much unpacked",
        ),
        (
            "paper-brats",
            "7.6 to 110 hours",
            "brats is not here: planned with 76 cases and 11,780 slices of 240 x 240 (of BraTS 2019, with 155 slices "
            "each); it takes 2.0 GB prepared",
        ),
    ],
)
def test_a_suite_of_the_paper_is_planned_without_data_and_without_a_gpu(tmp_path, name, hours, sizes):
    code, output = bench(name, tmp_path, "--plan")
    assert code == 0, output
    assert not list(tmp_path.iterdir())
    assert re.search(r"strategy runs rounds left NVIDIA H100 80GB HBM3 AMD EPYC with 1 thread disk ", output), output
    assert re.search(r"star 5 85 \d\.\d to \d\d\.\d hours [\d,]+ to [\d,]+ hours \d{3} MB", output), output
    record = "2026-11-27-093655-nvidia-h100-80gb-hbm3-16-cores.json"
    assert f"60 runs, one after another on NVIDIA H100 80GB HBM3: {hours} ({record}) " in output
    assert re.search(r"on AMD EPYC with 1 thread: [\d,]+ to [\d,]+ hours \(2026\S+-amd-epyc-2-cores\.json\)", output)
    assert re.search(r"disk space of the runs: \d\.\d GB", output)
    assert output.endswith(f"; --probe times this machine {sizes}")


def test_a_plan_from_records_says_what_nobody_has_measured(tmp_path):
    suite = write_suite(tmp_path, ["random", failing(tmp_path)])
    larger = [f"network.{name}" for name in ("width=0.25", "decoder_width=32")] + ["data.side=64"]
    options = [argument for setting in larger for argument in ("--set", setting)]
    code, output = bench(suite, tmp_path, "--plan", "--no-probe", *options)
    assert code == 0
    assert "on NVIDIA H100 80GB HBM3 nothing was measured with a network of this size" in output
    assert re.search(r"random 2 0 6 not measured 0m\d\ds (to 0m\d\ds )?\d MB", output), output
    assert re.search(r"fails 2 0 6 not measured not measured \d MB", output), output
    assert re.search(
        r"4 runs, .* on AMD EPYC with 1 thread: .*, without fails, which nobody has measured there", output
    )


@pytest.mark.slow
def test_a_probe_times_this_machine_without_the_data(tmp_path):
    small = [f"network.{name}" for name in ("width=0.125", "decoder_width=4")]
    options = [argument for setting in small for argument in ("--set", setting)]
    suite = write_suite(tmp_path, ["random", failing(tmp_path)], dataset="hippocampus", settings={})
    code, output = bench(suite, tmp_path, "--plan", "--probe", "--device", "cpu", *options)
    assert code == 0, output
    assert "not measured" not in output
    assert re.search(r"4 runs: .* of CPU time on cpu .* with 1 thread per run, \d+ MB; \d in parallel finish", output)
    assert "260 cases and 9,360 slices of 64 x 48" in output
    assert "on average), timed on made-up slices; it takes" in output


@pytest.mark.parametrize("option", ["--probe", "--no-probe"])
def test_a_probe_is_part_of_a_plan(tmp_path, option):
    code, output = bench(write_suite(tmp_path, ["random"]), tmp_path, option)
    assert (code, output) == (
        2,
        f"albench: {option} must be given with --plan, whose times it chooses: add --plan, or leave it out",
    )


def test_a_plan_misses_data_that_are_said_to_be_somewhere(tmp_path):
    code, output = bench("paper-spleen", tmp_path, "--plan", "--data-root", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere' must contain the folder Task09_Spleen or its archive" in output
    code, output = bench("paper-spleen", tmp_path, "--plan", "--dataset", "liver")
    assert code == 2
    assert "must contain the folder Task03_Liver or its archive" in output


def test_the_suites_are_listed_without_a_name():
    code, output = invoke("bench")
    assert code == 0
    assert "paper-spleen" in output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "x"], "--seeds must be a number of seeds or a list such as 0,3,7, got 'x': give --seeds 5"),
        (["--seeds", "0"], "--seeds must be a number of seeds or a list such as 0,3,7, got '0': give --seeds 5"),
        (["--no-ray", "--jobs", "2"], "--no-ray does one run at a time, got 2 in parallel: leave one of them out"),
        (["--dataset", "fantom"], "did you mean 'phantom'?"),
        (["--set", "training.epoch=3"], "got 'training.epoch': did you mean 'training.epochs'?"),
        (["--no-ray", "--device", "tpu"], "--device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path, arguments, sentence):
    code, output = bench(write_suite(tmp_path, ["random"]), tmp_path, *arguments)
    assert code == 2
    assert output.startswith("albench: ") or "albench: " in output
    assert sentence in output


def test_a_folder_that_is_not_writable_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    code, output = bench(write_suite(tmp_path, ["random"]), tmp_path / "file" / "runs", "--no-ray")
    assert code == 2
    assert "must be writable, the system says" in output


def test_a_full_disk_is_one_sentence_per_run_and_finished_runs_are_kept(tmp_path, monkeypatch):
    suite = write_suite(tmp_path, ["random"], seeds=1)
    assert bench(suite, tmp_path, "--no-ray")[0] == 0
    done = results(tmp_path / "tiny")
    suite = write_suite(tmp_path, ["random", "entropy"], seeds=1)
    written = []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 1:  # there is room for the manifest only
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(albench.files.os, "fsync", full)
    code, output = bench(suite, tmp_path, "--no-ray", "--retries", "0")
    assert code == 1
    assert "FAILED entropy, seed 0, round 0: the disk must have room for" in output
    assert {n: rounds for n, rounds in results(tmp_path / "tiny").items() if rounds} == done
    monkeypatch.undo()
    assert bench(suite, tmp_path, "--no-ray")[0] == 0


def test_a_study_is_run_without_a_dataset_that_is_missing(tmp_path):
    datasets = [
        small_phantom("calm", noise=0.0),
        small_phantom("noisy", noise=0.6),
        {"dataset": "folder", "name": "lesions", "settings": {"data": {"root": "lesions"}}},
    ]
    suite = write_study(tmp_path, ["random"], datasets)
    code, output = bench(suite, tmp_path / "runs", "--no-ray")
    assert code == 2
    without = "run it without 'lesions': --dataset calm --dataset noisy"
    assert f"in study, set data.root of 'lesions' in the file, or {without}" in output
    assert not (tmp_path / "runs" / "study" / "suite.json").exists()
    code, output = bench(suite, tmp_path / "runs", "--no-ray", "--dataset", "calm", "--dataset", "noisy")
    assert code == 0, output
    assert "2 of 2 runs are finished, 0 failed" in output
    _, output = invoke("status", tmp_path / "runs")
    assert sorted(re.findall(r"study: (\w+)", output)) == ["calm", "noisy"]
