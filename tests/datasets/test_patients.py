"""Several cases of one patient: by names of BIDS, by a pattern of the user, or told where names look like it."""

import itertools

import pytest
from support.samples import invoke, tiny_training_arguments, write_volumes

from albench.config import Protocol, build
from albench.data import prepare, split_dataset
from albench.datasets._patients import guessed, suspicion
from albench.errors import ConfigError
from albench.registry import DATASETS, find

VISITS = ["pat_0000", "pat_0001", "pat_0100", "pat_0101", "pat_0200", "pat_0201"]


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


@pytest.fixture
def visits(tmp_path):
    """nnU-Net names of three patients with two visits each."""
    write_volumes(tmp_path / "set", *(f"imagesTr/{case}_0000.nii.gz" for case in VISITS))
    write_volumes(tmp_path / "set", *(f"labelsTr/{case}.nii.gz" for case in VISITS))
    return tmp_path / "set"


SENTENCE = (
    "all cases of a patient should be in one part of the split, 'pat_0000' and 'pat_0001' look like one patient and "
    r"count as two: if they are one, add --set 'data.patients=^(pat_\d\d)', which makes 3 patients of 6 cases"
)


@pytest.mark.slow
def test_names_that_look_like_visits_are_told_by_check_info_and_run(visits, tmp_path):
    data = folder(visits)
    assert [data.patient(case) for case in data.cases()] == VISITS
    assert data.notes() == [SENTENCE]
    assert SENTENCE in [problem.sentence for problem in data.problems() if not problem.serious]
    assert SENTENCE in invoke("data", "info", "folder", "--data-root", visits, "--sheet", tmp_path / "x.png")[1]
    more = tiny_training_arguments(data__size=[32, 32], protocol__split=[4, 1, 1])
    out = ("--out", tmp_path / "runs")
    code, output = invoke("run", "--strategy", "random", "--dataset", "folder", "--data-root", visits, *out, *more)
    assert code == 0, output
    assert f"caution: {SENTENCE}" in output


@pytest.mark.parametrize("pattern", [r"(pat_\d\d)", r"^(pat_\d\d)", "pat_(..)", "^(.*)..$"])
def test_a_pattern_groups_cases_by_patient(visits, pattern):
    data = folder(visits, patients=pattern)
    assert len({data.patient(case) for case in data.cases()}) == 3
    assert data.notes() == []
    assert prepare(data).patients == tuple(data.patient(case) for case in VISITS)
    for seed in range(4):
        split = split_dataset(data, build(Protocol, {"split": [1, 1, 1]}, "protocol"), seed)
        assert [len({case[:6] for case in part}) for part in (split.train, split.val, split.test)] == [1, 1, 1]


EXAMPLE = r"write for example --set 'data.patients=\^\(\[\^_\]\+\)' for all before the first underscore"


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(pat", r"data.patients must be a regular expression, '\(pat' is not \(.*\): "),
        ("pat", "data.patients must have one group in parentheses, the patient, 'pat' has 0: "),
        ("(p)(a)", r"data.patients must have one group in parentheses, the patient, '\(p\)\(a\)' has 2: "),
        ("(case)", r"data.patients must match the name of every case, '\(case\)' does not 'pat_0000': "),
        ("(x*)", r"data.patients must match the name of every case, '\(x\*\)' does not 'pat_0000': "),
    ],
)
def test_a_pattern_that_finds_no_patient_is_one_sentence(visits, pattern, sentence):
    with pytest.raises(ConfigError, match=f"^{sentence}{EXAMPLE}$"):
        folder(visits, patients=pattern).cases()


def test_names_of_bids_are_grouped_by_subject(tmp_path):
    sessions = [(sub, ses) for sub in ("sub-01", "sub-02", "sub-A3") for ses in ("ses-1", "ses-2")]
    for sub, ses in sessions:
        write_volumes(tmp_path, f"{sub}/{ses}/anat/{sub}_{ses}_T1w.nii.gz")
        write_volumes(tmp_path, f"derivatives/manual/{sub}/{ses}/anat/{sub}_{ses}_label-lesion_mask.nii.gz")
    data = folder(tmp_path)
    assert [data.patient(case) for case in data.cases()] == [sub for sub, _ in sessions]
    assert len(data.notes()) == 1  # about pairs, none about patients
    assert {folder(tmp_path, patients=r"_(ses-\d)").patient(case) for case in data.cases()} == {"ses-1", "ses-2"}


