import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.samples import TINY, without_times

import albench
from albench.data import Split
from albench.errors import StoreError
from albench.resolve import resolve
from albench.cli.status import run_states
from albench.runs.store import (
    RunStore,
    config_as_dict,
    find_runs,
    is_finished,
    is_running,
    load_runs,
    read_config,
    read_masks,
    read_records,
    run_folder,
)
from albench.strategy import Query

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
from albench.errors import StoreError
from albench.loop import Execution, run, NullCallback
from albench.resolve import resolve

class FillsTheDisk(NullCallback):
    def round(self, record):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))

torch.set_num_threads(1)
resolved = resolve("entropy", "phantom", settings=TINY)
try:
    run(resolved.config, resolved.strategy, resolved.prepared, Path(sys.argv[1]),
        Execution(torch.device("cpu")), FillsTheDisk())
except StoreError as error:
    print(error)
"""


@pytest.fixture
def config():
    return resolve("random", "phantom", settings=TINY).config


@pytest.fixture
def open_store(tmp_path, config):
    return lambda: RunStore.open(tmp_path / "runs", config)


@pytest.fixture
def folder(tmp_path, config):
    return run_folder(tmp_path / "runs", config)


@pytest.fixture
def pool(make_round):
    return make_round().pool


def record(index: int, unlabeled: int = 10) -> dict[str, object]:
    metrics = {"dice_volume": 0.25 + index, "dice_foreground": None}
    return {
        "round": index,
        "labeled": 20 - unlabeled,
        "unlabeled": unlabeled,
        "share": 1 - unlabeled / 20,
        "test": {"dice_slice": 0.1, **metrics},
        "val": {"dice_slice": 0.2},
        "cases": {"x": metrics, "y": {"dice_volume": 1.0, "dice_foreground": 0.5}},
    }


def append(store: RunStore, pool, *, keep_weights: bool = False, width: int = 13) -> tuple[dict, dict]:
    """Store a made-up round: its pseudo-labels and weights."""
    rng = np.random.default_rng(len(store.records))
    pseudo = {i: rng.integers(0, 2, (5, width)).astype(np.uint8) for i in (7, 2, 30)}
    weights = {"a": torch.randn(3, 4), "count": torch.tensor(len(store.records))}
    query = Query(pool.unlabeled[[3, 1]], pseudo, np.linspace(0, 1, len(pool.unlabeled)) / 3, {"threshold": 0.1 + 0.2})
    store.append(record(len(store.records)), query, pseudo, pool, weights, {4: pseudo[2]}, keep_weights=keep_weights)
    return pseudo, weights


def write_round(open_store, pool) -> None:
    with open_store() as store:
        append(store, pool)


@pytest.mark.parametrize("width", [1, 7, 8, 13, 32])
def test_what_a_round_leaves_is_what_the_next_one_starts_from(open_store, pool, width):
    with open_store() as store:
        append(store, pool, width=width)
        pseudo, weights = append(store, pool, width=width)
    with open_store() as store:
        state = store.resume(np.array([0, 4]))
        assert store.records == [record(0), record(1)]
    asked = pool.unlabeled[[3, 1]].tolist()
    assert state.purchases == [[0, 4], asked, asked]
    assert dict(state.pseudo).keys() == pseudo.keys()
    for i, mask in pseudo.items():
        np.testing.assert_array_equal(state.pseudo[i], mask)
        assert state.pseudo[i].dtype == np.uint8
    assert state.weights is not None
    assert all(torch.equal(state.weights[key], weights[key]) for key in weights)


def test_before_the_first_round_there_is_nothing_but_the_initial_set(open_store):
    with open_store() as store:
        state = store.resume(np.array([0, 4]))
        assert (store.records, store.finished) == ([], False)
    assert (state.purchases, dict(state.pseudo), state.weights) == ([[0, 4]], {}, None)


def test_a_round_without_pseudo_labels_is_one_too(open_store, pool):
    with open_store() as store:
        store.append(record(0), Query.nothing(), {}, pool, {}, {}, keep_weights=False)
        assert len(store.resume(np.array([0])).pseudo) == 0
        assert json.loads((store.folder / "rounds" / "00" / "query.json").read_text())["scores"] is None


def test_the_query_is_written_with_names_and_scores(open_store, pool, folder):
    write_round(open_store, pool)
    query = json.loads((folder / "rounds" / "00" / "query.json").read_text())
    assert query["ids"] == pool.unlabeled[[3, 1]].tolist()
    slices = pool.slices
    expected = [{"case": slices.cases[slices.case[i]], "position": slices.position[i]} for i in query["ids"]]
    assert query["slices"] == expected
    scores = np.linspace(0, 1, len(pool.unlabeled)) / 3
    assert {int(i): s for i, s in query["scores"].items()} == dict(zip(pool.unlabeled.tolist(), scores, strict=True))
    assert list(read_masks(folder / "rounds" / "00" / "showcase.npz")) == [4]


def test_where_a_run_began_is_written_once_and_on_what_it_runs_every_time(open_store, pool, folder):
    for python, initial in (("3.10", [0, 4]), ("3.13", [1])):
        with open_store() as store:
            store.begin(Split(("a",), ("b",), ("c",)), np.array(initial), pool, {"python": python})
    split = json.loads((folder / "split.json").read_text())
    assert (split["train"], split["val"], split["test"]) == (["a"], ["b"], ["c"])
    assert [named["position"] for named in split["initial"]] == pool.slices.position[[0, 4]].tolist()
    assert json.loads((folder / "environment.json").read_text()) == {"python": "3.13"}


@pytest.mark.parametrize(("keep", "left"), [(False, ["02"]), (True, ["00", "01", "02"])])
def test_only_the_latest_weights_are_kept_unless_asked(open_store, pool, folder, keep, left):
    with open_store() as store:
        for _ in range(3):
            append(store, pool, keep_weights=keep)
    assert sorted(path.parent.name for path in folder.rglob("weights.pt")) == left
    with open_store() as store:
        store.tidy(keep_weights=False)
    assert [path.parent.name for path in folder.rglob("weights.pt")] == ["02"]


def test_tidying_removes_what_a_killed_process_left_and_restores_what_follows_from_the_records(
    open_store, pool, folder
):
    write_round(open_store, pool)
    scores = (folder / "scores.csv").read_bytes()
    (folder / "scores.csv").unlink()
    leftovers = [folder / ".rounds.jsonl.17.tmp", folder / "rounds" / "01" / ".weights.pt.17.tmp"]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    with open_store() as store:
        store.tidy(keep_weights=False)
        assert not any(path.exists() for path in leftovers)
        assert (folder / "scores.csv").read_bytes() == scores
        append(store, pool)
    assert {path.name for path in (folder / "rounds" / "01").iterdir()} == {
        *("query.json", "pseudo.npz", "showcase.npz", "weights.pt")
    }


def test_files_of_a_round_without_a_record_are_replaced(open_store, pool, folder):
    write_round(open_store, pool)
    records = (folder / "rounds.jsonl").read_bytes()
    with open_store() as store:
        append(store, pool)
    (folder / "rounds.jsonl").write_bytes(records)  # killed just before the record
    (folder / "rounds" / "01" / "other.txt").write_text("old")
    with open_store() as store:
        assert len(store.records) == 1
        append(store, pool)
        assert store.records == [record(0), record(1)]
    assert not (folder / "rounds" / "01" / "other.txt").exists()


@pytest.mark.parametrize("damage", ['{"round": 0, "lab', "not JSON", "3", "\x00\x00"])
def test_damaged_records_are_refused_in_one_sentence(open_store, pool, folder, damage):
    write_round(open_store, pool)
    with (folder / "rounds.jsonl").open("a") as file:
        file.write(damage)
    with pytest.raises(StoreError, match=r"rounds.jsonl' must hold one JSON record per line, it is damaged: remove th"):
        write_round(open_store, pool)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("query.json", None),
        ("query.json", b"{"),
        ("query.json", b"[]"),
        ("pseudo.npz", None),
        ("pseudo.npz", b"PK"),
        ("weights.pt", None),
        ("weights.pt", b"half"),
    ],
)
def test_a_damaged_round_is_refused_in_one_sentence(open_store, pool, folder, name, content):
    write_round(open_store, pool)
    path = folder / "rounds" / "00" / name
    path.unlink() if content is None else path.write_bytes(content)
    with (
        open_store() as store,
        pytest.raises(StoreError, match=rf"'.*{name}' .* is missing or damaged: remove the run"),
    ):
        dict(store.resume(np.array([0])).pseudo)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 1}', "3", ""])
def test_damaged_settings_are_refused_in_one_sentence(open_store, folder, content):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(content)
    with pytest.raises(
        StoreError, match=r"'.*config.json' must be a run's settings, it is damaged: choose another --o"
    ):
        write_round(open_store, None)


def test_a_run_of_another_version_or_format_is_refused_in_one_sentence(open_store, folder, config):
    folder.mkdir(parents=True)
    written = config_as_dict(config)
    (folder / "config.json").write_text(json.dumps(written | {"albench": "0.0.1"}))
    with pytest.raises(StoreError, match=rf"was written by albench 0.0.1 and this is {albench.__version__}: choose"):
        write_round(open_store, None)
    (folder / "config.json").write_text(json.dumps(written | {"format": 99, "albench": "9.0"}))
    with pytest.raises(
        StoreError, match=r"must be of format 1, albench 9.0 wrote format 99: read it with that version"
    ):
        write_round(open_store, None)
    with pytest.raises(StoreError, match="must be of format 1"):
        load_runs(folder)


def test_a_run_has_one_writer(open_store, tmp_path, folder):
    command = [sys.executable, "-c", _OPEN, str(tmp_path / "runs"), str(Path(__file__).parents[1])]
    with open_store():
        assert is_running(folder)
        second = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "a run must be written by one process, another one is at work in" in second
    assert "wait for it, or choose another --out" in second
    assert not is_running(folder)
    with open_store():
        pass


def test_runs_that_differ_do_not_share_a_folder(tmp_path, config):
    seeds = {run_folder(tmp_path, replace(config, seed=seed)) for seed in range(3)}
    assert len(seeds) == 3
    longer = replace(config, training=replace(config.training, epochs=3))
    assert run_folder(tmp_path, longer) != run_folder(tmp_path, config)
    assert run_folder(tmp_path, config).relative_to(tmp_path).parts[:2] == ("phantom", "random")


def test_all_runs_are_one_table(open_store, pool, tmp_path, config):
    with open_store() as store:
        append(store, pool)
        append(store, pool)
    with RunStore.open(tmp_path / "runs", replace(config, seed=1)) as store:
        append(store, pool)
    table = load_runs(tmp_path / "runs")
    expected = ["dataset", "strategy", "seed", "run", "round", "labeled", "share", "case", "metric", "value"]
    assert list(table.columns) == expected
    assert len(table) == 3 * (3 + 1 + 2 + 2)
    assert set(table["dataset"]) == {"phantom"}
    assert set(table["run"]) == {folder.name for folder in find_runs(tmp_path)}
    assert table["value"].dtype == float
    one = table[(table["seed"] == 0) & (table["round"] == 1)]
    values = one.set_index(["case", "metric"])["value"]
    assert values["all", "dice_volume"] == values["x", "dice_volume"] == 1.25
    assert values["all", "val_dice_slice"] == 0.2
    assert np.isnan(values["all", "dice_foreground"])
    assert np.isnan(values["x", "dice_foreground"])
    assert values["y", "dice_foreground"] == 0.5


def test_no_runs_are_an_empty_table(tmp_path):
    table = load_runs(tmp_path)
    assert len(table) == 0
    assert "value" in table.columns


def test_scores_csv_holds_what_the_records_hold(open_store, pool, folder):
    with open_store() as store:
        append(store, pool)
        append(store, pool)
    table = pd.read_csv(folder / "scores.csv")
    loaded = load_runs(folder)[["round", "case", "metric", "value"]]
    pd.testing.assert_frame_equal(table, loaded)


def test_runs_are_found_at_any_depth(open_store, pool, tmp_path, folder):
    assert find_runs(tmp_path) == []
    write_round(open_store, pool)
    assert find_runs(tmp_path) == find_runs(folder) == [folder]
    assert read_config(folder) is not None
    assert read_config(tmp_path) is None
    assert read_records(tmp_path) == []


@pytest.mark.parametrize(
    ("records", "rounds", "finished"),
    [
        ([], 2, False),
        ([record(0)], 2, False),
        ([record(0), record(1), record(2)], 2, True),
        ([record(0)], 0, True),
        ([record(0), record(1, unlabeled=0)], 9, True),
    ],
)
def test_a_run_is_finished_when_all_rounds_are_done_or_nothing_is_left(records, rounds, finished):
    assert is_finished(records, rounds) is finished


@pytest.mark.parametrize("limit", [10, 1_000, 20_000])
def test_a_full_disk_while_writing_a_round_keeps_the_earlier_ones_and_the_run_goes_on(tmp_path, tiny_run, limit):
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "runs"), str(limit), str(Path(__file__).parents[1])]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "the disk must have room for" in result.stdout, result.stderr
    assert "free some space and run the same command again; finished rounds are kept" in result.stdout
    (folder,) = find_runs(tmp_path / "runs")
    assert len(read_records(folder)) == 1
    assert not list(folder.rglob("*.tmp"))
    resumed, whole = tiny_run("entropy"), tiny_run("entropy", out="whole")
    assert [without_times(r) for r in resumed.records] == [without_times(r) for r in whole.records]
    assert len(resumed.records) == 3


def test_an_output_folder_that_is_a_file_is_one_sentence(tmp_path, config):
    (tmp_path / "runs").write_text("")
    with (
        pytest.raises(StoreError, match=r"must be writable, the system says '.*': choose another folder"),
        RunStore.open(tmp_path / "runs", config),
    ):
        pass


def test_a_run_can_be_moved(open_store, pool, tmp_path, folder):
    write_round(open_store, pool)
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert read_records(tmp_path / "elsewhere") == read_records(folder)
    pd.testing.assert_frame_equal(
        load_runs(tmp_path / "elsewhere").drop(columns="run"), load_runs(folder).drop(columns="run")
    )


def test_runs_are_loaded_from_a_path_or_its_name_and_a_missing_folder_is_one_sentence(open_store, pool, tmp_path):
    write_round(open_store, pool)
    assert len(load_runs(str(tmp_path))) == len(load_runs(tmp_path)) > 0
    with pytest.raises(StoreError, match=r"runs must be in an existing folder, '.*nowhere' is not one: give the --out"):
        load_runs(tmp_path / "nowhere")


def test_a_damaged_run_hides_no_other(open_store, pool, folder, tmp_path):
    write_round(open_store, pool)
    damaged = folder.with_name("seed-9-damaged")
    damaged.mkdir()
    (damaged / "config.json").write_text("{")
    states = {state.run: state.state for state in run_states(tmp_path)}
    assert states["seed-9-damaged"] == "damaged"
    assert len(states) == 2
