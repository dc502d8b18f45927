import importlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.samples import invoke, tiny_arguments, write_pair
from support.suites import FAILS, write_suite

from albench import __version__
from albench.benchmarks.suite import load_suite, suite_names
from albench.cli import catalog
from albench.cli.catalog import _KINDS
from albench.data import cache_folder, prepare
from albench.registry import DATASETS, STRATEGIES, Entry, available, find
from albench.runs import RunReader, find_runs
from albench.runs.documents import write_document
from albench.runs.manifest import MANIFEST
from albench.runs.records import FORMAT

ENTROPY = ("run", "--strategy", "entropy", "--dataset", "phantom")
SHAPE = (20, 24, 8)


@pytest.fixture
def error_of(call):
    """Call the command line with an error; returns the sentence, after checking that nothing else is printed."""
    return lambda *arguments: the_sentence(*call(*arguments))


def the_sentence(code, out, err):
    """The sentence of an error that a user can fix."""
    assert code == 2, out + err
    assert err.startswith("albench: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in out
    return err.removeprefix("albench: ").strip()


def on_folder(root, *more):
    return "run", "--strategy", "random", "--dataset", "folder", "--data-root", root, *more


def contents(folder):
    """Time and content of every file."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_a_run_prints_one_line_per_round_a_table_and_the_folder_of_its_records(call, tmp_path):
    command = [Path(sys.executable).parent / "albench", *ENTROPY, *tiny_arguments()]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stderr) == (0, "")
    lines = first.stdout.splitlines()
    assert [line.split()[1] for line in lines if re.match(r"round +\d", line)] == ["0", "1", "2"]
    assert lines[-1].startswith("records: runs/phantom/entropy/seed-0-")
    assert sum(bool(re.match(r" +[012] +\d+ +\d+\.\d% ", line)) for line in lines) == 3
    assert max(len(line.rstrip()) for line in lines[:-1]) <= 80
    assert "entropy on phantom, seed 0" in first.stdout
    assert "\x1b" not in first.stdout
    folder = tmp_path / lines[-1].removeprefix("records: ")
    assert [record.labeled for record in RunReader(folder).records] == [10, 13, 16]
    before = contents(folder)

    code, out, err = call(*ENTROPY, *tiny_arguments())
    assert (code, err) == (0, "")
    assert "this run is already finished" in out
    assert not [line for line in out.splitlines() if re.match(r"round +\d", line)]
    assert contents(folder) == before


def test_a_run_with_more_rounds_is_another_run(call, tmp_path):
    call(*ENTROPY, *tiny_arguments("--set", "protocol.rounds=0"))
    call(*ENTROPY, *tiny_arguments("--set", "protocol.rounds=1"))
    assert len(list((tmp_path / "runs" / "phantom" / "entropy").iterdir())) == 2


def test_status_prints_the_progress_of_runs(call, tmp_path):
    call(*ENTROPY, *tiny_arguments("--set", "protocol.rounds=1"))
    call(*ENTROPY, *tiny_arguments("--set", "protocol.rounds=1", "--seed", "1"))
    (records,) = tmp_path.glob("runs/phantom/entropy/seed-1-*/rounds.jsonl")
    records.write_text(records.read_text().splitlines(keepends=True)[0])
    code, out, err = call("status", "runs")
    assert (code, err) == (0, "")
    assert "runs on phantom" in out
    rows = [line.split() for line in out.splitlines() if "seed-" in line]
    folders = sorted(path.parent.name for path in tmp_path.rglob("rounds.jsonl"))
    assert [[*row[:3], row[3].rstrip("*")] for row in rows] == [
        ["entropy", folders[0], "2/2", "finished"],
        ["entropy", folders[1], "1/2", "interrupted"],
    ]


def test_status_says_why_a_run_failed(call, tmp_path):
    (tmp_path / "fails.py").write_text(FAILS)
    (tmp_path / "broken").touch()
    options = ("--seed", "1", "--set", f"strategy.flag={tmp_path / 'broken'}")
    arguments = tiny_arguments("--strategy", "fails.py:Fails", "--dataset", "phantom", *options)
    with pytest.raises(RuntimeError):
        call("run", *arguments)
    (folder,) = (path.parent for path in tmp_path.glob("runs/phantom/fails/seed-1-*/rounds.jsonl"))
    _, out, _ = call("status")
    assert f"failed: fails, {folder.name}, after 1 of 3 rounds: RuntimeError: the idea did not work\n" in out
    (tmp_path / "broken").unlink()
    assert call("run", *arguments)[0] == 0
    assert "failed" not in call("status")[1]


def test_status_says_that_a_folder_has_no_runs(call, tmp_path):
    (tmp_path / "empty").mkdir()
    assert call("status", "empty")[:2] == (0, "no runs in empty\n")


def test_list_prints_every_dataset_with_a_description(call):
    code, out, err = call("list", "datasets")
    assert (code, err) == (0, "")
    heads, _, *lines = out.splitlines()
    named = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in named] == [entry.name for entry in available(DATASETS)]
    second = heads.index("description")
    assert all(line[second - 1] == " " != line[second] for line in named)
    assert "broken" not in out


def test_list_prints_strategies_under_their_kinds_with_what_a_query_costs(call):
    code, out, err = call("list", "strategies")
    assert (code, err) == (0, "")
    heads, _, *lines = out.splitlines()
    groups: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith(" "):
            groups[line.strip()] = []
        elif line.startswith("  ") and line[2] != " ":
            groups[list(groups)[-1]].append(line.split()[0])
    entries = available(STRATEGIES)
    assert list(groups) == [kind for kind in _KINDS if kind in {entry.cls.kind for entry in entries}]
    assert groups == {kind: [entry.name for entry in entries if entry.cls.kind == kind] for kind in groups}
    end = heads.index("predictions") + len("predictions")
    cost = {line.split()[0]: line[:end].split()[-1] for line in lines if line.startswith("  ") and line[2] != " "}
    assert {name: cost[name] for name in ("random", "entropy", "bald", "taal", "spread")} == {
        "random": "0",
        "entropy": "1",
        "bald": "10",
        "taal": "8",
        "spread": "1",
    }
    assert "broken" not in out


def test_list_prints_a_broken_strategy_last_with_its_reason(monkeypatch):
    entries = [Entry("aaa", None, "it needs the missing module 'x'"), *available(STRATEGIES)[:2]]
    monkeypatch.setattr(catalog, "available", lambda group: entries)
    assert catalog.rows(STRATEGIES)[-2:] == [
        ("[bold]broken[/bold]", "", "", ""),
        ("  aaa", "", "", "broken: it needs the missing module 'x'"),
    ]


def test_show_prints_what_a_strategy_is_needs_and_costs(call):
    lines = call("show", "power-bald")[1].splitlines()
    start = lines.index("Kind: hybrid")
    assert lines[start : start + 4] == [
        "Kind: hybrid",
        "Needs: MC passes",
        "Cost of a query: every unlabeled slice is predicted 10 times",
        "Source: Kirsch et al. 2023",
    ]
    assert any(line.startswith("When it fails: ") for line in lines)
    assert "Cost of a query: no prediction\n" in call("show", "random")[1]
    star = call("show", "star")[1]
    assert "Cost of a query: every unlabeled slice is predicted 1.12 times, and 2 trainings in a round\n" in star


@pytest.mark.parametrize(
    ("slow", "arguments"),
    [
        ("albench.cli.scaffold.new_package", ("new", "strategy", "my-idea")),
        ("albench.cli.catalog.rows", ("list", "strategies")),
        ("albench.cli.catalog.describe", ("show", "random")),
        ("albench.resolve.make_strategy", ("check-strategy", "no-such")),
        ("albench.resolve.make_dataset", ("check-dataset", "no-such")),
        ("albench.registry.find", ("check-network", "no-such")),
    ],
)
def test_a_command_that_imports_plugins_says_so_when_it_takes_long(call, monkeypatch, slow, arguments):
    module, _, name = slow.rpartition(".")
    quick = getattr(importlib.import_module(module), name)

    def slowed(*given):
        time.sleep(0.2)
        return quick(*given)

    monkeypatch.setattr(slow, slowed)
    words = "starting: loading torch and MONAI\n"
    code, out, err = call(*arguments)
    assert words not in out + err
    shutil.rmtree("my-idea", ignore_errors=True)
    monkeypatch.setattr("albench.console.LONG_WAIT", 0.02)
    assert call(*arguments) == (code, out, words + err)


def test_show_prints_how_an_inner_strategy_is_given(call):
    out = call("show", "mixture")[1]
    for name, default in (("inner", "entropy"), ("other", "random")):
        words = f"strategy.{name}  (strategy: its name, or a mapping of its name and options, default {default})"
        assert words in out
    assert "inner: {name: bald, passes: 20}" in out


def test_show_prints_description_options_and_source_of_a_strategy(call):
    code, out, err = call("show", "entropy")
    assert (code, err) == (0, "")
    assert "the slices whose predictions have the highest mean entropy" in out
    assert "[1] Settles and Craven." in out
    assert "Options:" in out


def test_show_prints_type_default_and_meaning_of_the_options_of_a_dataset(call):
    code, out, err = call("show", "phantom")
    assert (code, err) == (0, "")
    assert "data.count  (integer, above 0, default 24)" in out
    assert "count: number of cases." in out
    assert "data.root  (text, required)" in call("show", "folder")[1]


def test_show_prints_one_option(call):
    assert call("show", "training.epochs")[1].splitlines()[:3] == [
        "training.epochs  (integer, at least 1, at most 1000000000, default 100)",
        "",
        "at most this many passes over the labeled slices, if they contain `min_steps`.",
    ]
    assert (
        "strategy.aggregation  (attention | self | none, default 'attention')\n" in call("show", "star.aggregation")[1]
    )
    assert call("show", "data.size")[1].startswith("data.size  (list of integer or none, default None)\n")
    assert call("show", "network.width")[1].startswith("network.width  (")


def test_show_prints_what_a_dataset_makes_of_the_defaults(call, tmp_path):
    out = call("show", "protocol", "--dataset", "phantom")[1]
    assert "  protocol.budget  (integer, at least 1, at most 1000000000, default 100, for phantom 16)\n" in out
    assert "  protocol.interval  (integer, at least 1, at most 1000000000, default 10)\n" in out
    assert out.endswith("Values for phantom come before the defaults, and --set before both.\n")
    assert ", default 'resnet50', for phantom 'resnet18')" in call("show", "residual", "--dataset", "phantom")[1]
    write_pair(tmp_path / "mine", "a", np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.uint8))
    folder = ("show", "protocol.budget", "--dataset", "folder")
    assert ", default 100, for folder 10)\n" in call(*folder, "--data-root", "mine")[1]
    out = call(*folder)[1]
    assert "The budget is 2 % of the slices with masks in the training set of the default split, at least 10." in out
    assert out.endswith("With --set data.root=..., the values are shown.\n")


def test_a_suite_may_be_without_a_description(call, tmp_path):
    path = write_suite(tmp_path, ["random"])
    path.write_text(path.read_text().replace("about: a test\n", ""))
    code, out, _ = call("show", "suite", path)
    assert code == 0
    assert out.startswith("tiny\n\nDatasets: phantom\n")


def test_show_and_list_describe_suites(call):
    for words in (("smoke",), ("suite", "smoke")):
        lines = call("show", *words)[1].splitlines()
        suite = load_suite("smoke")
        assert lines[:5] == ["smoke", "", suite.about, "", "Datasets: phantom"]
        assert f"Runs: {len(suite.runs)}" in lines
        methods = [line.strip() for line in lines[lines.index("Methods:") + 1 :] if line.startswith("  ")]
        assert methods == list(dict.fromkeys(run.label for run in suite.runs))
    assert "  in group retrain:  protocol.warm_start=false\n" in call("show", "warm-start")[1]
    shown = call("show", "ablations")[1]
    assert "\nNetwork: residual, unet\n" in shown
    assert "  in group U-Net:  network=unet, protocol.budget=50, " in shown
    assert "  in group reference:  network=residual, protocol.budget=50, " in shown
    assert "  taal  strategy.unit=none\n" in call("show", "paper-brats")[1]
    assert call("show", "hippocampus")[1].endswith("A suite has this name, too: albench show suite hippocampus\n")
    assert "\nRuns: 80\n" in call("show", "suite", "hippocampus")[1]
    code, out, err = call("list", "suites")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[2:] if not line.startswith(" ")] == suite_names()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("training.epoch",), "an option must be known, got 'training.epoch': did you mean 'training.epochs'?"),
        (("random.passes",), "'random' has no options, got 'random.passes': leave the option out"),
        (
            ("plugin", "star"),
            "one name must be given, after one of strategy, dataset, network, suite or alone, got 'plugin star'",
        ),
        (("suite", "smok"), "a suite must be a known name or an existing YAML file, got 'smok': did you mean 'smoke'?"),
        (
            ("star", "--dataset", "phantom"),
            "a dataset has defaults for protocol, training and residual, got 'star': leave --dataset out",
        ),
        (
            ("smoke", "--dataset", "phantom"),
            "a suite has its own datasets, got --dataset phantom for 'smoke': leave it out",
        ),
        (
            ("protocol", "--data-root", "x"),
            "--set and --data-root must be of a dataset, none is named: name it with --dataset",
        ),
        (("strategy", "phantom"), "strategy must be a known name or FILE.py:Class, got 'phantom': did you mean"),
    ],
)
def test_a_wrong_name_to_show_is_one_sentence(error_of, arguments, sentence):
    assert error_of("show", *arguments).startswith(sentence)


def test_a_run_prints_what_differs_from_the_defaults_and_who_set_it(call, tmp_path):
    inner = ("--set", "strategy.inner=bald", "--set", "strategy.inner.passes=3", "--set", "protocol.rounds=0")
    out = call("run", "--strategy", "spread", "--dataset", "phantom", *tiny_arguments(*inner))[1]
    start = out.index("not the defaults of albench, by --set:\n")
    mine, suited = out[start : out.index("round  0")].split("not the defaults of albench, by dataset phantom:\n")
    named = dict(part.strip().split("=", 1) for part in re.split(r", ?\n? *(?=[a-z]+\.)", mine.split(":", 1)[1]))
    assert {"strategy.inner": "bald", "strategy.inner.passes": "3", "protocol.rounds": "0"}.items() <= named.items()
    assert named["protocol.split"] == "[4,1,1]"
    defaults = find(DATASETS, "phantom")().defaults()
    assert set(re.findall(r"[a-z]+\.[a-z_]+(?==)", suited)) == defaults.keys() - named.keys()
    assert "training.lr_incremental=0.001" in suited


def test_show_describes_a_plugin_in_a_file(call, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN.format(fields="power: float = 0.5", query="Query.empty()"))
    code, out, _ = call("show", "mine.py:Mine")
    assert code == 0
    assert "Queries the first slices." in out
    assert "strategy.power  (number, default 0.5)" in out


@pytest.mark.parametrize(("name", "nearest"), [("entropi", "entropy"), ("fantom", "phantom"), ("fold", "folder")])
def test_show_suggests_the_nearest_strategy_or_dataset(error_of, name, nearest):
    assert f"got '{name}': did you mean '{nearest}'?" in error_of("show", name)


def test_the_version_is_printed(call):
    assert call("--version") == (0, f"albench {__version__}\n", "")


def test_no_arguments_print_the_help(call):
    code, out, err = call()
    assert code == 2
    assert "Usage: albench" in out + err
    for command in ("run", "bench", "list", "show", "status", "verify", "report", "data"):
        assert f" {command} " in out + err


def test_the_help_imports_neither_rich_nor_what_computes():
    code = "import sys; from albench.cli.main import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in output.splitlines()[-1].split()}
    assert "typer" in loaded
    assert not {"rich", "torch", "numpy", "pydantic", "ray", "pandas"} & loaded
    assert not re.search(r"(?m)\w\.\.\.$", output), "the description of a command is truncated"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lst",), "No such command 'lst'"),
        (("run",), "Missing option '--strategy'"),
        (("run", "--strategy", "random"), "Missing option '--dataset'"),
        ((*ENTROPY, "--epochs", "3"), "No such option"),
        ((*ENTROPY, "--seed", "x"), "Invalid value for '--seed'"),
        ((*ENTROPY, "--seed", "-1"), "Invalid value for '--seed'"),
        (("list", "records"), "records"),
    ],
)
def test_a_command_that_cannot_be_parsed_ends_with_exit_code_2(call, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ("--strategy", "entropie"),
            "strategy must be a known name or FILE.py:Class, got 'entropie': did you mean 'en",
        ),
        (
            ("--dataset", "fantom"),
            "dataset must be a known name or FILE.py:Class, got 'fantom': did you mean 'phantom'?",
        ),
        (("--strategy", "no.py:X"), "a plugin file must exist, 'no.py' does not: check the path before the colon"),
        (("--strategy", "json:loads"), "'json:loads' must be a subclass of albench.strategy.Strategy, got <function"),
        (
            ("--set", "training.epoch=3"),
            "an option must be known, got 'training.epoch': did you mean 'training.epochs'?",
        ),
        (("--set", "data.county=3"), "an option must be known, got 'data.county': did you mean 'data.count'?"),
        (("--strategy", "random", "--set", "strategy.x=1"), "got 'strategy.x': it has no options, leave it out"),
        (
            ("--set", "epochs.training=3"),
            "a setting must begin with one of strategy, data, protocol, training, network",
        ),
        (
            ("--set", "epochs=3"),
            "--set must name a section and an option, such as training.epochs=30, got 'epochs=3': begin",
        ),
        (
            ("--set", "training.epochs"),
            "--set must name a section and an option, such as training.epochs=30, got 'training.epoch",
        ),
        (
            ("--set", "training.epochs=[3"),
            "--set training.epochs must have a YAML value such as 30 or [96,128], got '[3'",
        ),
        (("--set", "training.epochs=many"), "training.epochs must be a valid integer"),
        (
            ("--set", "training.epochs=0"),
            "training.epochs must be greater than or equal to 1, got 0: set it with --set",
        ),
        (("--set", "training.lr=.inf"), "training.lr must be finite, got inf: set it with --set training.lr=VALUE"),
        (("--set", "network.backbone=vit"), "network.backbone must be 'resnet18', 'resnet34' or 'resnet50', got 'vit'"),
        (("--set", "data.size=[30,32]"), "data.size must be two multiples of 16, got [30, 32]: write for example"),
        (("--set", "data.count=0"), "data.count must be greater than 0, got 0"),
        (("--set", "protocol.split=[4,2,1]"), "protocol.split must give each of train, validation and test at least"),
        (("--device", "tpu"), "--device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        (("--device", "meta"), "--device must be auto, cpu, cuda or cuda:N, got 'meta'"),
        (("--device", "cuda:99"), "--device must exist, got 'cuda:99' on a machine with"),
        (
            ("--out", "/proc/nowhere"),
            "must be writable, the system says 'No such file or directory': choose another folder",
        ),
        (("--out", "/dev/null"), "must be writable, the system says 'Not a directory': choose another folder"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_leaves_no_record(error_of, tmp_path, more, sentence):
    assert sentence in error_of(*ENTROPY, *tiny_arguments(*more))
    assert not list(tmp_path.rglob("rounds.jsonl"))


def test_a_missing_folder_is_one_sentence(error_of, tmp_path):
    sentence = error_of(*on_folder(tmp_path / "nowhere"))
    assert sentence == f"data.root must be an existing folder, '{tmp_path}/nowhere' is not: set it with --data-root"
    assert "data.root must be given" in error_of("run", "--strategy", "random", "--dataset", "folder")
    for command in ("status", "verify"):
        assert "runs must be in an existing folder, 'nowhere' is not one" in error_of(command, "nowhere")


def _without_mask(root):
    (root / "labelsTr" / "blob_3.nii.gz").unlink()


def _other_shape(root):
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), np.eye(4)), root / "labelsTr" / "blob_3.nii.gz")


def _truncated(root):
    path = root / "imagesTr" / "blob_3.nii.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty_masks(root):
    image = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    for index in range(6):
        write_pair(root, f"blob_{index}", image, np.zeros(SHAPE, np.uint8))


def _four_dimensional(root):
    for folder in ("imagesTr", "labelsTr"):
        nib.save(nib.Nifti1Image(np.zeros((9, 9, 4, 2), np.uint8), np.eye(4)), root / folder / "blob_3.nii.gz")


def _nan(root):
    write_pair(root, "blob_3", np.full(SHAPE, np.nan, np.float32), np.ones(SHAPE, np.uint8))


@pytest.mark.parametrize(
    ("spoil", "more", "sentence"),
    [
        (_without_mask, (), "every image must have a mask, '{root}/imagesTr/blob_3.nii.gz' has none in labelsTr/: add"),
        (_other_shape, (), "a mask must have the shape of its image, '{root}/labelsTr/blob_3.nii.gz' has (9, 9, 9)"),
        (_truncated, (), "'{root}/imagesTr/blob_3.nii.gz' must be complete, it cannot be read to its end"),
        (_empty_masks, (), "must have foreground in at least one mask, all 6 masks are empty: check the masks and the"),
        (
            _four_dimensional,
            (),
            "'{root}/imagesTr/blob_3.nii.gz' must be a 3D volume, it has shape (9, 9, 4, 2): remove it",
        ),
        (_nan, (), "case 'blob_3' must have finite intensities, 3840 voxels are NaN or infinite: repair"),
        (str, ("--set", "data.labels=[7]"), "must have foreground in at least one mask, all 6 masks are empty: check"),
    ],
)
def test_data_that_cannot_be_used_are_one_sentence_and_nothing_is_stored(
    error_of, decathlon, tmp_path, monkeypatch, spoil, more, sentence
):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    spoil(decathlon)
    assert sentence.format(root=decathlon) in error_of(*on_folder(decathlon, *more))
    assert not list(cache_folder().glob("*/meta.json"))
    assert not (tmp_path / "runs").exists()


PLUGIN = '''
"""Queries the first slices."""

from dataclasses import dataclass

import numpy as np

from albench.strategy import Query, Strategy


@dataclass(frozen=True)
class Mine(Strategy):
    {fields}
    def query(self, ctx):
        ids, shape = ctx.pool.unlabeled[:ctx.budget], ctx.pool.slices.shape[1:]
        return {query}
'''


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("Query(ids[[0, 0, 1]])", "a query must name each slice once, slice"),
        ("Query(ids[:2])", "a query must have exactly 3 slices, got 2"),
        ("Query(ctx.pool.unlabeled)", "a query must have exactly 3 slices, got 25"),
        ("Query(ctx.pool.labeled[:3])", "a query must name unlabeled slices, slice"),
        ("Query.highest(np.full(25, np.nan), ctx)", "scores must be finite, slice"),
        ("Query(ids, pseudo={int(ids[0]): np.zeros((3, 3), np.uint8)})", "pseudo-labels must be uint8 masks of"),
        (
            "Query(np.array([ctx.pool.mask(int(i)).sum() for i in ids]))",
            "only masks of labeled slices can be read, slice",
        ),
    ],
)
def test_a_strategy_that_breaks_a_rule_is_named_and_its_round_is_not_stored(error_of, tmp_path, query, sentence):
    (tmp_path / "mine.py").write_text(PLUGIN.format(fields="", query=query))
    error = error_of(*ENTROPY, *tiny_arguments("--strategy", "mine.py:Mine", "--set", "training.epochs=1"))
    assert error.startswith(f"strategy 'mine': {sentence}")
    assert not list(tmp_path.rglob("rounds.jsonl"))


def test_a_plugin_that_cannot_be_imported_is_one_sentence(error_of, tmp_path):
    (tmp_path / "mine.py").write_text("raise ValueError('first line\\nsecond line')")
    sentence = error_of(*ENTROPY, "--strategy", "mine.py:Mine")
    assert sentence == "'mine.py' cannot be imported: ValueError: first line second line"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"albench": "0.0.1"}, "a run must be continued by the version that began it, 'runs/phantom/entropy/seed-0-"),
        ({"format": 99}, f"config.json' must be of format {FORMAT}, albench '{__version__}' wrote format 99: read it"),
    ],
)
def test_a_run_of_another_version_is_one_sentence_and_stays_unchanged(call, tmp_path, change, sentence):
    arguments = (*ENTROPY, *tiny_arguments("--set", "protocol.rounds=0", "--set", "training.epochs=1"))
    call(*arguments)
    (config,) = tmp_path.rglob("config.json")
    write_document(config, replace(RunReader(config.parent).stored_config, **change))
    before = contents(config.parent)
    assert sentence in the_sentence(*call(*arguments))
    assert contents(config.parent) == before


SHORT = tiny_arguments("--set", "protocol.rounds=1", "--set", "training.epochs=1", "--keep-weights")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of two finished runs, seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        assert invoke(*ENTROPY, *SHORT, "--seed", seed, "--out", folder)[0] == 0
    return folder


@pytest.fixture
def two_runs(call, trained):
    """A copy of them in the folder of the command line."""
    return find_runs(Path(shutil.copytree(trained, "runs")))


def interrupt(run):
    """Make a run with finished rounds look as if it was interrupted before the second record was written."""
    assert len(run.records) == 2  # which are read now, before they change
    run.layout.records.write_text(run.layout.records.read_text().splitlines(keepends=True)[0])
    run.layout.scores.unlink()


def edit(path, old, new):
    """Replace the first match of a pattern in a text file, which must change."""
    text = path.read_text()
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text, count=1))


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("rounds.jsonl", "(?s)^.*$", '{"round": 0, "lab', "', line 1, must hold JSON, it is damaged (Unterminated"),
        ("rounds.jsonl", r'"dice_slice": [\d.]+', '"dice_slice": 0.99', "', line 1, was changed after it was written"),
        ("rounds.jsonl", '"share": [^,]*, ', "", "', line 1, must be as albench wrote it, share is missing: restore"),
        ("rounds.jsonl", r"(?m)^(.*)$", r"\1\n\1", "', line 2, must be round 1, it is round 0: a line was repeated"),
        ("config.json", "(?s)^.*$", "{", "' must hold JSON, it is damaged"),
        ("config.json", '"epochs": 1,', '"epochs": 2,', "' was changed after it was written, its content does not"),
        ("split.json", '"train"', '"trained"', "' must be as albench wrote it, train is missing: restore it from"),
        ("rounds/00/query.json", r'"ids": \[', '"ids": [ ', "' was changed or replaced after it was written, it"),
    ],
)
def test_a_run_that_was_edited_is_not_continued_and_stays_unchanged(call, two_runs, file, old, new, sentence):
    run = two_runs[0]
    interrupt(run)
    edit(run.folder / file, old, new)
    before = contents(run.folder)
    error = the_sentence(*call(*ENTROPY, *SHORT))
    assert error.startswith(f"'{run.folder / file}{sentence}")
    assert error.endswith("restore it from a copy, or remove the run")
    assert contents(run.folder) == before


def test_a_run_with_the_weights_of_another_is_not_continued(call, two_runs):
    interrupt(two_runs[0])
    weights, others = (run.layout.round(0).weights for run in two_runs)
    weights.write_bytes(others.read_bytes())
    sentence = the_sentence(*call(*ENTROPY, *SHORT))
    assert sentence.startswith(
        f"'{weights}' was changed or replaced after it was written, it does not match its record"
    )


def test_an_interrupted_run_is_continued_and_verified(call, two_runs):
    run = two_runs[0]
    interrupt(run)
    assert call("verify", run.folder) == (0, "1 of 1 runs are as albench wrote them\n", "")
    code, out, err = call(*ENTROPY, *SHORT)
    assert (code, err) == (0, "")
    assert "finished rounds: 1" in out
    assert [record.results() for record in RunReader(run.folder).records] == [r.results() for r in run.records]
    assert call("verify", "runs") == (0, "2 of 2 runs are as albench wrote them\n", "")


def test_verify_names_every_changed_file_and_goes_on_with_the_other_runs(call, two_runs):
    assert call("verify") == (0, "2 of 2 runs are as albench wrote them\n", "")
    query = two_runs[0].layout.round(0).query
    edit(query, r'"ids": \[', '"ids": [ ')
    code, out, err = call("verify")
    assert (code, err) == (1, "")
    sentence, summary = out.splitlines()
    assert sentence.startswith(f"'{query}' was changed or replaced after it was written, it does not match its record")
    assert summary == "1 of 2 runs are as albench wrote them"
    assert call("verify", two_runs[0].folder)[0] == 1
    assert call("verify", two_runs[1].folder) == (0, "1 of 1 runs are as albench wrote them\n", "")


def test_verify_finds_a_run_without_its_settings(call, two_runs):
    two_runs[0].layout.config.unlink()
    code, out, err = call("verify")
    assert (code, err) == (1, "")
    assert out.startswith(f"'{two_runs[0].layout.config}' is missing: restore it from a copy, or remove the run")
    assert out.endswith("1 of 2 runs are as albench wrote them\n")


def test_verify_names_a_damaged_manifest_of_a_suite(call, two_runs):
    Path("runs", MANIFEST).write_text("{")
    code, out, err = call("verify", "runs")
    assert (code, err) == (1, "")
    assert out.startswith("'runs/suite.json' must hold JSON, it is damaged (")
    assert out.endswith("2 of 2 runs are as albench wrote them\n")


def test_status_marks_a_damaged_run_and_goes_on_with_the_others(call, two_runs):
    config = two_runs[0].layout.config
    config.write_text("{")
    Path("runs", MANIFEST).write_text("[]")
    code, out, err = call("status")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if "seed-" in line and "damaged:" not in line]
    assert [[*row[:3], row[3].rstrip("*")] for row in rows] == [
        ["entropy", two_runs[0].folder.name, "-", "damaged"],
        ["entropy", two_runs[1].folder.name, "2/2", "finished"],
    ]
    problems = [line for line in out.splitlines() if line.startswith("damaged: ")]
    assert problems[0].startswith("damaged: 'runs/suite.json' must hold a JSON object, it holds []: ")
    assert problems[1].startswith(f"damaged: '{config}' must hold JSON, it is damaged (")
    assert problems[1].endswith("restore it from a copy, or remove the run")


def start(tmp_path, *arguments, limit=None):
    """The command line in a process of its own, whose files cannot grow beyond `limit` bytes."""

    def prepare_process():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests in the background of a shell inherit that it is ignored
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [str(Path(sys.executable).parent / "albench"), *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ALBENCH_CACHE": str(tmp_path / "cache")},
        preexec_fn=prepare_process,
    )


def finished(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_run_continues_later(tmp_path, monkeypatch):
    arguments = (*ENTROPY, *tiny_arguments("--set", "protocol.rounds=1"))
    sentence = the_sentence(*finished(start(tmp_path, *arguments, limit=10_000)))
    assert sentence.startswith(f"the disk must have room for '{tmp_path}/cache/")
    assert sentence.endswith("it is full: free some space and run the same command again; finished rounds are kept")
    assert not list(tmp_path.glob("cache/*/meta.json"))
    assert not (tmp_path / "runs").exists()

    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    prepare(find(DATASETS, "phantom")(count=6, depth=8, side=32))
    sentence = the_sentence(*finished(start(tmp_path, *arguments, limit=100_000)))
    assert sentence.startswith("the disk must have room for 'runs/")
    assert not list(tmp_path.rglob("rounds.jsonl"))
    assert not list(tmp_path.rglob("*.tmp"))

    code, out, err = finished(start(tmp_path, *arguments))
    assert (code, err) == (0, "")
    assert "round  1" in out


STOPPED = "albench: stopped; the same command continues after the last finished round\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_run_in_one_sentence_after_its_finished_rounds(tmp_path, number, code):
    more = ("--set", "protocol.budget=2", "--set", "protocol.rounds=9")  # seconds after the first
    process = start(
        tmp_path, *ENTROPY, *tiny_arguments("--set", "training.epochs=20", "--set", "training.patience=20", *more)
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("round  0"):
        assert process.poll() is None
    process.send_signal(number)
    found, _, err = finished(process)
    assert found == code
    assert err == STOPPED
    (records,) = tmp_path.rglob("rounds.jsonl")
    assert records.read_text().endswith("}\n")
    assert not list(tmp_path.rglob("*.tmp"))


_STOPPED_WITHIN = """
import os, sys, time
from importlib.abc import MetaPathFinder

_, number, module = sys.argv

class Signals(MetaPathFinder):  # while a module is imported by a library that swallows errors
    def find_spec(self, name, path, target=None):
        if name == module:
            try:
                os.kill(os.getpid(), int(number))
                time.sleep(1)
            except BaseException:
                pass

sys.meta_path.insert(0, Signals())
from albench.__main__ import main
sys.argv[1:] = ["run", "--strategy", "entropy", "--dataset", "phantom"]
main()
"""


@pytest.mark.parametrize("module", ["typer", "torch"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_imports_is_one_sentence(tmp_path, number, code, module):
    command = [sys.executable, "-c", _STOPPED_WITHIN, str(int(number)), module]
    options = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "timeout": 60}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, **options)
    assert (done.returncode, done.stderr) == (code, STOPPED)


_FOLLOWED_BY = """
import os, signal, sys, time
from albench.interruption import stoppable
import albench.interruption

if sys.argv[1] == "waits":
    albench.interruption._PATIENCE = 0.1
with stoppable():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        if sys.argv[1] == "waits":
            time.sleep(60)
        raise RuntimeError("the raylet died") from None
"""


@pytest.mark.parametrize("then", ["fails", "waits"])
def test_sigterm_is_one_sentence_also_if_the_command_then_fails_or_waits(then):
    done = subprocess.run([sys.executable, "-c", _FOLLOWED_BY, then], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (143, STOPPED)


def test_sigterm_stops_a_command_whose_ctrl_c_is_ignored_as_in_the_background_of_a_shell():
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + _FOLLOWED_BY
    done = subprocess.run([sys.executable, "-c", code, "fails"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (143, STOPPED)


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "albench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"albench {__version__}\n"


@pytest.mark.slow
def test_a_run_whose_output_nobody_reads_on_ends_without_blaming_a_plugin(tmp_path):
    command = [Path(sys.executable).parent / "albench", "run", "--strategy", "random", "--dataset", "phantom"]
    command = [*map(str, command), "--out", str(tmp_path), *tiny_arguments()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(120) == 1
