"""A bundle gives what its runs give, and nothing else: no image, no mask, no place of a file."""

import getpass
import gzip
import json
import re
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.made_runs import write_run, write_suite
from support.samples import invoke

from albench.bundles import Publication, is_bundle, read_bundle
from albench.errors import ConfigError, StoreError
from albench.reports import load, publish
from albench.reports.captions import warnings
from albench.reports.figures.figures import draw
from albench.reports.report import all_tables
from albench.runs import RunReader
from albench.runs.documents import write_document
from albench.runs.records import MaskQuality, ProcessesRecord

FRAMES = ("curves", "efficiency", "classes", "differences", "attribution", "variances", "ranks", "costs")
PSEUDO = MaskQuality(3, 0.5, 0.1, 0.7, 0.4)


def published(runs, folder, **options):
    publish(load(runs, **options), folder)
    return folder


@pytest.fixture
def study(tmp_path):
    """Two groups of a suite with several methods, classes, a reference, pseudo-labels, audits, and a failed run."""
    runs = tmp_path / "runs"
    listed = []
    for seed in range(3):
        for label, strategy, dice in (
            ("chance", "random", [0.5, 0.6, 0.65 + seed / 100]),
            ("star, ours", "star", [0.5, 0.62 + seed / 50, 0.7]),
        ):
            pseudo = {"pseudo": PSEUDO, "query_steps": 4} if strategy == "star" else {"audits": ["passed"]}
            made = write_run(runs, strategy, seed, dice, side=24, offsets=[0.02, -0.02], **pseudo)
            listed.append((label, "few", made))
        made = write_run(runs, "random", seed, [0.4, 0.5], settings={"training.epochs": 5}, classes=("a", "b"))
        listed.append(("chance", "classes", made))
        listed.append(("full", "few", write_run(runs, "full", seed, [0.8 + seed / 100], rounds=2)))
    listed.append(("chance", "few", runs / "made" / "random" / "seed-3-0"))
    write_suite(runs, listed, name="study")
    return runs


@pytest.mark.parametrize("options", [{}, {"metric": "hd95"}, {"metric": "val_dice_slice", "only": ["chance"]}])
def test_a_report_on_a_bundle_has_the_numbers_and_tables_of_one_on_its_runs(study, tmp_path, options):
    runs, bundle = load(study, **options), load(published(study, tmp_path / "bundle"), **options)
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(bundle, name)(), getattr(runs, name)(), check_exact=True)
    tables = list(all_tables(runs))
    assert len(tables) > 5
    named = [replace(t, sources=tuple(_of_runs(line) for line in t.sources)) for t in all_tables(bundle)]
    assert list(map(repr, named)) == list(map(repr, tables))  # equal NaN differ


def _of_runs(sentence):
    return sentence.replace("Results bundle of suite study", "Suite study")


def test_several_splits_and_datasets_are_those_of_the_runs(tmp_path):
    runs = tmp_path / "runs"
    for title in ("liver", "spleen"):
        for split in (0, 1):
            for seed in (0, 1):
                for strategy, last in (("random", 0.65), ("entropy", 0.7)):
                    dice = [0.5, 0.6 + seed / 50, last + split / 50]
                    settings = {"protocol.splits": 2, "protocol.split_seed": split, "data_key": title}
                    write_run(runs, strategy, seed, dice, settings=settings, title=title)
    bundle = published(runs, tmp_path / "bundle")
    for name in (*FRAMES, "ranks_over_datasets", "pairs_over_datasets", "penalties"):
        frame = getattr(load(bundle), name)()
        pd.testing.assert_frame_equal(frame, getattr(load(runs), name)(), check_exact=True)
        assert len(frame) or name in ("classes", "attribution"), name
    manifest = read_bundle(bundle).manifest
    assert (len(manifest.settings), len(manifest.splits), len(manifest.environments)) == (4, 1, 1)


