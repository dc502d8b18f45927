"""A stored run for notebooks and tables: `albench.open_run`, `albench.bench` and `albench queries`."""

import csv

import nibabel as nib
import numpy as np
import pytest
from support.samples import TINY, TINY_TRAINING, invoke
from support.suites import write_suite

import albench
from albench.errors import ConfigError, DataError
from albench.opened_run import COLUMNS
from albench.runs.scores import ALL, scores


@pytest.fixture
def done(tiny_run):
    """A run of three rounds, two of which have a query of three slices."""
    return albench.open_run(tiny_run("entropy").folder)


@pytest.fixture
def on_files(tmp_path, decathlon):
    """A run on NIfTI volumes whose first axis runs to the right and whose third is thick."""
    settings = TINY_TRAINING | {"data.root": str(decathlon), "protocol.budget": 3}
    return albench.run("random", "folder", settings=settings, out=tmp_path / "runs", device="cpu")


def test_the_curve_has_every_metric_of_the_scores(done):
    curve = done.curve()
    assert curve["round"].tolist() == [0, 1, 2]
    assert curve["labeled"].tolist() == [record.labeled for record in done.records]
    for record, (_, row) in zip(done.records, curve.iterrows(), strict=True):
        expected = {metric: value for case, name, metric, value in scores(record) if case == name == ALL}
        found = row.drop(["round", "labeled", "share"]).to_dict()
        assert found == pytest.approx({k: np.nan if v is None else v for k, v in expected.items()}, nan_ok=True)


def test_the_queries_are_those_of_the_records_with_their_scores(done):
    table = done.queries()
    assert list(table.columns) == list(COLUMNS)
    for index, of_round in table.groupby("round"):
        query = done.query(index)
        assert list(zip(of_round.case, of_round.position, strict=True)) == [(s.case, s.position) for s in query.slices]
        assert of_round["rank"].tolist() == [1, 2, 3]
        assert of_round.score.tolist() == [query.scores[str(row)] for row in query.ids]
        assert of_round.score.is_monotonic_decreasing
    assert len(table) == 6
    assert table["index"].tolist() == table.position.tolist()  # generated cases are no files
    assert table.mm.tolist() == (3.0 * table.position).tolist()


def test_the_masks_are_the_predictions_without_padding(done):
    kept, masks = done.snapshots(), done.masks(1)
    assert [*masks] == list(zip(kept["cases"].tolist(), kept["positions"].tolist(), strict=True))
    for row, (height, width), mask in zip(kept["ids"], kept["valid"], masks.values(), strict=True):
        assert mask.shape == (height, width)
        assert np.array_equal(mask, done.predictions(1)[int(row)][:height, :width])
    assert all(np.array_equal(mask, done.masks(2)[key]) for key, mask in done.masks(-1).items())
    with pytest.raises(
        ConfigError, match=r"^a round must be one of the 3 finished ones from 0, got 3: choose another$"
    ):
        done.masks(3)


def test_the_truth_and_the_images_are_those_of_the_same_slices(done):
    kept, masks = done.snapshots(), done.masks(-1)
    for name, found in (("masks", done.truth()), ("images", done.images())):
        assert [*found] == [*masks]
        for whole, part, mask in zip(kept[name], found.values(), masks.values(), strict=True):
            assert part.shape == mask.shape
            assert np.array_equal(part, whole[: len(part), : len(part[0])])


def test_a_run_says_what_it_is(done):
    assert repr(done) == f"<run of entropy on phantom, seed 0: 3 of 3 rounds, in '{done.folder}'>"


