"""Public datasets in the layouts in which their authors publish them, with tiny volumes.

`folder` reads each as it is unpacked, or says what to do in sentences whose remedies, followed word by word, read it.
An image has its number as its highest intensity, and every structure of its mask as many voxels: equal numbers show
that the pairs are right.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.formats import write_dicom, write_hdf5, write_itk
from typer.testing import CliRunner

from albench.cli.main import app
from albench.data import Dataset, prepare
from albench.resolve import make_dataset
from albench.settings import parse_settings

SHAPE = (8, 10, 6)
THICK = np.diag([1.0, 1.0, 5.0, 1.0])
SAGITTAL = np.diag([4.0, 1.0, 1.0, 1.0])
SLICES_FIRST = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1.0]])  # as KiTS


@dataclass(frozen=True)
class File:
    """A file of a dataset.

    Attributes:
        path: in the folder, `{}` stands for the name of a patient or a case.
        values: of the structures that a mask holds, in its rows from the first; empty for an image.
        row: of the first structure, so that those of several files do not overlap.
        larger: whether it is on a larger grid than the others.
    """

    path: str
    values: tuple[int, ...] = ()
    row: int = 0
    larger: bool = False


@dataclass(frozen=True)
class Public:
    """A dataset as it is published.

    Attributes:
        name: of the dataset.
        patterns: files of every case.
        cases: that the files have, by what stands for `{}`; several of a patient have one name of a patient.
        found: cases with their patients that are read; None for those of `cases`.
        others: files that have no mask, or are none of a case.
        steps: remedies that sentences name, in this order: options, or commands that write a list. Of a tuple, the
            first part is what the sentence says.
        classes: that are read in the end.
        axis: of the slices.
        affine: of all files.
    """

    name: str
    patterns: Sequence[File]
    cases: Sequence[str]
    found: Mapping[str, str]
    others: Sequence[str] = ()
    steps: Sequence[str | tuple[str, str]] = ()
    classes: Sequence[str] = ("foreground",)
    axis: str = "axial"
    affine: np.ndarray = field(default_factory=lambda: THICK)
    texts: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def write(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    """A file in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".nrrd", ".mha", ".mhd"):
        write_itk(path, values, affine)
    elif path.suffix in (".nii", ".gz"):
        nib.save(nib.Nifti1Image(values, affine), path)
    elif path.suffix == "":
        write_dicom(path, values, affine)


def image(number: int, *, larger: bool = False) -> np.ndarray:
    shape = (2 * SHAPE[0], *SHAPE[1:]) if larger else SHAPE
    values = np.random.default_rng(number).integers(0, 200, shape).astype(np.int16)
    values[-1, -1, -1] = 1000 + number
    return values


def mask(number: int, values: Sequence[int], row: int = 0) -> np.ndarray:
    """`number` voxels of every value, in a row of its own."""
    drawn = np.zeros(SHAPE, np.uint16 if max(values) > 255 else np.uint8)
    for x, value in enumerate(values, row):
        drawn[x].T.flat[:number] = value
    return drawn


def written(public: Public, root: Path) -> Path:
    for number, case in enumerate(public.cases, 11):
        for file in public.patterns:
            values = mask(number, file.values, file.row) if file.values else image(number, larger=file.larger)
            write(root / file.path.format(case), values, public.affine)
    for number, name in enumerate(public.others, 41):
        write(root / name, image(number), public.affine)
    for name, text in public.texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def made(root: Path, options: Sequence[str]) -> Dataset:
    return make_dataset("folder", parse_settings(list(options), root))


