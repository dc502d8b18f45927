"""What is wrong with a bundle is one sentence; what an older albench did not know yet is a missing value."""

import gzip
import hashlib
import json
import re
from dataclasses import replace

import pytest
from support.made_runs import write_run
from support.samples import invoke

from albench.bundles import Origin, Publication, read_bundle, write_bundle
from albench.bundles.tables import Named
from albench.errors import StoreError
from albench.reports import load, publish
from albench.runs import RunReader
from albench.runs.documents import encode_content
from albench.runs.records import FitSummary, PhaseSeconds, SliceName


@pytest.fixture
def bundle(tmp_path):
    write_run(tmp_path / "runs", "random", 0, [0.5, 0.6, 0.7], audits=["passed"])
    publish(load(tmp_path / "runs"), tmp_path / "bundle")
    return tmp_path / "bundle"


def rewrite(bundle, table, edit):
    """Edit a table, and its hash with it."""
    path = bundle / table
    path.write_bytes(gzip.compress(edit(gzip.decompress(path.read_bytes()).decode()).encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    redocument(bundle, lambda content: content["files"].update({table: digest}))


def redocument(bundle, edit):
    """Edit the manifest, and its hash with it."""
    path = bundle / "bundle.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    edit(content)
    path.write_text(encode_content(content))


def append(path):
    path.write_bytes(path.read_bytes() + b" ")


def replace_text(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda b: (b / "scores.csv.gz").unlink(),
            "'{b}/scores.csv.gz' is missing: get the bundle again",
        ),
        (
            lambda b: append(b / "rounds.csv.gz"),
            "'{b}/rounds.csv.gz' was changed after the bundle was written, it does not match its SHA-256 in "
            "'bundle.json': get the bundle again",
        ),
        (
            lambda b: replace_text(b / "bundle.json", '"label": "random"', '"label": "mine"'),
            "'{b}/bundle.json' was changed after it was written, its content does not match its SHA-256: get the "
            "bundle again",
        ),
        (
            lambda b: (b / "bundle.json").write_text("{"),
            "'{b}/bundle.json' must hold JSON, it is damaged (Expecting property name enclosed in double quotes: line "
            "1 column 2 (char 1)): get the bundle again",
        ),
        (
            lambda b: redocument(b, lambda content: content.update(format=2, albench="9.0.0")),
            "'{b}/bundle.json' must be of format 1, albench '9.0.0' wrote format 2: read it with that version, or use "
            "another folder",
        ),
        (
            lambda b: redocument(b, lambda content: content.update(secret=1)),
            "'{b}/bundle.json' must be as albench wrote it, secret is not known to this version, it is 1: get the "
            "bundle again",
        ),
        (
            lambda b: redocument(b, lambda content: content["settings"][0]["training"].update(epochs=7)),
            "'{b}' must be a bundle as albench wrote it, the settings of {run} belong to '{other}': get the "
            "bundle again",
        ),
        (
            lambda b: redocument(b, lambda content: content["settings"][0]["training"].update(epochs="many")),
            "'{b}' must be a bundle as albench wrote it, training.epochs of {run} is wrong (Input should be a valid "
            "integer, unable to parse string as an integer): get the bundle again",
        ),
        (
            lambda b: redocument(b, lambda content: content["methods"][0]["runs"][0].update(settings=3)),
            "'{b}' must be a bundle as albench wrote it, IndexError: tuple index out of range: get the bundle again",
        ),
        (
            lambda b: rewrite(b, "rounds.csv.gz", lambda text: re.sub(r"\n[^\n]*,1,15,.*\n", "\n", text, count=1)),
            "'{b}' must be a bundle as albench wrote it, round 2 of {run} is out of order: get the bundle again",
        ),
        (
            lambda b: rewrite(b, "rounds.csv.gz", lambda text: text.replace(",passed", ",praised")),
            "'{b}' must be a bundle as albench wrote it, an audit must be one of passed, looked, unrepeatable, got "
            "'praised': get the bundle again",
        ),
        (
            lambda b: rewrite(b, "scores.csv.gz", lambda text: text.replace("dice_volume", "dice_future")),
            "'{b}' must be a bundle as albench wrote it, the metric dice_future is not known to this version: get the "
            "bundle again",
        ),
        (
            lambda b: rewrite(b, "scores.csv.gz", lambda text: text.replace("dice_volume,0.7", "dice_volume,7")),
            "'{b}' must be a bundle as albench wrote it, test.dice_volume of round 2 of {run} is wrong (Input should "
            "be less than or equal to 1.000000001): get the bundle again",
        ),
        (
            lambda b: rewrite(b, "queries.csv.gz", lambda text: text.replace("position", "place")),
            "'{b}' must be a bundle as albench wrote it, KeyError: 'position': get the bundle again",
        ),
    ],
)
def test_a_bundle_that_is_damaged_edited_or_newer_is_one_sentence(bundle, tmp_path, damage, sentence):
    (run,) = (one.folder for one in read_bundle(bundle).runs)
    damage(bundle)
    other = "seed-0-[0-9a-f]{8}"
    expected = re.escape(sentence.format(b=bundle, run=run, other="OTHER")).replace("OTHER", other)
    with pytest.raises(StoreError) as error:
        read_bundle(bundle)
    assert re.fullmatch(expected, str(error.value)), str(error.value)
    for arguments in ([bundle], [tmp_path / "runs", "--compare", bundle]):
        code, said = invoke("report", *arguments, "--format", "markdown")
        assert (code, said) == (2, f"albench: {error.value}")