def test_every_slice_has_the_round_in_which_it_was_asked(on_files, decathlon, tmp_path):
    asked = on_files.asked()
    assert {case: len(when) for case, when in asked.items()} == dict(on_files.split.slices)
    for value, names in ((1, on_files.split.initial), (2, on_files.query(0).slices)):
        found = {(case, int(z)) for case, when in asked.items() for z in np.flatnonzero(when == value)}
        assert found == {(name.case, name.position) for name in names}
    for path in on_files.write_nifti(tmp_path / "volumes"):
        image, own = nib.load(path), nib.load(decathlon / "imagesTr" / path.name)
        assert image.shape == own.shape
        assert np.array_equal(image.affine, own.affine)
        assert image.get_data_dtype() == np.uint8
        values = np.asarray(image.dataobj)
        when = asked[path.name.removesuffix(".nii.gz")]
        assert all((values[:, :, z] == when[z]).all() for z in range(8))  # of +z, as positions count
    assert sorted(path.name for path in (tmp_path / "volumes").iterdir()) == [
        f"{case}.nii.gz" for case in sorted(asked)
    ]


def test_the_command_prints_the_queries_and_writes_them(on_files, tmp_path):
    code, out = invoke("queries", on_files.folder)
    table = on_files.queries()
    assert code == 0
    assert all(f"{row.case} {row.position} - {row.index} {row.mm:.1f}" in out for row in table.itertuples(index=False))
    code, out = invoke("queries", on_files.folder, "--csv", tmp_path / "q.csv", "--nifti", tmp_path / "volumes")
    assert code == 0
    assert out.startswith(f"wrote {tmp_path / 'q.csv'} wrote {tmp_path / 'volumes'}")
    with (tmp_path / "q.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], int(row["index"]), float(row["mm"])) for row in rows] == [
        (row.case, row.index, row.mm) for row in table.itertuples(index=False)
    ]
    assert all(row["score"] == "" for row in rows)  # random gives none


def test_without_the_data_the_places_are_left_out(on_files, decathlon, tmp_path):
    moved = decathlon.rename(tmp_path / "moved")
    table = on_files.queries()
    assert table["index"].isna().all()
    assert table.mm.isna().all()
    code, out = invoke("queries", on_files.folder)
    assert code == 0
    assert "index and mm are left out, because the data are not there: " in out
    assert f"'{decathlon}'" in out
    code, out = invoke("queries", on_files.folder, "--nifti", tmp_path / "volumes")
    assert code == 2
    assert not (tmp_path / "volumes").exists()
    found = albench.open_run(on_files.folder, data_root=moved).queries()
    assert found.mm.tolist() == (3.0 * found.position).tolist()


def test_other_data_are_refused(on_files, decathlon):
    case = on_files.split.train[0]
    path = decathlon / "imagesTr" / f"{case}.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[:, :, :7], image.affine), path)
    rule = f"the data must be those of the run, case '{case}' has 7 slices instead of 8: name their place with --data-"
    with pytest.raises(DataError, match=rule):
        albench.open_run(on_files.folder).file_grids()
    for part in ("imagesTr", "labelsTr"):
        (decathlon / part / f"{case}.nii.gz").unlink()
    with pytest.raises(
        DataError, match=f"must be those of the run, 'Task99_Blob' has no case '{case}': name their place"
    ):
        albench.open_run(on_files.folder).file_grids()


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path):
    sentence = f"RUN must be the folder of a run, '{tmp_path}' has no config.json: see albench status"
    with pytest.raises(ConfigError, match=sentence):
        albench.open_run(tmp_path)
    assert invoke("queries", tmp_path) == (2, f"albench: {sentence}")


def test_a_suite_runs_from_python(tmp_path):
    suite = write_suite(tmp_path, ["random"], name="mine", seeds=1)
    settings = {name: value for name, value in TINY.items() if name != "protocol.rounds"} | {"protocol.rounds": 0}
    outcome = albench.bench(suite, settings=settings, seeds=[3], out=tmp_path / "runs", device="cpu")
    assert (outcome.folder, outcome.failures) == (tmp_path / "runs" / "mine", {})
    (run,) = outcome.finished
    assert albench.open_run(outcome.folder / run.folder).config.seed == 3
