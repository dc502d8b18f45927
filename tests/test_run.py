"""`albench.run`: one run from Python."""

import json
import sys
from dataclasses import replace

import pytest
from support.samples import TINY, invoke, tiny_arguments

import albench
from albench.callback import NullCallback
from albench.errors import ConfigError, StoreError
from albench.plugin_source import SourceFile
from albench.runs import find_runs, verify


class Recorder(NullCallback):
    """Keeps every event."""

    def __init__(self):
        self.events = []

    def on_start(self, config, records):
        self.events.append(("start", config.strategy.name, len(records)))

    def on_phase(self, round_index, name):
        self.events.append(("phase", round_index, name))

    def on_epoch(self, epoch, epochs, loss, val_loss):
        self.events.append(("epoch", epoch, epochs))

    def on_round(self, record):
        self.events.append(("round", record.round))


def start(out, **more):
    """A run of three rounds on the tiny phantom."""
    return albench.run("entropy", "phantom", settings=TINY, out=out, device="cpu", threads=1, **more)


def test_a_run_from_python_equals_the_run_of_the_command_line(tmp_path):
    done = start(tmp_path / "python", seed=1)
    code, output = invoke(
        *("run", "--strategy", "entropy", "--dataset", "phantom", "--seed", "1", "--out", tmp_path / "commands"),
        *tiny_arguments(),
    )
    assert code == 0, output
    other = albench.runs.RunReader(tmp_path / "commands" / done.folder.relative_to(tmp_path / "python"))
    assert done.finished
    assert done.config == other.config
    assert done.split == other.split
    assert [record.results() for record in done.records] == [record.results() for record in other.records]
    assert [done.query(index) for index in range(3)] == [other.query(index) for index in range(3)]
    assert verify(done) == verify(other) == []


def test_a_callback_is_called_in_the_order_of_the_run_and_a_finished_run_is_not_repeated(tmp_path):
    first, again = Recorder(), Recorder()
    done = start(str(tmp_path), callback=first)
    assert first.events[0] == ("start", "entropy", 0)
    without_epochs = [event for event in first.events[1:] if event[0] != "epoch"]
    assert without_epochs == [
        event
        for index in range(3)
        for event in [*(("phase", index, name) for name in ("fit", "evaluate", "query")), ("round", index)]
    ]
    assert ("epoch", 1, 2) in first.events
    assert first.events.index(("phase", 0, "fit")) < first.events.index(("epoch", 1, 2))
    before = done.layout.records.stat().st_mtime_ns
    same = start(tmp_path, callback=again)
    assert again.events == [("start", "entropy", 3)]
    assert same.folder == done.folder
    assert done.layout.records.stat().st_mtime_ns == before


def test_the_weights_of_every_round_are_kept_if_asked(tmp_path):
    only_last, all_kept = start(tmp_path / "a"), start(tmp_path / "b", keep_weights=True)
    assert [only_last.layout.round(index).weights.exists() for index in range(3)] == [False, False, True]
    assert [all_kept.layout.round(index).weights.exists() for index in range(3)] == [True, True, True]


def test_round_0_is_shared_between_runs_in_a_folder_unless_forbidden(tmp_path):
    start(tmp_path)
    shared = albench.run("random", "phantom", settings=TINY, out=tmp_path, device="cpu")
    assert shared.records[0].cost.steps == 0
    alone = albench.run("margin", "phantom", settings=TINY, out=tmp_path, device="cpu", share=False)
    assert alone.records[0].cost.steps > 0
    assert alone.records[0].test == shared.records[0].test


def test_credentials_of_environment_and_command_line_are_in_no_file(tmp_path, monkeypatch):
    secret = "correct-horse-7"
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD"):
        monkeypatch.setenv(name, secret)
    given = ["mine.py", "--token", secret, f"--password={secret}", f"s3://me:{secret}@host/runs", f"API_KEY={secret}"]
    monkeypatch.setattr(sys, "argv", given)
    done = start(tmp_path / "runs", keep_weights=True)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
    shown = ("mine.py", "--token", "***", "--password=***", "s3://***@host/runs", "API_KEY=***")
    assert done.environment.command == shown


