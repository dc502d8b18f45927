import shutil

import nibabel as nib
import numpy as np
import pytest
from support.layouts import brats
from support.samples import invoke, tiny_training_arguments
from support.slow import slow_but

from albench.benchmarks.suite import load_suite
from albench.data import prepare, split_volumes
from albench.errors import DataError
from albench.registry import DATASETS, find

YEARS = (2019, 2020, 2021, 2023)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))


def make(root, year=2019, **options):
    grade = "LGG" if year in (2019, 2020) else "any"
    return find(DATASETS, "brats")(root=str(root), **({"grade": grade, "size": None} | options))


@pytest.mark.parametrize("year", YEARS)
def test_the_naming_of_every_year_is_read(tmp_path, year):
    root = brats(tmp_path, year)
    data = make(root, year)
    assert len(data.cases()) == 6
    case = data.cases()[0]
    folder = next(root.rglob(case))
    (flair,) = [path for path in folder.iterdir() if path.name.endswith(("_flair.nii.gz", "-t2f.nii.gz"))]
    (mask,) = [path for path in folder.iterdir() if "seg" in path.name.lower()]
    volume = data.load(case)
    assert volume.spacing == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(volume.image[0], np.asarray(nib.load(flair).dataobj).transpose(2, 1, 0))
    assert volume.mask.sum() == (np.asarray(nib.load(mask).dataobj) > 0).sum()


@pytest.mark.parametrize("year", YEARS)
def test_targets_are_the_regions_of_the_challenge(tmp_path, year):
    root = brats(tmp_path, year, count=3)
    sizes = {}
    for target in ("whole-tumor", "tumor-core", "enhancing"):
        data = make(root, year, target=target)
        sizes[target] = data.load(data.cases()[0]).mask.sum()
    assert sizes["enhancing"] == 8 * 8
    assert sizes["tumor-core"] == 3 * 8 * 8
    assert sizes["whole-tumor"] > sizes["tumor-core"]


def test_sequences_are_channels_in_the_given_order(tmp_path):
    root = brats(tmp_path, 2023, count=3)
    everything = make(root, 2023, sequences=("flair", "t1", "t1ce", "t2"))
    volume = everything.load(everything.cases()[0])
    assert volume.image.shape[0] == 4
    means = volume.image.mean((1, 2, 3))
    assert list(means) == sorted(means)
    two = make(root, 2023, sequences=("t2", "flair")).load(everything.cases()[0])
    np.testing.assert_array_equal(two.image, volume.image[[3, 0]])


def test_grades_come_from_folders_in_2019_and_from_a_table_in_2020(tmp_path):
    for year, name in ((2019, "BraTS19_TCIA_1_1"), (2020, "BraTS20_Training_001")):
        root = brats(tmp_path, year)
        low, high = set(make(root, year).cases()), set(make(root, year, grade="HGG").cases())
        assert name in low
        assert len(low) == len(high) == 6
        assert not low & high
        assert set(find(DATASETS, "brats")(root=str(root)).cases()) == low | high


def test_a_case_that_is_stored_twice_is_one_sentence(tmp_path):
    root = brats(tmp_path, 2021)
    shutil.copytree(root / "BraTS2021_00003", root / "copies" / "BraTS2021_00003")
    sentence = "a case of BraTS must be stored once, '.*copies/BraTS2021_00003' is also stored as '.*': remove one"
    with pytest.raises(DataError, match=sentence):
        make(root, 2021).cases()


def test_a_grade_of_a_year_without_grades_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"data.grade must be known from .*: leave data.grade out to use all cases"):
        make(brats(tmp_path, 2021), 2021, grade="LGG").cases()


def test_visits_of_one_patient_are_in_one_part_of_the_split(tmp_path):
    data = make(brats(tmp_path, 2023), 2023)
    prepared = prepare(data)
    assert prepared.patients == tuple(f"BraTS-GLI-{n // 2:05d}" for n in range(1, 7))
    split = split_volumes(prepared.cases, prepared.patients, (2, 1, 1), 0)
    parts = [{data.patient(case) for case in part} for part in (split.train, split.val, split.test)]
    assert [len(part) for part in parts] == [2, 1, 1]
    assert len(split.train + split.val + split.test) == 6


def test_missing_data_are_one_sentence_with_the_registration_and_the_layout(tmp_path):
    for arguments in ((), ("--download",), ("--data-root", tmp_path)):
        code, output = invoke("data", "prepare", "brats", *arguments)
        assert code == 2
        assert "register at https://www.synapse.org/brats and give the folder of the training data with" in output
        assert "BraTS19_X_1_flair.nii.gz and BraTS19_X_1_seg.nii.gz" in output
        assert "BraTS-GLI-00000-000-t2f.nii.gz and BraTS-GLI-00000-000-seg.nii.gz" in output


def test_a_missing_sequence_is_one_sentence_with_its_file(tmp_path):
    root = brats(tmp_path, 2021)
    (root / "BraTS2021_00003" / "BraTS2021_00003_flair.nii.gz").unlink()
    with pytest.raises(DataError, match=r"BraTS2021_00003' must contain BraTS2021_00003_flair.nii.gz or .*: download"):
        make(root, 2021).cases()


def test_defaults_are_the_protocol_of_the_paper():
    data = find(DATASETS, "brats")()
    settings = data.defaults()
    assert (settings["protocol.interval"], settings["protocol.budget"], settings["training.batch_size"]) == (
        10,
        100,
        32,
    )
    assert (settings["protocol.split"], data.size) == ([50, 14, 12], (240, 240))
    assert (data.sequences, data.target, data.grade) == (("flair",), "whole-tumor", "any")


def test_suites_of_the_paper_use_low_grade_gliomas_and_drop_that_option_for_other_datasets():
    for name in ("paper-brats", "ablation-brats"):
        assert {run.settings["data.grade"] for run in load_suite(name).runs} == {"LGG"}
        assert not any("data.grade" in run.settings for run in load_suite(name, dataset="phantom").runs)


@pytest.mark.parametrize("year", slow_but([2023], YEARS))
def test_every_year_runs_end_to_end(tmp_path, year):
    root = brats(tmp_path, year)
    split = [2, 1, 1] if year == 2023 else [4, 1, 1]
    more = tiny_training_arguments(data__size=[32, 32], protocol__split=split)
    code, output = invoke(
        *("run", "--strategy", "entropy", "--dataset", "brats", "--data-root", root, "--out", tmp_path / "runs"), *more
    )
    assert code == 0, output
    assert len(next((tmp_path / "runs").rglob("rounds.jsonl")).read_text().splitlines()) == 2


@pytest.mark.parametrize("strategy", slow_but(["star"], ["star", "k-center", "taal", "ceal-margin", "bal"]))
def test_strategies_work_on_several_channels(tmp_path, strategy):
    root = brats(tmp_path, 2021)
    more = tiny_training_arguments(data__size=[32, 32], data__sequences="[flair,t1ce]")
    code, output = invoke(
        *("run", "--strategy", strategy, "--dataset", "brats", "--data-root", root, "--out", tmp_path / "runs"), *more
    )
    assert code == 0, output