def test_a_run_of_a_bundle_has_the_records_of_the_run(study, tmp_path):
    bundle = read_bundle(published(study, tmp_path / "bundle"))
    runs = {run.folder.name: run for run in map(RunReader, (path.parent for path in study.rglob("rounds.jsonl")))}
    assert {Path(one.folder).name for one in bundle.runs} == runs.keys()
    for one in bundle.runs:
        run, original = one.run, runs[Path(one.folder).name]
        assert [r.results() for r in run.records] == [r.results() for r in original.records]
        assert [r.cost for r in run.records] == [r.cost for r in original.records]
        assert (run.split, run.config, run.processes) == (original.split, original.config, original.processes)
        assert run.stored_config.albench == original.stored_config.albench
        assert run.ledger == json.loads(original.layout.records.read_text().splitlines()[-1])["sha256"]
        for index in range(len(run.records) - 1):
            assert run.query(index).slices == original.query(index).slices
            assert run.query(index).ids == original.query(index).ids
        audits = [[one and one.verdict for one in map(r.audit, range(len(r.records) - 1))] for r in (run, original)]
        assert audits[0] == audits[1]


def test_pandas_alone_gives_the_curves_from_the_table_of_scores(study, tmp_path):
    scores = pd.read_csv(published(study, tmp_path / "bundle") / "scores.csv.gz")
    mean = scores.query("case == 'all' and `class` == 'all' and metric == 'dice_volume' and label != 'full'")
    curves = load(study).curves()
    keys = ["group", "label", "seed", "round"]
    pd.testing.assert_series_equal(
        mean.set_index(keys).value.sort_index(), curves.set_index(keys).value.sort_index(), check_exact=True
    )
    cases = scores.query("case != 'all' and metric == 'dice_volume'").groupby([*keys, "class"]).value.mean()
    assert cases["few", "star, ours", 1, 1, "all"] == pytest.approx(0.64)


def test_a_bundle_has_floors_without_having_masks(tmp_path):
    """Predicting everything is recognized by the masks of a run, and by numbers of a bundle."""
    everything = {"empty_slice_fpr": 1.0, "empty_slice_share": 0.3}
    for strategy, kept in (("random", False), ("entropy", True)):
        write_run(tmp_path / "runs", strategy, 0, [0.02] * 3, side=40, measured=everything, everything=kept)
    bundle = published(tmp_path / "runs", tmp_path / "bundle")
    (runs,), (bundled,) = load(tmp_path / "runs").groups, load(bundle).groups
    assert runs.at_floor == bundled.at_floor == ["entropy"]
    assert bundled.floor == runs.floor
    assert not np.isnan(bundled.floor.everything)


def test_labels_groups_and_runs_that_are_left_out_are_those_of_the_suite(study, tmp_path):
    found = load(published(study, tmp_path / "bundle")).collection
    assert found.order == ("chance", "star, ours", "full")
    assert [problem.sentence for problem in found.problems] == ["chance on few, seed 3, is not in the bundle: missing"]
    assert (found.suite, found.digest, found.name) == ("study", "1a2b3c4d", "bundle")


def test_runs_of_equal_names_in_different_places_are_all_bundled(tmp_path):
    runs = tmp_path / "runs"
    listed = [(f"row {n}", "g", write_run(runs / n, "star", 0, [0.5, 0.6 + int(n) / 10])) for n in ("1", "2")]
    write_suite(runs, listed)
    bundle = load(published(runs, tmp_path / "bundle"))
    pd.testing.assert_frame_equal(bundle.curves(), load(runs).curves())


def test_methods_of_a_bundle_stand_beside_ones_own(study, tmp_path):
    bundle = published(study, tmp_path / "theirs")
    ours = tmp_path / "ours"
    write_run(ours, "entropy", 0, [0.5, 0.6, 0.7], side=24)
    write_run(ours, "random", 0, [0.5, 0.6, 0.7], side=24)
    results = load(ours, compare=bundle)
    (group,) = results.groups
    assert {*group.methods} == {"entropy", "random", "chance (theirs)", "star, ours (theirs)"}
    assert (
        "chance on classes, seed 0, of theirs is not compared: classes is ('a', 'b') and not ('foreground',) in ours"
        in [problem.sentence for problem in results.collection.problems]
    )
    drawings = {drawing.name: drawing for drawing in draw(results)}
    assert "Methods of a bundle have no images and are left out." in drawings["segmentations-made"].caption
    assert not [sentence for sentence in warnings(group) if "hardware" in sentence]