def test_other_code_continues_a_run_only_with_the_option(tmp_path, monkeypatch):
    class Stops(NullCallback):
        def on_round(self, record):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, callback=Stops())
    monkeypatch.setattr("albench.runs.code_identity.own_source", lambda: "0123")
    with pytest.raises(StoreError, match=r"^a run must be continued by the code that wrote it, .* and this is 0123: "):
        start(tmp_path)
    command = ["run", "--strategy", "entropy", "--dataset", "phantom", "--out", tmp_path, *tiny_arguments()]
    code, output = invoke(*command)
    assert (code, "--accept-code-change, which writes the change down" in output) == (2, True)
    assert invoke(*command, "--accept-code-change")[0] == 0
    done = start(tmp_path)
    assert [(process.round, process.code == "0123") for process in done.processes] == [(0, False), (1, True)]
    assert verify(done) == []


MINE = """
from dataclasses import dataclass

from albench.strategy import Query, Strategy
from rules_of_an_edited_plugin import first


@dataclass(frozen=True)
class Mine(Strategy):
    def query(self, ctx):
        return Query(first(ctx.pool.unlabeled, ctx.budget))
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A strategy that imports its neighbor, and a function that edits one of the two files."""
    monkeypatch.syspath_prepend(tmp_path)

    def edit(name, text):
        (tmp_path / name).write_text(text)
        return str((tmp_path / name).resolve())

    edit("mine.py", MINE)
    edit("rules_of_an_edited_plugin.py", "def first(ids, count):\n    return ids[:count]\n")
    yield f"{tmp_path / 'mine.py'}:Mine", edit
    sys.modules.pop("rules_of_an_edited_plugin", None)


def stopped_after(count, strategy, out):
    """A run of a strategy that is interrupted after some rounds."""

    class Stops(NullCallback):
        def on_round(self, record):
            if record.round == count - 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        albench.run(strategy, "phantom", settings=TINY, out=out, device="cpu", threads=1, callback=Stops())


def test_a_run_of_an_edited_plugin_goes_on_only_with_the_option_in_the_same_folder(tmp_path, mine):
    spec, edit = mine
    out = tmp_path / "runs"
    stopped_after(2, spec, out)
    (run,) = find_runs(out)
    changed = [
        edit("mine.py", f"{MINE}EDITED = True\n"),
        edit("rules_of_an_edited_plugin.py", "def first(a, b): ...\n"),
    ]
    command = ["run", "--strategy", spec, "--dataset", "phantom", "--out", out, *tiny_arguments()]
    code, output = invoke(*command)
    assert (code, output) == (
        2,
        f"albench: a run must be continued by the code that wrote it, the rounds up to 1 of '{run.folder}' were made "
        f"under other code of '{changed[0]}', '{changed[1]}': use that code, another --out, or --accept-code-change, "
        "which writes the change down",
    )
    assert invoke(*command, "--accept-code-change")[0] == 0
    (done,) = find_runs(out)
    assert done.folder == run.folder
    assert [process.round for process in done.processes] == [0, 2]
    before, after = (process.plugins["strategy"] for process in done.processes)
    assert before.keys() == after.keys() == {"mine.py", "rules_of_an_edited_plugin"}
    assert set(before.values()).isdisjoint(after.values())
    assert done.config.strategy.code == run.config.strategy.code
    assert verify(done) == []
    assert invoke(*command)[0] == 0  # the change is accepted once


