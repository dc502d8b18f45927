import hashlib
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.samples import TINY

import albench
import albench.runs.reader
from albench.errors import StoreError
from albench.masks import PackedMasks
from albench.resolve import resolve
from albench.runs.array_files import read_arrays, write_arrays
from albench.runs.cost import environment
from albench.runs.discovery import find_runs
from albench.runs.documents import encode, write_document
from albench.runs.layout import run_folder
from albench.runs.reader import RunProgress, RunReader
from albench.runs.records import (
    FORMAT,
    AnnotationCost,
    ClassMetrics,
    ComputeCost,
    Confidence,
    FitSummary,
    MaskQuality,
    Metrics,
    PhaseSeconds,
    ProcessesRecord,
    QueryRecord,
    RoundRecord,
    SliceName,
    SplitRecord,
    StoredConfig,
)
from albench.runs.scores import ALL, load_runs, scores
from albench.runs.store import RoundFiles, RunStore, write_failure
from albench.runs.verification import verify
from albench.source import own_source

_OPEN = """
import sys
from pathlib import Path
from albench.errors import StoreError
from albench.resolve import resolve
from albench.runs.store import RunStore
sys.path.insert(0, sys.argv[2])
from support.samples import TINY
config = resolve("random", "phantom", settings=TINY).config
try:
    with RunStore.open(Path(sys.argv[1]), config):
        print("opened")
except StoreError as error:
    print(error)
"""

_FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[3])
from support.samples import TINY
from albench.callback import NullCallback
from albench.errors import StoreError
from albench.loop import Execution, run
from albench.resolve import resolve

def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

class FillsTheDisk(NullCallback):
    def on_round(self, record):
        limit_files(limit)

torch.set_num_threads(1)
for limit in map(int, sys.argv[2].split()):
    limit_files(resource.RLIM_INFINITY)
    resolved, out = resolve("entropy", "phantom", settings=TINY), Path(sys.argv[1], str(limit))
    try:
        run(resolved, out, Execution(torch.device("cpu")), FillsTheDisk())
    except StoreError as error:
        print(error)