def followed(root: Path, steps: Sequence[str | tuple[str, str]]) -> Dataset:
    """The dataset after the remedies that its own sentences name."""
    options: list[str] = []
    folder = root
    for step in steps:
        said, option = step if isinstance(step, tuple) else (step, step)
        sentences = [problem.sentence.replace("'", "") for problem in made(root, options).problems()]
        if not option.startswith("albench"):
            assert any(said.replace("'", "") in sentence for sentence in sentences), sentences
            options.append(option)
            continue
        command = shlex.split(option.format(folder))
        words = [said.replace("'", "")]
        if said == option:
            words = [f"`albench data list-files {folder}"]
            if not any("PATTERN" in sentence or "(--images and --masks choose" in sentence for sentence in sentences):
                words += [part for part in command[4:] if not part.startswith("--")]
        assert all(any(word in sentence for sentence in sentences) for word in words), sentences
        result = CliRunner().invoke(app, command[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        root = folder.parent / "list.csv"
        root.write_text(result.stdout)
    return made(root, options)


def read(data: Dataset) -> dict[str, str]:
    """Patients by case, after a look at every pair."""
    for case in data.cases():
        volume = data.load(case)
        number = int(volume.image[0].max()) - 1000
        counts = [int((volume.mask == label).sum()) for label in range(1, len(data.class_names) + 1)]
        assert len(set(counts)) == 1
        assert number > 0
        assert counts[0] % number == 0
        assert 0 < counts[0] // number < number
    return {case: data.patient(case) for case in data.cases()}


def alone(*cases: str) -> dict[str, str]:
    return {case: case for case in cases}


AMOS = {
    "name": "AMOS",
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "spleen", "2": "right kidney"},
    "training": [
        {"image": f"./imagesTr/amos_{n}.nii.gz", "label": f"./labelsTr/amos_{n}.nii.gz"} for n in ("0001", "0004")
    ],
    "validation": [{"image": "./imagesVa/amos_0008.nii.gz", "label": "./labelsVa/amos_0008.nii.gz"}],
    "test": [{"image": "./imagesTs/amos_0002.nii.gz"}],
}
BY_PATIENT = "data.patients=^([^_.-]+)"

SETS = [
    Public(
        "LiTS",
        [File("Training Batch 1/volume-{}.nii"), File("Training Batch 1/segmentation-{}.nii", (1, 2))],
        ["0", "1", "10"],
        alone("volume-0", "volume-1", "volume-10"),
        steps=["data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
    ),
    Public(
        "KiTS19",
        [File("data/case_{}/imaging.nii.gz"), File("data/case_{}/segmentation.nii.gz", (1, 2))],
        ["00000", "00001", "00010"],
        alone("case_00000", "case_00001", "case_00010"),
        steps=["data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
        affine=SLICES_FIRST,
        texts={"data/kits.json": "[]", "LICENSE": ""},
    ),
    Public(
        "KiTS23",
        [
            File("dataset/case_{}/imaging.nii.gz"),
            File("dataset/case_{}/segmentation.nii.gz", (1, 2, 3)),
            File("dataset/case_{}/instances/kidney_instance-1_annotation-1.nii.gz", (1,)),
            File("dataset/case_{}/instances/kidney_instance-1_annotation-2.nii.gz", (1,)),
            File("dataset/case_{}/instances/tumor_instance-1_annotation-1.nii.gz", (1,)),
        ],
        ["00000", "00001", "00003"],
        alone("case_00000", "case_00001", "case_00003"),
        steps=["albench data list-files {} --masks segmentation.nii.gz", "data.classes={a: 1, b: 2, c: 3}"],
        classes=["a", "b", "c"],
        affine=SLICES_FIRST,
    ),
    Public(
        "KiTS21",
        [
            File("case_{}/imaging.nii.gz"),
            File("case_{}/aggregated_AND_seg.nii.gz", (1, 2)),
            File("case_{}/aggregated_MAJ_seg.nii.gz", (1, 2)),
            File("case_{}/aggregated_OR_seg.nii.gz", (1, 2)),
        ],
        ["00000", "00001", "00003"],
        alone("case_00000", "case_00001", "case_00003"),
        steps=[
            (
                "`albench data list-files FOLDER --masks '*aggregated_MAJ_seg.nii.gz' > list.csv`",
                "albench data list-files {} --masks '*aggregated_MAJ_seg.nii.gz'",
            ),
            "data.classes={a: 1, b: 2}",
        ],
        classes=["a", "b"],
        affine=SLICES_FIRST,
    ),
    Public(
        "BTCV",
        [File("RawData/Training/img/img{}.nii.gz"), File("RawData/Training/label/label{}.nii.gz", (1, 2, 3, 6))],
        ["0001", "0002", "0003"],
        alone("img0001", "img0002", "img0003"),
        others=["RawData/Testing/img/img0061.nii.gz"],
        steps=["data.labels=[1,2,3,6]"],
    ),
    Public(
        "AMOS22",
        [File("imagesTr/amos_{}.nii.gz"), File("labelsTr/amos_{}.nii.gz", (1, 2))],
        ["0001", "0004"],
        alone("amos_0001", "amos_0004"),
        others=["imagesVa/amos_0008.nii.gz", "labelsVa/amos_0008.nii.gz", "imagesTs/amos_0002.nii.gz"],
        steps=["data.target=classes"],
        classes=["spleen", "right kidney"],
        texts={"dataset.json": json.dumps(AMOS), "labeled_data_meta_0000_0599.csv": "amos_id\n1\n"},
    ),
    Public(
        "ACDC",
        [
            File("database/training/patient{0}/patient{0}_frame01.nii.gz"),
            File("database/training/patient{0}/patient{0}_frame01_gt.nii.gz", (1, 2, 3)),
            File("database/training/patient{0}/patient{0}_frame12.nii.gz"),
            File("database/training/patient{0}/patient{0}_frame12_gt.nii.gz", (1, 2, 3)),
        ],
        ["001", "002", "003"],
        {f"patient00{n}_frame{frame}": f"patient00{n}" for n in (1, 2, 3) for frame in ("01", "12")},
        others=[f"database/training/patient00{n}/patient00{n}_4d.nii.gz" for n in (1, 2, 3)],
        steps=["data.unlabeled=skip", "data.classes={a: 1, b: 2, c: 3}", BY_PATIENT],
        classes=["a", "b", "c"],
        texts={"database/training/patient001/Info.cfg": "ED: 1\nES: 12\n", "database/MANDATORY_CITATION.md": ""},
    ),
    Public(
        "PROMISE12",
        [File("TrainingData_Part1/Case{}.mhd"), File("TrainingData_Part1/Case{}_segmentation.mhd", (1,))],
        ["00", "01", "10"],
        alone("Case00", "Case01", "Case10"),
    ),
    Public(
        "ISLES 2022",
        [
            File("{0}/ses-0001/anat/{0}_ses-0001_FLAIR.nii.gz", larger=True),
            File("{0}/ses-0001/dwi/{0}_ses-0001_dwi.nii.gz"),
            File("{0}/ses-0001/dwi/{0}_ses-0001_adc.nii.gz"),
            File("derivatives/{0}/ses-0001/{0}_ses-0001_msk.nii.gz", (1,)),
        ],
        ["sub-strokecase0001", "sub-strokecase0002", "sub-strokecase0003"],
        alone("sub-strokecase0001", "sub-strokecase0002", "sub-strokecase0003"),
        steps=["albench data list-files {} --images '*_dwi.nii.gz' --images '*_adc.nii.gz'"],
    ),
    Public(
        "WMH 2017",
        [
            *(
                File(f"Utrecht/{{}}/{part}/{scan}.nii.gz")
                for part in ("orig", "pre")
                for scan in ("FLAIR", "T1", "3DT1")
            ),
            File("Utrecht/{}/wmh.nii.gz", (1, 2)),
        ],
        ["0", "2", "11"],
        alone("0", "11", "2"),
        steps=[
            "albench data list-files {} --images pre/FLAIR.nii.gz --images pre/T1.nii.gz --masks wmh.nii.gz",
            "data.classes={a: 1, b: 2}",
        ],
        classes=["a", "b"],
    ),
    Public(
        "ISBI 2015",
        [
            *(
                File(f"training/{{0}}/orig/{{0}}_0{v}_{scan}.nii.gz", larger=True)
                for v in (1, 2)
                for scan in ("flair", "t2")
            ),
            *(
                File(f"training/{{0}}/preprocessed/{{0}}_0{v}_{scan}_pp.nii")
                for v in (1, 2)
                for scan in ("flair", "t2")
            ),
            *(File(f"training/{{0}}/masks/{{0}}_0{v}_mask{rater}.nii", (1,)) for v in (1, 2) for rater in (1, 2)),
        ],
        ["training01", "training02", "training03"],
        {f"training0{n}-training0{n}_0{v}_flair_pp": f"training0{n}" for n in (1, 2, 3) for v in (1, 2)},
        steps=[
            "albench data list-files {} --images '*_flair_pp.nii' --images '*_t2_pp.nii'",
            ("set data.raters to majority, any, all or first", "data.raters=majority"),
        ],
    ),
    Public(
        "MSSEG 2016",
        [
            *(File(f"Training/{{}}/Raw_Data/{scan}.nii.gz", larger=True) for scan in ("FLAIR", "T1")),
            *(File(f"Training/{{}}/Preprocessed_Data/{scan}_preprocessed.nii.gz") for scan in ("FLAIR", "T1")),
            File("Training/{}/Masks/Brain_Mask.nii.gz", (1,), row=3),
            File("Training/{}/Masks/Consensus.nii.gz", (1,)),
            *(File(f"Training/{{}}/Masks/ManualSegmentation_{rater}.nii.gz", (1,), row=1) for rater in range(1, 8)),
        ],
        ["Center_01/Patient_01", "Center_01/Patient_02", "Center_07/Patient_01"],
        alone("Center_01-Patient_01", "Center_01-Patient_02", "Center_07-Patient_01"),
        steps=["albench data list-files {} --images '*/FLAIR_preprocessed.nii.gz' --masks Consensus.nii.gz"],
    ),
    Public(
        "ATLAS R2",
        [
            File("Training/R001/{0}/ses-1/anat/{0}_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz"),
            File(
                "Training/R001/{0}/ses-1/anat/{0}_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz",
                (1,),
            ),
        ],
        ["sub-r001s001", "sub-r001s002", "sub-r001s003"],
        {f"sub-r001s00{n}_ses-1_space-MNI152NLin2009aSym_T1w": f"sub-r001s00{n}" for n in (1, 2, 3)},
    ),
    Public(
        "LA 2018",
        [File("Training Set/{}/lgemri.nrrd"), File("Training Set/{}/laendo.nrrd", (255,))],
        ["0RZDK210BSMWAA6467LU", "1D7CUD1955YZPGK8XHJX", "4QE4L1VLQ5GWSRSWPKNY"],
        alone("0RZDK210BSMWAA6467LU", "1D7CUD1955YZPGK8XHJX", "4QE4L1VLQ5GWSRSWPKNY"),
        steps=["albench data list-files {} --masks laendo.nrrd"],
    ),
    Public(
        "FLARE22",
        [File("images/FLARE22_Tr_{}_0000.nii.gz"), File("labels/FLARE22_Tr_{}.nii.gz", (1, 2))],
        ["0001", "0002", "0010"],
        alone("FLARE22_Tr_0001", "FLARE22_Tr_0002", "FLARE22_Tr_0010"),
        steps=["data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
    ),
    Public(
        "TotalSegmentator v2",
        [
            File("{}/ct.nii.gz"),
            File("{}/segmentations/liver.nii.gz", (1,)),
            File("{}/segmentations/rib_left_1.nii.gz", (1,), row=1),
            File("{}/segmentations/rib_left_2.nii.gz", (1,), row=2),
            File("{}/segmentations/vertebrae_L1.nii.gz", (1,), row=3),
        ],
        ["s0000", "s0001", "s0010"],
        alone("s0000", "s0001", "s0010"),
        classes=["liver", "rib_left_1", "rib_left_2", "vertebrae_L1"],
        texts={"meta.csv": "image_id;age\ns0000;50\n"},
    ),
    Public(
        "TotalSegmentator: vertebrae",
        [
            File("{}/ct.nii.gz"),
            File("{}/segmentations/vertebrae_L1.nii.gz", (1,)),
            File("{}/segmentations/vertebrae_L2.nii.gz", (1,), row=1),
        ],
        ["s0000", "s0001", "s0010"],
        alone("s0000", "s0001", "s0010"),
        steps=["data.organs=[vertebrae_L1,vertebrae_L2]"],
        classes=["vertebrae_L1", "vertebrae_L2"],
    ),
    Public(
        "SegTHOR",
        [File("train/{0}/{0}.nii.gz"), File("train/{0}/GT.nii.gz", (1, 2, 3, 4))],
        ["Patient_01", "Patient_02", "Patient_10"],
        alone("Patient_01", "Patient_02", "Patient_10"),
        steps=["data.labels=[1,2,3,4]"],
    ),
    Public(
        "VerSe 2020",
        [
            File("dataset-01training/rawdata/{0}/{0}_ct.nii.gz"),
            File("dataset-01training/derivatives/{0}/{0}_seg-vert_msk.nii.gz", (20, 21)),
        ],
        ["sub-verse004", "sub-verse005", "sub-verse010"],
        {f"sub-verse{n}_ct": f"sub-verse{n}" for n in ("004", "005", "010")},
        steps=["data.classes={a: 20, b: 21}"],
        classes=["a", "b"],
        texts={"dataset-01training/derivatives/sub-verse004/sub-verse004_seg-subreg_ctd.json": "[]"},
    ),
    Public(
        "SPIDER",
        [
            *(File(f"images/{{}}_{scan}.mha") for scan in ("t1", "t2")),
            *(File(f"masks/{{}}_{scan}.mha", (1, 2, 100, 201)) for scan in ("t1", "t2")),
        ],
        ["1", "2", "10"],
        {f"{n}_{scan}": n for n in ("1", "2", "10") for scan in ("t1", "t2")},
        steps=["data.labels=[1,2,100,201]", BY_PATIENT],
        axis="sagittal",
        affine=SAGITTAL,
        texts={"overview.csv": "new_file_name\n1_t1\n"},
    ),
    Public(
        "HaN-Seg",
        [
            File("set_1/{0}/{0}_IMG_CT.nrrd"),
            File("set_1/{0}/{0}_IMG_MR_T1.nrrd", larger=True),
            File("set_1/{0}/{0}_OAR_A_Carotid_L.seg.nrrd", (1,)),
            File("set_1/{0}/{0}_OAR_A_Carotid_R.seg.nrrd", (1,), row=1),
            File("set_1/{0}/{0}_OAR_Brainstem.seg.nrrd", (1,), row=2),
        ],
        ["case_01", "case_02", "case_10"],
        alone("case_01_IMG_CT", "case_02_IMG_CT", "case_10_IMG_CT"),
        steps=["albench data list-files {} --images '*_CT.nrrd'"],
        classes=["OAR_A_Carotid_L", "OAR_A_Carotid_R", "OAR_Brainstem"],
    ),
    Public(
        "CrossMoDA 2021",
        [File("source_training/{}_ceT1.nii.gz"), File("source_training/{}_Label.nii.gz", (1, 2))],
        ["crossmoda2021_ldn_1", "crossmoda2021_ldn_2", "crossmoda2021_ldn_10"],
        alone(*(f"crossmoda2021_ldn_{n}_ceT1" for n in (1, 2, 10))),
        others=[f"target_training/crossmoda2021_ldn_{n}_hrT2.nii.gz" for n in (106, 107)],
        steps=["data.unlabeled=skip", "data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
    ),
    Public(
        "BraTS 2020",
        [
            *(File(f"{{0}}/{{0}}_{scan}.nii") for scan in ("flair", "t1", "t1ce", "t2")),
            File("{0}/{0}_seg.nii", (1, 2, 4)),
        ],
        [f"BraTS20_Training_00{n}" for n in (1, 2, 3)],
        alone(*(f"BraTS20_Training_00{n}_flair" for n in (1, 2, 3))),
        steps=[
            "albench data list-files {} --images '*_flair.nii' --images '*_t1ce.nii'",
            "data.classes={a: 1, b: 2, c: 4}",
        ],
        classes=["a", "b", "c"],
    ),
    Public(
        "BraTS 2023",
        [
            *(File(f"{{0}}/{{0}}-{scan}.nii.gz") for scan in ("t1c", "t1n", "t2f", "t2w")),
            File("{0}/{0}-seg.nii.gz", (1, 2, 3)),
        ],
        ["BraTS-GLI-00000-000", "BraTS-GLI-00002-000", "BraTS-GLI-00002-001"],
        {
            "BraTS-GLI-00000": "BraTS-GLI-00000",
            "BraTS-GLI-00002-BraTS-GLI-00002-000-seg": "BraTS-GLI-00002",
            "BraTS-GLI-00002-BraTS-GLI-00002-001-seg": "BraTS-GLI-00002",
        },
        steps=["albench data list-files {} --images '*-t2f.nii.gz'", "data.classes={a: 1, b: 2, c: 3}"],
        classes=["a", "b", "c"],
    ),
    Public(
        "MMWHS",
        [File("ct_train/ct_train_{}_image.nii.gz"), File("ct_train/ct_train_{}_label.nii.gz", (500, 600))],
        ["1001", "1002", "1010"],
        alone("ct_train_1001_image", "ct_train_1002_image", "ct_train_1010_image"),
        steps=["data.classes={a: 500, b: 600}"],
        classes=["a", "b"],
    ),
    Public(
        "EMIDEC",
        [File("{0}/Images/{0}.nii.gz"), File("{0}/Contours/{0}.nii.gz", (1, 2))],
        ["Case_N006", "Case_P001", "Case_P010"],
        alone("Case_N006", "Case_P001", "Case_P010"),
        steps=["data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
    ),
    Public(
        "CT-ORG",
        [File("OrganSegmentations/volume-{}.nii.gz"), File("OrganSegmentations/labels-{}.nii.gz", (1, 2))],
        ["0", "1", "10"],
        alone("volume-0", "volume-1", "volume-10"),
        steps=["data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
    ),
    Public(
        "TopCoW",
        [File("imagesTr/topcow_{}_0000.nii.gz"), File("cow_seg_labelsTr/topcow_{}.nii.gz", (1, 2))],
        ["ct_001", "ct_002", "mr_001", "mr_002"],
        alone(*(f"topcow_{case}_0000" for case in ("ct_001", "ct_002", "mr_001", "mr_002"))),
        steps=["data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
    ),
    Public(
        "Pancreas-CT",
        [File("Pancreas-CT/{}"), File("TCIA_pancreas_labels-02-05-2017/label{}.nii.gz", (1,))],
        ["0001", "0002", "0010"],
        alone("0001", "0002", "0010"),
    ),
    Public(
        "AbdomenCT-1K",
        [File("Image/Case_{}_0000.nii.gz"), File("Mask/Case_{}.nii.gz", (1, 2))],
        ["00001", "00002", "00010"],
        alone("Case_00001", "Case_00002", "Case_00010"),
        steps=["data.classes={a: 1, b: 2}"],
        classes=["a", "b"],
    ),
]


@pytest.mark.parametrize("public", SETS, ids=str)
def test_a_public_set_is_read_as_it_is_unpacked_or_as_its_sentences_say(tmp_path, public):
    data = followed(written(public, tmp_path / "set"), public.steps)
    assert [problem.sentence for problem in data.problems() if problem.serious] == []
    assert read(data) == public.found
    assert list(data.class_names) == list(public.classes)
    assert data.hashed_options()["axis"] == public.axis
    assert len(prepare(data).cases) == len(public.found)


def test_the_manual_says_which_of_them_need_nothing():
    manual = (Path(__file__).parents[2] / "docs" / "data.md").read_text().partition("### Public datasets")[2]
    table = [line for line in manual.partition("###")[0].splitlines() if line.startswith("| ")]
    nothing = [name.strip() for name in next(row for row in table if "| nothing" in row).split("|")[1].split(",")]
    choices = ("data.classes", "data.labels")
    ready = [public.name for public in SETS if all(str(step).startswith(choices) for step in public.steps)]
    assert sorted(ready) == sorted(name for name in nothing if name != "LA 2018 in `.h5`")
    assert all(
        any(public.name in row for row in table) for public in SETS if public.name != "TotalSegmentator: vertebrae"
    )


@pytest.mark.parametrize("arrays", [("image", "label"), ("volume", "seg")])
def test_the_hdf5_files_of_semi_supervised_benchmarks_are_read_as_they_are(tmp_path, arrays):
    root = tmp_path / "2018LA_Seg_Training Set"
    for number, case in enumerate(("0RZDK210BSMWAA6467LU", "1D7CUD1955YZPGK8XHJX", "4QE4L1VLQ5GWSRSWPKNY"), 11):
        (root / case).mkdir(parents=True)
        values = image(number).astype(np.float32)
        write_hdf5(root / case / "mri_norm2.h5", **dict(zip(arrays, (values, mask(number, (1,))), strict=True)))
    names = ["data.h5_image=volume", "data.h5_label=seg"] if arrays[0] == "volume" else []
    data = made(root, names)
    assert read(data) == alone("0RZDK210BSMWAA6467LU", "1D7CUD1955YZPGK8XHJX", "4QE4L1VLQ5GWSRSWPKNY")
    assert data.notes() == [
        "arrays of HDF5 have no voxel size and no orientation, 1 mm and the axes xyz are assumed: set data.h5_spacing, "
        "and data.h5_axes if they are others"
    ]


def test_time_series_with_masks_of_all_frames_are_one_sentence_whose_remedy_reads_them(tmp_path):
    """M&Ms, where image and mask of a patient have all frames and only two of these are drawn."""
    root = tmp_path / "Labeled"
    for number, case in enumerate(("A0S9V9", "A1D0Q7", "A1D9Z7"), 11):
        images, masks = np.stack([image(number)] * 3, -1), np.stack([mask(number, (1, 2, 3))] * 3, -1)
        write(root / case / f"{case}_sa.nii.gz", images, THICK)
        write(root / case / f"{case}_sa_gt.nii.gz", masks, THICK)
    sentence = next(problem.sentence for problem in made(root, []).problems() if problem.serious)
    path = root / "A0S9V9" / "A0S9V9_sa.nii.gz"
    assert sentence == (
        f"'{path}' must be a 3D volume, it has shape (8, 10, 6, 3): remove it or save one volume per file, or choose "
        "the channels of an image with data.channels"
    )
    for file in list(root.rglob("*.nii.gz")):
        head, _, tail = file.name.partition("_sa")
        for frame in (0, 2):
            values = np.asarray(nib.load(file).dataobj)[..., frame]
            write(file.with_name(f"{head}_sa_frame{frame}{tail}"), values, THICK)
        file.unlink()
    data = followed(root, ["data.classes={a: 1, b: 2, c: 3}", BY_PATIENT])
    cases = [(f"{case}_sa_frame{frame}", case) for case in ("A0S9V9", "A1D0Q7", "A1D9Z7") for frame in (0, 2)]
    assert read(data) == dict(cases)


def test_labeled_folders_beside_those_that_are_read_are_told_with_the_list_that_reads_all(tmp_path):
    """AMOS without its dataset.json, WORD."""
    for number, (part, case) in enumerate([("Tr", "0001"), ("Tr", "0004"), ("Va", "0008"), ("Va", "0013")], 11):
        write(tmp_path / f"set/images{part}/amos_{case}.nii.gz", image(number), THICK)
        write(tmp_path / f"set/labels{part}/amos_{case}.nii.gz", mask(number, (1,)), THICK)
    write(tmp_path / "set/imagesTs/amos_0002.nii.gz", image(50), THICK)
    command = "albench data list-files {} --images 'images*/*' --masks 'labelsTr/*' --masks 'labelsVa/*'"
    assert made(tmp_path / "set", []).notes() == [
        "2 masks in labelsVa/ and their images in imagesVa/ are left out, albench splits the others itself: to read "
        f"them too, use `{command.format(tmp_path / 'set')} > list.csv` and --data-root list.csv"
    ]
    data = followed(tmp_path / "set", [command])
    assert read(data) == alone("amos_0001", "amos_0004", "amos_0008", "amos_0013")


def test_a_chosen_kind_of_mask_is_no_image_of_another(tmp_path):
    root = tmp_path / "set"
    for number in (11, 12, 13):
        write(root / f"c{number}/img.nii.gz", image(number), THICK)
        for name in ("seg_a", "seg_b"):
            write(root / f"c{number}/{name}.nii.gz", mask(number, (1,)), THICK)
    rows = made(root, []).file_rows(masks=["seg_b.nii.gz"])
    assert [Path(row["image"]).name for row in rows] == ["img.nii.gz"] * 3
    swapped = made(root, []).file_rows(images=["seg_a.nii.gz"], masks=["seg_b.nii.gz"])
    assert [Path(row["image"]).name for row in swapped] == ["seg_a.nii.gz"] * 3


def test_masks_in_pictures_are_one_sentence(tmp_path):
    """CHAOS, whose masks are PNG."""
    for number, case in enumerate(("1", "2", "3"), 11):
        write_dicom(tmp_path / f"MR/{case}/T2SPIR/DICOM_anon", image(number), THICK)
        (tmp_path / f"MR/{case}/T2SPIR/Ground").mkdir()
        (tmp_path / f"MR/{case}/T2SPIR/Ground/IMG-0001-00001.png").write_bytes(b"")
    (sentence,) = [problem.sentence for problem in made(tmp_path, []).problems() if problem.serious]
    assert sentence.endswith(
        "and use --data-root list.csv; 3 files such as 'MR/1/T2SPIR/Ground/IMG-0001-00001.png' are of other formats, "
        "which are not read: convert them, for example to .nii.gz"
    )
    for number, case in enumerate(("1", "2", "3"), 11):
        write(tmp_path / f"MR/{case}/T2SPIR/Ground/mask.nii.gz", mask(number, (80, 160)), THICK)
    data = followed(tmp_path, ["data.classes={a: 80, b: 160}"])
    assert read(data) == alone("1", "2", "3")