def test_a_run_of_a_plugin_whose_comments_were_edited_goes_on(tmp_path, mine):
    spec, edit = mine
    out = tmp_path / "runs"
    stopped_after(2, spec, out)
    edit("mine.py", f"# a comment\n{MINE}\n")
    edit("rules_of_an_edited_plugin.py", "def first(ids, count):  # of all\n    return (ids[ : count])\n")
    command = ["run", "--strategy", spec, "--dataset", "phantom", "--out", out, *tiny_arguments()]
    code, output = invoke(*command)
    assert code == 0, output
    (run,) = find_runs(out)
    assert len(run.records) == 3
    assert run.processes[0].plugins == run.processes[1].plugins
    assert verify(run) == []


def test_a_run_that_has_hashes_of_texts_goes_on_with_unchanged_texts(tmp_path, mine, monkeypatch):
    spec, edit = mine
    out = tmp_path / "runs"
    usual = SourceFile.of
    with monkeypatch.context() as former:
        former.setattr(SourceFile, "of", lambda path: replace(usual(path), digest=usual(path).text))
        stopped_after(2, spec, out)
    command = ["run", "--strategy", spec, "--dataset", "phantom", "--out", out, *tiny_arguments()]
    edit("mine.py", f"{MINE}# edited\n")
    code, output = invoke(*command)
    assert (code, "were made under other code of" in output) == (2, True)
    edit("mine.py", MINE)
    assert invoke(*command)[0] == 0


def test_a_finished_run_is_not_taken_for_that_of_an_edited_plugin(tmp_path, mine):
    spec, edit = mine
    command = ["run", "--strategy", spec, "--dataset", "phantom", "--out", tmp_path / "runs", *tiny_arguments()]
    assert invoke(*command)[0] == 0
    assert "this run is already finished" in invoke(*command)[1]
    edit("rules_of_an_edited_plugin.py", "def first(ids, count):\n    return ids[-count:]\n")
    code, output = invoke(*command)
    assert code == 2
    assert "the rounds up to 2 of" in output
    assert "rules_of_an_edited_plugin.py': use that code, another --out, or" in output
    assert "this run is already finished" in invoke(*command, "--accept-code-change")[1]


def test_a_file_that_an_edited_plugin_imports_no_more_is_named_as_its_module(tmp_path, mine):
    spec, edit = mine
    stopped_after(1, spec, tmp_path / "runs")
    edited = edit("mine.py", MINE.replace("from rules_of_an_edited_plugin import first\n", ""))
    with pytest.raises(StoreError, match=rf"other code of '{edited}', 'rules_of_an_edited_plugin': use that code"):
        albench.run(spec, "phantom", settings=TINY, out=tmp_path / "runs", device="cpu", threads=1)


def test_without_its_unlabeled_loss_taal_trains_as_random_does(tmp_path):
    random = albench.run("random", "phantom", settings=TINY, out=tmp_path, device="cpu")
    taal = albench.run("taal", "phantom", settings=TINY | {"strategy.weight": 0}, out=tmp_path, device="cpu")
    assert taal.records[0].test == random.records[0].test


def test_the_preparation_of_data_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    reported = []
    start(tmp_path / "runs", progress=lambda done, total, case: reported.append((done, total, case)))
    assert reported[-1][:2] == (6, 6)
    assert all(isinstance(case, str) for _, _, case in reported)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"seed": -1}, "a seed must be at least 0 and at most 9223372036854775807, got -1: choose another"),
        ({"device": "tpu"}, "--device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        ({"settings": {"training.epoch": 3}}, "got 'training.epoch': did you mean 'training.epochs'?"),
    ],
)
def test_a_wrong_argument_is_one_sentence(tmp_path, more, sentence):
    with pytest.raises(ConfigError) as error:
        albench.run("entropy", "phantom", out=tmp_path, **({"settings": TINY} | more))
    assert sentence in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_settings_of_a_run_are_json(tmp_path):
    done = start(tmp_path)
    stored = json.loads(done.layout.config.read_text())
    assert stored["albench"] == albench.__version__
    assert stored["run"]["training"]["epochs"] == 2