"""

SPLIT = SplitRecord(("a",), ("b",), ("x", "y"), {"a": 20}, 7, 0, tuple(SliceName("a", i) for i in range(10)))
SCORES = {str(i): s for i, s in enumerate((np.linspace(0, 1, 10) / 3).tolist(), 10)}


@pytest.fixture
def config():
    return resolve("random", "phantom", settings=TINY).config


@pytest.fixture
def open_store(tmp_path, config):
    return lambda **options: RunStore.open(tmp_path / "runs", config, **options)


@pytest.fixture
def folder(tmp_path, config):
    return run_folder(tmp_path / "runs", config)


def metrics(dice_volume: float, dice_foreground: float | None = None) -> Metrics:
    return Metrics(0.1, dice_foreground, dice_volume, 2.5, 0.75, None, 0.25)


def record(index: int, unlabeled: int | None = None) -> RoundRecord:
    """A made-up round in which nothing but the numbers of slices and a Dice differs from round to round."""
    unlabeled = 10 - 2 * index if unlabeled is None else unlabeled
    return RoundRecord(
        round=index,
        labeled=20 - unlabeled,
        unlabeled=unlabeled,
        share=1 - unlabeled / 20,
        annotation_cost=AnnotationCost(20 - unlabeled, 5, 70, 30.5, 1),
        pseudo=MaskQuality(0, None, None, None, None),
        notes={"threshold": 0.1 + 0.2, "pairs": 12},
        predictions={},
        test=metrics(0.25 + index / 10),
        val=metrics(0.2),
        confidence=Confidence(0.8, 0.25, 0.5, 0.75),
        cases={"x": metrics(0.25 + index / 10), "y": metrics(1.0, 0.5)},
        classes={},
        fit_trainings=(FitSummary("training", 2, 1, 10, 5, 80, 0.1, 0.75),),
        query_trainings=(),
        cost=ComputeCost(PhaseSeconds(2.0, 1.0, 0.5), (1.0, 1.0), (), 10, 1 << 20, None, "cpu", 1, "0", "2"),
    )


def append(store: RunStore, *, width: int = 13) -> RoundFiles:
    """Store a made-up round."""
    index = len(store.records)
    if not index:
        store.begin(SPLIT, environment(torch.device("cpu"), "other", uses_labels=False), {"ids": np.arange(3)})
    files = round_files(index, width)
    store.append(record(index), files)
    return files


def round_files(index: int, width: int = 13) -> RoundFiles:
    """What a made-up round leaves in addition to its record."""
    rng = np.random.default_rng(index)
    pseudo = {i: rng.integers(0, 2, (5, width)).astype(np.uint8) for i in (7, 2, 30)}
    ids = (13 + 2 * index, 12 + 2 * index)
    return RoundFiles(
        query=QueryRecord(ids, tuple(SliceName("a", i) for i in ids), SCORES),
        pseudo=pseudo,
        predictions={4: pseudo[2]},
        arrays={},
        weights={"a": torch.randn(3, 4), "count": torch.tensor(index)},
    )


def write_round(open_store) -> None:
    with open_store() as store:
        append(store)


def results(records) -> list[dict[str, object]]:
    return [one.results() for one in records]


@pytest.mark.parametrize("width", [1, 7, 8, 13, 32])
def test_what_a_round_leaves_is_what_is_read(open_store, folder, width):
    with open_store() as store:
        append(store, width=width)
        files = append(store, width=width)
    run = RunReader(folder)
    assert results(run.records) == results([record(0), record(1)])
    assert run.records[0].cost == record(0).cost
    assert (run.split, run.query(1)) == (SPLIT, files.query)
    assert run.environment.strategy_kind == "other"
    assert run.query(0).ids == (13, 12)
    for index, stored in ((1, run.pseudo(1)),):
        assert dict(stored).keys() == files.pseudo.keys(), index
        for i, mask in files.pseudo.items():
            np.testing.assert_array_equal(stored[i], mask)
            assert stored[i].dtype == np.uint8
    assert list(run.predictions(1)) == [4]
    assert run.arrays(1) == {}
    np.testing.assert_array_equal(run.snapshots()["ids"], [0, 1, 2])
    weights = run.weights(1)
    assert all(torch.equal(files.weights[key], weights[key]) for key in files.weights)


def test_cases_keep_their_order_so_that_the_table_of_metrics_is_sound(open_store, folder):
    names = ("t2", "t10", "t1")
    with open_store() as store:
        append(store)
        store.append(replace(record(1), cases=dict.fromkeys(names, metrics(0.5))), round_files(1))
    run = RunReader(folder)
    assert tuple(run.records[1].cases) == names
    assert verify(run) == []


def test_before_the_first_round_there_are_settings_only(open_store, folder, config):
    assert not RunReader(folder).started
    with open_store() as store:
        assert (store.records, store.finished) == ((), False)
    run = RunReader(folder)
    assert (run.started, run.records, run.finished, run.failure, run.config) == (True, (), False, None, config)


def test_what_is_written_before_round_0_is_written_anew_until_a_round_is_finished(open_store, folder):
    for names in (("a",), ("c",)):
        with open_store() as store:
            store.begin(replace(SPLIT, val=names), environment(torch.device("cpu"), "other", uses_labels=False), {})
    assert RunReader(folder).split.val == ("c",)
    with open_store() as store:
        append(store)
        store.begin(replace(SPLIT, val=("d",)), environment(torch.device("cpu"), "hybrid", uses_labels=False), {})
    assert (RunReader(folder).split, RunReader(folder).environment.strategy_kind) == (SPLIT, "other")


def go_on(store: RunStore, command: str) -> None:
    """Store a round as another process does, which had this command line."""
    now = replace(environment(torch.device("cpu"), "other", uses_labels=False), command=(command,))
    store.begin(SPLIT, now, {"ids": np.arange(3)})
    append(store)


def test_every_process_that_wrote_rounds_is_kept(open_store, folder):
    write_round(open_store)
    for command in ("second", "third"):
        with open_store() as store:
            go_on(store, command)
    run = RunReader(folder)
    assert [process.round for process in run.processes] == [0, 1, 2]
    assert [process.environment.command for process in run.processes[1:]] == [("second",), ("third",)]
    assert {process.code for process in run.processes} == {own_source()}
    assert run.environment == run.processes[0].environment
    assert verify(run) == []


def test_a_process_that_wrote_no_round_is_replaced_by_the_next(open_store, folder):
    write_round(open_store)
    with open_store() as store:
        store.begin(SPLIT, environment(torch.device("cpu"), "killed", uses_labels=False), {})
    assert verify(RunReader(folder)) == []
    with open_store() as store:
        go_on(store, "next")
    run = RunReader(folder)
    assert [process.environment.strategy_kind for process in run.processes] == ["other", "other"]
    assert verify(run) == []


def test_a_changed_process_is_named(open_store, folder):
    write_round(open_store)
    with open_store() as store:
        go_on(store, "second")
    run = RunReader(folder)
    path, lines = run.layout.environment, run.layout.records
    first, second = run.processes
    remedy = "restore it from a copy, or remove the run"
    write_document(path, ProcessesRecord((first, replace(second, code="edited"))))
    assert [damage.sentence for damage in verify(RunReader(folder))] == [
        f"'{lines}', line 2, was written after other content than is there now, the record before it in '{lines}', or "
        f"its process in '{path}', was changed or replaced: {remedy}"
    ]
    write_document(path, ProcessesRecord((first, second, replace(second, round=5))))
    assert [damage.sentence for damage in verify(RunReader(folder))] == [
        f"'{path}' must list processes in the order of the rounds that they wrote, from 0 to 2, it lists 0, 1, 5: "
        f"{remedy}"
    ]


def as_before_processes_were_listed(folder: Path) -> None:
    """Turn a run of one round into one whose environment.json is that of the process that began it."""
    run = RunReader(folder)
    write_document(run.layout.environment, run.environment)
    (line,) = run.records
    names = sorted(run.layout.header, key=run.layout.header.index)
    content = "".join(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in names)
    record = replace(line, previous=hashlib.sha256(content.encode()).hexdigest())
    run.layout.records.write_text(f"{encode(record)}\n")


def test_a_run_whose_processes_were_not_listed_yet_is_sound_and_continues_if_asked(open_store, folder):
    write_round(open_store)
    as_before_processes_were_listed(folder)
    run = RunReader(folder)
    assert verify(run) == []
    assert [(process.round, process.code) for process in run.processes] == [(0, None)]
    with pytest.raises(StoreError) as error, open_store():
        pass
    assert str(error.value) == (
        f"a run must be continued by the code that wrote it, '{folder}' was written by albench's source unknown and "
        f"this is {own_source()}: use that code, another --out, or --accept-code-change, which writes the change down"
    )
    with open_store(accept_code_change=True) as store:
        go_on(store, "second")
    run = RunReader(folder)
    assert [(process.round, process.code) for process in run.processes] == [(0, None), (1, own_source())]
    assert verify(run) == []


def test_other_code_continues_a_run_only_if_that_is_accepted_and_written_down(open_store, folder, monkeypatch):
    write_round(open_store)
    before = own_source()
    monkeypatch.setattr("albench.runs.code_identity.own_source", lambda: "other")
    with pytest.raises(StoreError) as error, open_store():
        pass
    assert str(error.value) == (
        f"a run must be continued by the code that wrote it, '{folder}' was written by albench's source {before} and "
        "this is other: use that code, another --out, or --accept-code-change, which writes the change down"
    )
    with open_store(accept_code_change=True) as store:
        go_on(store, "second")
    with open_store() as store:  # the change is accepted once
        go_on(store, "third")
    run = RunReader(folder)
    assert [(process.round, process.code) for process in run.processes] == [(0, before), (1, "other"), (2, "other")]
    assert verify(run) == []


def test_a_finished_run_is_read_by_any_code(open_store, monkeypatch):
    with open_store() as store:
        while not store.finished:
            append(store)
    monkeypatch.setattr("albench.runs.code_identity.own_source", lambda: "other")
    with open_store() as store:
        assert store.finished


@pytest.mark.parametrize(("keep", "left"), [(False, ["02"]), (True, ["00", "01", "02"])])
def test_only_the_latest_weights_are_kept_unless_asked(open_store, folder, keep, left):
    with open_store(keep_weights=keep) as store:
        for _ in range(3):
            append(store)
    assert sorted(path.parent.name for path in folder.rglob("weights.pt")) == left
    with open_store():
        assert [path.parent.name for path in folder.rglob("weights.pt")] == ["02"]


def test_a_mirror_is_told_what_to_copy_after_every_round(open_store, folder, tmp_path):
    told: list[str] = []
    with open_store(mirror=told.append) as store:
        append(store)
        append(store)
    assert told == [".round-0", folder.relative_to(tmp_path / "runs").as_posix()] * 2


def test_opening_removes_what_a_killed_process_left_and_restores_the_table_of_metrics(open_store, folder):
    write_round(open_store)
    scores = (folder / "scores.csv").read_bytes()
    (folder / "scores.csv").unlink()
    leftovers = [folder / ".rounds.jsonl.17.tmp", folder / "rounds" / "01" / ".weights.pt.17.tmp"]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    with open_store() as store:
        assert not any(path.exists() for path in leftovers)
        assert (folder / "scores.csv").read_bytes() == scores
        append(store)
    names = {path.name for path in (folder / "rounds" / "01").iterdir()}
    assert names == {"query.json", "pseudo.npz", "predictions.npz", "weights.pt"}


def test_files_of_a_round_without_a_record_are_replaced(open_store, folder):
    write_round(open_store)
    records, weights = (folder / "rounds.jsonl").read_bytes(), (folder / "rounds" / "00" / "weights.pt").read_bytes()
    with open_store() as store:
        append(store)
    (folder / "rounds.jsonl").write_bytes(records)  # killed just before the record
    (folder / "rounds" / "00" / "weights.pt").write_bytes(weights)
    (folder / "scores.csv").unlink()
    (folder / "rounds" / "01" / "other.txt").write_text("old")
    with open_store() as store:
        assert len(store.records) == 1
        append(store)
        assert results(store.records) == results([record(0), record(1)])
    assert not (folder / "rounds" / "01" / "other.txt").exists()


@pytest.mark.parametrize("damage", ['{"round": 0, "lab', "not JSON", "3", "\x00\x00"])
def test_a_damaged_run_is_not_continued(open_store, folder, damage):
    write_round(open_store)
    with (folder / "rounds.jsonl").open("a") as file:
        file.write(damage)
    with pytest.raises(
        StoreError, match=r"rounds.jsonl', line 2, must hold .*: restore it from a copy, or remove the r"
    ):
        write_round(open_store)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("query.json", None, r"query.json' is missing, its record lists it"),
        ("query.json", b"{", r"query.json' was changed or replaced after it was written"),
        ("pseudo.npz", b"PK", r"pseudo.npz' was changed or replaced after it was written"),
        ("weights.pt", None, r"weights.pt' is missing, its record lists it"),
        ("weights.pt", b"half", r"weights.pt' was changed or replaced after it was written"),
    ],
)
def test_a_run_with_a_damaged_round_is_not_continued(open_store, folder, name, content, sentence):
    write_round(open_store)
    path = folder / "rounds" / "00" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(StoreError, match=f"'.*{sentence}.*: restore it from a copy, or remove the run"):
        write_round(open_store)


@pytest.mark.parametrize("content", ["{", "[]", "3", "", '{"format": 4}'])
def test_damaged_settings_are_one_sentence(open_store, folder, content):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(content)
    with pytest.raises(
        StoreError, match=r"'.*config.json' must (hold|be) .*: restore it from a copy, or remove the run"
    ):
        write_round(open_store)


def test_a_run_of_another_version_or_format_is_one_sentence(open_store, folder, config):
    folder.mkdir(parents=True)
    write_document(folder / "config.json", StoredConfig(FORMAT, "0.0.1", config))
    with pytest.raises(StoreError, match=rf"was begun by albench 0.0.1 and this is {albench.__version__}: use another"):
        write_round(open_store)
    for number in (1, 99):
        write_document(folder / "config.json", StoredConfig(number, "9.0", config))
        sentence = rf"config.json' must be of format {FORMAT}, albench '9.0' wrote format {number}: read it with that v"
        with pytest.raises(StoreError, match=sentence):
            write_round(open_store)
        with pytest.raises(StoreError, match=sentence):
            load_runs(folder)


@pytest.mark.slow
def test_a_run_has_one_writer(open_store, tmp_path, folder):
    command = [sys.executable, "-c", _OPEN, str(tmp_path / "runs"), str(Path(__file__).parents[1])]
    with open_store():
        assert RunReader(folder).running
        second = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "a run must be written by one process, another one is at work in" in second
    assert "wait for it, or use another --out" in second
    assert not RunReader(folder).running
    with open_store():
        pass


def test_runs_that_differ_do_not_share_a_folder(tmp_path, config):
    seeds = {run_folder(tmp_path, replace(config, seed=seed)) for seed in range(3)}
    assert len(seeds) == 3
    longer = replace(config, training=replace(config.training, epochs=3))
    assert run_folder(tmp_path, longer) != run_folder(tmp_path, config)
    assert run_folder(tmp_path, config).relative_to(tmp_path).parts[:2] == ("phantom", "random")


def test_a_whole_number_in_the_place_of_a_decimal_is_the_same_setting(config):
    whole = replace(config, protocol=replace(config.protocol, split=(4, 1, 1)))
    assert whole.digest() == config.digest()


def test_all_runs_are_one_table(open_store, tmp_path, config):
    with open_store() as store:
        append(store)
        append(store)
    with RunStore.open(tmp_path / "runs", replace(config, seed=1)) as store:
        append(store)
    table = load_runs(tmp_path / "runs")
    names = ["suite", "group", "label", "dataset", "strategy", "options", "seed", "run"]
    expected = [*names, "round", "labeled", "share", "case", "class", "metric", "value"]
    assert list(table.columns) == expected
    assert len(table) == 3 * 4 * 7
    assert set(table["dataset"]) == {"phantom"}
    assert set(table["run"]) == {run.folder.name for run in find_runs(tmp_path)}
    assert table["value"].dtype == float
    one = table[(table["seed"] == 0) & (table["round"] == 1)]
    values = one.set_index(["case", "metric"])["value"]
    assert values["all", "dice_volume"] == values["x", "dice_volume"] == 0.35
    assert values["all", "val_dice_volume"] == 0.2
    assert np.isnan(values["all", "dice_foreground"])
    assert np.isnan(values["x", "dice_foreground"])
    assert values["y", "dice_foreground"] == 0.5


def test_no_runs_are_an_empty_table(tmp_path):
    table = load_runs(tmp_path)
    assert len(table) == 0
    assert "value" in table.columns


def test_scores_csv_holds_what_the_records_hold(open_store, folder):
    with open_store() as store:
        append(store)
        append(store)
    table = pd.read_csv(folder / "scores.csv")
    pd.testing.assert_frame_equal(table, load_runs(folder)[["round", "case", "class", "metric", "value"]])


def test_the_metrics_of_every_class_are_in_the_table():
    liver = ClassMetrics(metrics(0.5), metrics(0.75), {"x": metrics(0.25)})
    rows = {row[:3]: row[3] for row in scores(replace(record(0), classes={"liver": liver}))}
    assert rows[ALL, "liver", "dice_volume"] == 0.5
    assert rows[ALL, "liver", "val_dice_volume"] == 0.75
    assert rows["x", "liver", "dice_volume"] == 0.25
    assert rows["x", ALL, "dice_volume"] == 0.25
    assert ("y", "liver", "dice_volume") not in rows


def test_runs_are_found_at_any_depth(open_store, tmp_path, folder):
    assert find_runs(tmp_path) == []
    write_round(open_store)
    assert [run.folder for run in find_runs(tmp_path)] == [run.folder for run in find_runs(folder)] == [folder]


@pytest.mark.parametrize(
    ("records", "rounds", "finished"),
    [
        ((), 2, False),
        ((record(0),), 2, False),
        ((record(0), record(1), record(2)), 2, True),
        ((record(0),), 0, True),
        ((record(0), record(1, unlabeled=0)), 9, True),
    ],
)
def test_a_run_is_finished_when_all_rounds_are_done_or_no_slice_is_unlabeled(records, rounds, finished):
    assert RunProgress.of(records).finished(rounds) is finished


@pytest.mark.slow
def test_a_full_disk_while_writing_a_round_keeps_the_earlier_ones_and_the_run_continues(tmp_path, tiny_run):
    limits = ["10", "1000", "20000"]
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path), " ".join(limits), str(Path(__file__).parents[1])]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    errors = result.stdout.splitlines()
    assert len(errors) == len(limits), result.stderr
    whole = tiny_run("entropy", out="whole")
    for limit, error in zip(limits, errors, strict=True):
        assert error.startswith(f"the disk must have room for '{tmp_path / limit}/")
        assert error.endswith("free some space and run the same command again; finished rounds are kept")
        (run,) = find_runs(tmp_path / limit)
        assert len(run.records) == 1
        assert not list(run.folder.rglob("*.tmp"))
        resumed = tiny_run("entropy", out=limit)
        assert results(resumed.records) == results(whole.records)
        assert len(resumed.records) == 3


def test_an_output_folder_that_is_a_file_is_one_sentence(tmp_path, config):
    (tmp_path / "runs").write_text("")
    with (
        pytest.raises(StoreError, match=r"must be writable, the system says '.*': choose another folder"),
        RunStore.open(tmp_path / "runs", config),
    ):
        pass


def test_runs_are_loaded_from_a_path_or_its_name_and_a_missing_folder_is_one_sentence(open_store, tmp_path):
    write_round(open_store)
    assert len(load_runs(str(tmp_path))) == len(load_runs(tmp_path)) > 0
    with pytest.raises(StoreError, match=r"runs must be in an existing folder, '.*nowhere' is not one: give the --out"):
        load_runs(tmp_path / "nowhere")


def test_a_failure_is_noted_counted_and_removed_by_the_next_round(open_store, folder):
    write_round(open_store)
    write_failure(folder, "it broke", "trace")
    write_failure(folder, "it broke again", "trace")
    failure = RunReader(folder).failure
    assert failure is not None
    assert (failure.error, failure.round, failure.attempts) == ("it broke again", 1, 2)
    write_round(open_store)
    assert RunReader(folder).failure is None


def test_the_name_of_an_npz_that_holds_no_masks_is_told(open_store, folder):
    write_round(open_store)
    np.savez(folder / "rounds" / "00" / "pseudo.npz", other=np.zeros(3))
    with pytest.raises(
        StoreError, match=r"pseudo.npz' must hold packed masks \(ids, masks, width\), it holds something"
    ):
        RunReader(folder).pseudo(0)
    assert isinstance(RunReader(folder).predictions(0), PackedMasks)


def test_the_progress_of_a_run_reads_one_record_unless_the_lines_are_not_in_order(open_store, folder, monkeypatch):
    with open_store() as store:
        append(store)
        append(store)
    read = []
    decode = albench.runs.reader.decode
    monkeypatch.setattr(albench.runs.reader, "decode", lambda cls, *own: read.append(own[1]) or decode(cls, *own))
    path = folder / "rounds.jsonl"
    progress = RunReader(folder).progress
    assert (progress.done, [where[-7:] for where in read]) == (2, ["line 2,"])
    assert progress.last == RunReader(folder).records[1]
    first, second = path.read_text().splitlines()
    for changed in ([second, first], [first[:-9], second], [first.replace('"previous"', '"before"'), second]):
        path.write_text("\n".join(changed) + "\n")
        read.clear()
        with suppress(StoreError):
            assert RunReader(folder).progress.done == 2
        assert read[0].endswith("line 1,")


def test_a_file_of_arrays_holds_those_that_it_was_given_and_no_other(tmp_path):
    arrays = {"masks": np.arange(6).reshape(2, 3), "case": np.array(["a", "b"])}
    write_arrays(tmp_path / "arrays.npz", arrays)
    stored = read_arrays(tmp_path / "arrays.npz")
    assert stored.keys() == arrays.keys()
    assert all(np.array_equal(stored[name], arrays[name]) for name in arrays)


def test_an_array_of_python_objects_is_not_written(tmp_path):
    arrays = {"masks": np.zeros(3), "case": np.array(["a", None])}
    with pytest.raises(StoreError) as error:
        write_arrays(tmp_path / "arrays.npz", arrays)
    assert str(error.value) == "an array must hold numbers or text, 'case' holds Python objects: convert it"
    assert list(tmp_path.iterdir()) == []