def test_patients_of_a_list_are_not_doubted(visits):
    rows = [f"imagesTr/{case}_0000.nii.gz,labelsTr/{case}.nii.gz" for case in VISITS]
    (visits / "list.csv").write_text("\n".join(["image,mask,patient", *(f"{row},p{i}" for i, row in enumerate(rows))]))
    assert folder(visits / "list.csv").notes() == []
    (visits / "list.csv").write_text("\n".join(["image,mask", *rows]))
    assert folder(visits / "list.csv").notes() == [SENTENCE]
    (visits / "list.csv").write_text("\n".join(["image,mask,patients", *(rf"{row},(pat_\d\d)" for row in rows)]))
    assert {folder(visits / "list.csv").patient(case) for case in VISITS} == {"pat_00", "pat_01", "pat_02"}


@pytest.mark.parametrize(
    ("cases", "patients"),
    [
        (["p01_t1", "p01_t2", "p02_t1", "p02_t2"], ["p01", "p01", "p02", "p02"]),
        (["001_baseline", "001_followup", "002_baseline"], ["001", "001", "002"]),
        (
            ["patient001_frame01", "patient001_frame12", "patient002_frame01"],
            ["patient001", "patient001", "patient002"],
        ),
        (["BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "BraTS-GLI-00002-000"], ["00000", "00000", "00002"]),
        (["ds1_p1_a", "ds1_p1_b", "ds1_p2_a"], ["ds1_p1", "ds1_p1", "ds1_p2"]),
        (["P1.pre", "P1.post", "P2.pre", "P3.pre"], ["P1", "P1", "P2", "P3"]),
        (VISITS, ["pat_00", "pat_00", "pat_01", "pat_01", "pat_02", "pat_02"]),
        (["c0101", "c0102", "c0201", "c0202"], ["c01", "c01", "c02", "c02"]),
    ],
)
def test_names_that_look_like_several_cases_of_a_patient(cases, patients):
    found = guessed(cases)
    assert [found[case].endswith(patient) for case, patient in zip(cases, patients, strict=True)] == [True] * len(cases)
    assert f"which makes {len(set(patients))} patients of {len(cases)} cases" in suspicion(cases)


@pytest.mark.parametrize(
    "cases",
    [
        [f"hippocampus_{i:03d}" for i in (1, 3, 4, 6, 7, 8, 11, 14, 15, 17, 19, 20, 23, 24, 25, 26)],
        [f"case_{i:05d}" for i in range(210)],
        [f"c{i:02d}" for i in range(25)],
        [f"c{i:02d}" for i in range(1, 25)],
        [f"BRATS_{i}" for i in range(1, 30)],
        [f"LUNG1-{i:03d}" for i in range(1, 30)],
        [f"site{s}_{i:03d}" for s in (1, 2) for i in range(1, 30)],
        ["anna", "bert", "carla"],
        ["c0"],
        [],
    ],
)
def test_names_that_only_count_cases_are_not_doubted(cases):
    assert suspicion(cases) is None
    assert guessed(cases) == {case: case for case in cases}


def test_patients_of_several_centers_are_not_one_because_they_are_of_one_center():
    cases = ["Center_01-Patient_01", "Center_01-Patient_02", "Center_07-Patient_01"]
    assert suspicion(cases) is None
    assert guessed(cases) == {case: case for case in cases}
    visits = [f"site2_subj{patient}_t{visit}" for patient in (1, 2, 3) for visit in (1, 2)]
    assert guessed(visits) == {case: case.rpartition("_")[0] for case in visits}
    assert "data.patients=^([^_.-]+[_.-]+[^_.-]+)" in suspicion(visits)


def test_a_list_has_the_patients_of_bids(tmp_path):
    for patient, session in itertools.product((1, 2), (1, 2)):
        name = f"sub-{patient}/ses-{session}/sub-{patient}_ses-{session}"
        write_volumes(tmp_path, f"{name}_T1w.nii.gz", f"{name}_T2w.nii.gz", f"{name}_dseg.nii.gz")
    rows = find(DATASETS, "folder")(root=str(tmp_path)).file_rows(images=["*_T2w.nii.gz"])
    assert [row["patient"] for row in rows] == ["sub-1", "sub-1", "sub-2", "sub-2"]