def test_a_metric_or_field_that_a_bundle_does_not_have_is_a_missing_value(bundle):
    rewrite(bundle, "scores.csv.gz", lambda text: re.sub(r"[^\n]*,(val_)?nsd,[^\n]*\n", "", text))
    rewrite(bundle, "rounds.csv.gz", lambda text: text.replace("cost.cpu_seconds", "formerly"))
    (run,) = (one.run for one in read_bundle(bundle).runs)
    assert {record.test.nsd for record in run.records} == {None}
    assert {record.cost.cpu_seconds for record in run.records} == {None}


class Changed(RunReader):
    """A run with another last record and other queries than its files have."""

    def __init__(self, folder, change, name):
        super().__init__(folder)
        self._change, self._name = change, name

    @property
    def records(self):
        *before, last = super().records
        return (*before, self._change(last))

    def query(self, index):
        query = super().query(index)
        return replace(query, slices=tuple(SliceName(self._name, one.position) for one in query.slices))


@pytest.mark.parametrize("name", ["=1+1", "'quoted", "a,b", 'two "words"', "-5 mm", "ä", "val", "test"])
def test_any_name_and_number_is_read_as_it_was_written(tmp_path, name):
    """Names that a spreadsheet takes for formulas, exact floats, and records with and without nested parts."""
    folder = write_run(tmp_path, "random", 0, [0.5, 0.6])

    def change(record):
        metrics = replace(record.test, dice_volume=0.1 + 0.2, hd95=1e-300, nsd=None)
        fit = FitSummary(name, 2, 1, 10, 5, 160, float(1 / 3), None, {name: 0.1})
        cost = replace(
            record.cost,
            cpu_seconds=PhaseSeconds(1.5, 0.0, 1e9),
            fit_epoch_seconds=tuple(index / 7 for index in range(9000)),
            peak_device_memory=2**40,
            device=name,
        )
        return replace(
            *(record,),
            cases={name: metrics, "other": record.test},
            notes={name: [0.5, 1.0], "one": 2.0},
            predictions={name: replace(record.pseudo, count=2, dice=2 / 3)},
            query_trainings=(fit, fit),
            cost=cost,
        )

    run = Changed(folder, change, name)
    write_bundle(tmp_path / "bundle", [Named("a", "b", "c", f"d/{folder.name}", run)], Origin(), Publication())
    (read,) = (one.run for one in read_bundle(tmp_path / "bundle").runs)
    assert [record.results() for record in read.records] == [record.results() for record in run.records]
    assert [record.cost for record in read.records] == [record.cost for record in run.records]
    assert read.query(0).slices == run.query(0).slices