@pytest.mark.usefixtures("sketched")
def test_a_report_on_a_bundle_has_all_figures_but_those_of_slices(study, tmp_path, monkeypatch):
    bundle = published(study, tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    code, said = invoke("report", bundle)
    assert code == 0, said
    report = tmp_path / "report-bundle"
    kinds = {path.stem.partition("-")[0] for path in (report / "figures").iterdir()}
    assert {"curves", "positions"} <= kinds
    assert not kinds & {"segmentations", "queries", "attention"}
    page = (report / "index.html").read_text()
    links = [link for link in re.findall(r'href="([^"#:]+)"', page) if not (report / link).exists()]
    assert links == []
    assert sorted(path.name for path in bundle.iterdir()) == [
        *("bundle.json", "queries.csv.gz", "rounds.csv.gz", "scores.csv.gz")
    ]


def test_bundling_again_gives_the_same_tables(study, tmp_path):
    first, second = (published(study, tmp_path / name) for name in ("one", "two"))
    for name in ("scores.csv.gz", "rounds.csv.gz", "queries.csv.gz"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    before = (first / "bundle.json").read_bytes()
    assert published(study, first) == first
    assert (first / "bundle.json").read_bytes() == before


PRIVATE = "/home/alice/patients"


def _with_private_things(folder):
    """The run with a place of data, files, a path of its strategy, and a command line that tells all about a user."""
    run = RunReader(folder)
    config = replace(
        run.config,
        locations={"root": f"{PRIVATE}/data"},
        files={"network.weights": f"{PRIVATE}/weights.pt"},
        strategy=replace(run.config.strategy, spec=f"{PRIVATE}/mine.py:Mine"),
    )
    write_document(run.layout.config, replace(run.stored_config, run=config))
    command = (
        *("/home/alice/.venv/bin/albench", "run", "--strategy", f"{PRIVATE}/mine.py:Mine", "--out", "alice"),
        *(f"--set=data.root={PRIVATE}", "--set", "training.epochs=3", "--address", "workstation:6379"),
        *("--data-root", r"C:\Users\alice", "--storage", "s3://alice/runs", "~alice", "--token", "***"),
    )
    (process,) = run.processes
    environment = replace(process.environment, command=command)
    write_document(run.layout.environment, ProcessesRecord((replace(process, environment=environment),)))
    return RunReader(folder)


def _texts(bundle):
    return [
        gzip.decompress(c).decode() if c[:2] == b"\x1f\x8b" else c.decode()
        for c in (p.read_bytes() for p in bundle.iterdir())
    ]


def test_a_bundle_tells_nothing_private(tmp_path, monkeypatch):
    import albench.reports.runs as read_runs

    write_run(tmp_path / "alice", "random", 0, [0.5, 0.6])
    monkeypatch.setattr(read_runs, "verify", lambda _: [])  # the run is changed below, as nobody could in earnest
    (folder,) = (path.parent for path in (tmp_path / "alice").rglob("rounds.jsonl"))
    run = _with_private_things(folder)
    assert PRIVATE in run.layout.config.read_text()
    bundle = published(tmp_path / "alice", tmp_path / "bundle")
    text = "\n".join(_texts(bundle))
    for private in ("alice", "/home", "workstation", "s3:", "Users", str(tmp_path), socket.gethostname()):
        assert private not in text, private
    assert not re.search(rf"[/\\]{getpass.getuser()}\b", text)
    (command,) = read_bundle(bundle).manifest.commands
    assert command == (
        "albench run --strategy mine.py:Mine --out ... --set=... --set training.epochs=3 --address ... --data-root ... "
        "--storage ... ... --token ***"
    )
    assert read_bundle(bundle).runs[0].run.config.digest() == run.config.digest()


def test_what_the_runs_do_not_record_is_stated(study, tmp_path):
    publish(load(study), tmp_path / "bundle", Publication("CC BY 4.0", "CC BY-SA 4.0", "abc"))
    manifest = read_bundle(tmp_path / "bundle").manifest
    assert (manifest.license, manifest.data_license) == ("CC BY 4.0", "CC BY-SA 4.0")
    assert manifest.commits == ("c0ffee",)  # which the runs record
    assert manifest.hardware == ("cpu, 1 thread",)
    assert manifest.commands == ("albench run",)
    publish(load(study), tmp_path / "bundle")
    manifest = read_bundle(tmp_path / "bundle").manifest
    assert (manifest.license, manifest.data_license) == ("not stated", "not stated")


def test_a_suite_on_ray_is_repeated_by_its_name(tmp_path, monkeypatch):
    import support.made_runs as made

    worker = ("/opt/ray/_private/workers/default_worker.py", "--node-ip-address=10.0.0.7")
    usual = made._environment
    monkeypatch.setattr(made, "_environment", lambda *a: replace(usual(*a), command=worker, commit=None))
    run = write_run(tmp_path / "runs", "random", 0, [0.5, 0.6])
    write_suite(tmp_path / "runs", [("random", "g", run)], name="menu")
    publish(load(tmp_path / "runs"), tmp_path / "bundle", Publication(commit="abc"))
    manifest = read_bundle(tmp_path / "bundle").manifest
    assert (manifest.commands, manifest.commits) == (("albench bench menu",), ("abc",))
    assert "10.0.0.7" not in "".join(_texts(tmp_path / "bundle"))


def test_a_name_that_tells_of_a_place_is_rejected(tmp_path):
    run = write_run(tmp_path / "runs", "random", 0, [0.5, 0.6])
    write_suite(tmp_path / "runs", [(f"random of {PRIVATE}", "g", run)])
    with pytest.raises(StoreError) as error:
        published(tmp_path / "runs", tmp_path / "bundle")
    assert str(error.value) == (
        f"a bundle must not tell where files lie, a name or text in it has '{PRIVATE}': change it in the suite or the "
        "data"
    )
    assert not (tmp_path / "bundle" / "bundle.json").exists()


def test_a_note_of_a_strategy_that_tells_of_a_place_is_rejected(tmp_path):
    write_run(tmp_path / "runs", "random", 0, [0.5, 0.6], predictions={f"from {PRIVATE}": PSEUDO})
    with pytest.raises(StoreError, match=r"^a bundle must not tell where files lie, .* has '/home/alice/patients'"):
        published(tmp_path / "runs", tmp_path / "bundle")


def test_a_class_that_is_called_as_all_of_them_is_rejected(tmp_path):
    write_run(tmp_path / "runs", "random", 0, [0.5, 0.6], classes=("a", "all"))
    with pytest.raises(
        StoreError, match=r"^a class of a bundle must not be called 'all', which stands for all: rename"
    ):
        published(tmp_path / "runs", tmp_path / "bundle")


def test_a_bundle_is_made_of_runs_only(study, tmp_path):
    bundle = published(study, tmp_path / "bundle")
    with pytest.raises(ConfigError) as error:
        published(bundle, tmp_path / "again")
    assert str(error.value) == f"a bundle must be made of runs, '{bundle}' is a bundle already: copy it"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--license", "MIT"], "--license must be of a bundle, got 'MIT': name its folder with --bundle"),
        (["--commit", "abc"], "--commit must be of a bundle, got 'abc': name its folder with --bundle"),
        (["--bundle", "b", "--compare", "runs"], "a bundle must be of one folder, got --compare runs: leave it out"),
        (["--bundle", "used"], "a bundle must have its own folder, 'used' holds 'notes.txt': name another --bundle"),
        (["--bundle", "used/notes.txt"], "'used/notes.txt' must be writable, the system says 'Not a directory'"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path, monkeypatch, options, sentence):
    write_run(tmp_path / "runs", "random", 0, [0.5, 0.6])
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    code, said = invoke("report", "runs", *options)
    assert (code, sentence in said) == (2, True), said
    assert not is_bundle(tmp_path / "used")


def test_the_command_writes_a_bundle_and_no_report(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = invoke("report", "runs", "--bundle", "mine", "--license", "CC0", "--only", "chance")
    assert code == 0
    assert "wrote mine/bundle.json wrote mine/scores.csv.gz wrote mine/rounds.csv.gz wrote mine/queries.csv.gz" in said
    assert not (study / "report").exists()
    assert {method.label for method in read_bundle(Path("mine")).manifest.methods} == {"chance", "full"}
