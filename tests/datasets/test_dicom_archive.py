"""Folders of DICOM as archives and PACS give them: masks are paired with images by what they reference."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.formats import outlines, write_dicom, write_frames, write_segmentation, write_structures
from support.samples import invoke

from albench.data import prepare
from albench.errors import ConfigError, DataError
from albench.registry import DATASETS, find

AFFINE = np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 3, 5.5], [0, 0, 0, 1]])
PATIENTS = ("LUNG1-001", "LUNG1-002", "LUNG1-003")


def folder(root: Path, **options: object):
    return find(DATASETS, "folder")(root=str(root), **options)


def volume(number: int, organs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(number).normal(100, 20, (24, 20, 8)).astype(np.int16)
    mask = np.zeros(image.shape, np.uint8)
    mask[6:16, 5:15, 2:6] = 1
    if organs > 1:
        mask[8:11, 7 : 10 + number, 3:5] = 2
    return image, mask


def archive(root: Path, form: str = "seg", organs: int = 1, names: tuple[str, ...] = ("Lung", "Tumor")) -> Path:
    """COLLECTION/PATIENT/STUDY/SERIES/*.dcm as NBIA downloads it, a scout beside every CT."""
    for number, patient in enumerate(PATIENTS):
        image, mask = volume(number, organs)
        study = root / "NSCLC" / patient / "1.2.840.1"
        series = study / "300.000000-NA-41627"
        write_dicom(series, image, AFFINE, PatientID=patient, SeriesDescription="chest")
        scout = {"SeriesDescription": "topogram", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
        write_dicom(study / "1.000000-scout-1", image[:, :, :2], AFFINE, PatientID=patient, **scout)
        write_dicom(study / "9.000000-capture-1", image[:, :, :1], AFFINE, PatientID=patient, SeriesDescription="shot")
        write_dicom(study / "7.000000-dose-1", image, AFFINE, PatientID=patient, Modality="RTDOSE")
        if form == "seg":
            write_segmentation(study / "400.000000-Segmentation-1" / "1-1.dcm", series, mask, names=names)
        else:
            regions = [(names[label - 1], outlines(mask == label, AFFINE)) for label in range(1, organs + 1)]
            write_structures(study / "0.000000-NA-2" / "1-1.dcm", series, regions)
    return root


def flat(root: Path, source: Path, *, by_patient: bool) -> Path:
    """All files of a patient, or of all patients, in one folder, as a PACS exports them: without suffixes."""
    for number, file in enumerate(sorted(source.rglob("*.dcm"))):
        place = root / (str(pydicom.dcmread(file).PatientID) if by_patient else "export")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place / (f"IM{number:05d}" if by_patient else f"1.2.840.{number}"))
        (place / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    return root


def truth(number: int, organs: int = 1) -> np.ndarray:
    return volume(number, organs)[1][::-1, ::-1].transpose(2, 1, 0)


@pytest.mark.parametrize("form", ["seg", "structures"])
@pytest.mark.parametrize("layout", ["archive", "folder per patient", "one folder"])
def test_masks_are_paired_by_the_series_that_they_reference(tmp_path, form, layout):
    root = archive(tmp_path / "archive", form)
    if layout != "archive":
        root = flat(tmp_path / "flat", root, by_patient=layout == "folder per patient")
    data = folder(root)
    assert list(data.cases()) == [data.patient(case) for case in data.cases()] == list(PATIENTS)
    assert data.notes() == [
        "6 series without masks are left out, because they are scouts or have one slice: 'topogram', 'shot'"
    ]
    assert [problem.sentence for problem in data.problems() if problem.serious] == []
    for number, case in enumerate(PATIENTS):
        np.testing.assert_array_equal(data.load(case).mask, truth(number))
    prepared = prepare(data)
    assert prepared.cases == PATIENTS
    assert prepared.masks.any()


@pytest.mark.parametrize("form", ["seg", "structures"])
def test_series_of_frames_are_paired_too(tmp_path, form):
    image, mask = volume(0)
    series = write_dicom(tmp_path / "set" / "p" / "ct", image, AFFINE)
    write_frames(tmp_path / "set" / "frames.dcm", series)
    series.mkdir()
    (tmp_path / "set" / "frames.dcm").rename(series / "1-1.dcm")
    if form == "seg":
        write_segmentation(tmp_path / "set" / "p" / "seg" / "1-1.dcm", series, mask)
    else:
        write_structures(tmp_path / "set" / "p" / "rs" / "1-1.dcm", series, [("Lung", outlines(mask, AFFINE))])
    data = folder(tmp_path / "set")
    assert list(data.cases()) == ["p"]
    np.testing.assert_array_equal(data.load("p").mask, truth(0))


def test_series_without_masks_are_cases_without_labels(tmp_path):
    root = archive(tmp_path / "set")
    late = root / "NSCLC" / PATIENTS[1] / "1.2.840.2" / "1.000000-late-3"
    write_dicom(late, volume(7)[0], AFFINE, PatientID=PATIENTS[1], SeriesDescription="chest, late")
    with pytest.raises(DataError) as rejected:
        folder(root).cases()
    assert str(rejected.value) == (
        f"every image must have a mask, '{late}' has none: add it, or set data.unlabeled=skip to leave such images out "
        "or pool to use them without labels, or pair files in a list, which `albench data list-files` begins"
    )
    data = folder(root, unlabeled="pool")
    cases = ["LUNG1-001", "LUNG1-002-chest", "LUNG1-002-chest_late", "LUNG1-003"]
    assert list(data.cases()) == cases
    assert [data.patient(case) for case in cases] == [PATIENTS[0], PATIENTS[1], PATIENTS[1], PATIENTS[2]]
    assert [data.has_mask(case) for case in cases] == [True, True, False, True]


def test_series_of_one_description_are_told_apart(tmp_path):
    root = archive(tmp_path / "set")
    for number, date in enumerate(("20200101", "20210101")):
        series = root / f"other-{number}"
        tags = {"PatientID": PATIENTS[0], "SeriesDescription": "chest", "StudyDate": date}
        write_dicom(series, volume(number + 5)[0], AFFINE, series=f"1.2.{number + 7}", **tags)
        write_segmentation(root / f"seg-{number}" / "1.dcm", series, volume(0)[1], names=("Lung",))
    assert list(folder(root).cases())[:3] == ["LUNG1-001", "LUNG1-001-20200101", "LUNG1-001-20210101"]


def test_a_mask_of_a_series_that_is_not_there_is_one_sentence(tmp_path):
    root = archive(tmp_path / "set", "structures")
    study = root / "NSCLC" / PATIENTS[0] / "1.2.840.1"
    mask = study / "0.000000-NA-2" / "1-1.dcm"
    uid = pydicom.dcmread(mask).ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    uid = uid.RTReferencedSeriesSequence[0].SeriesInstanceUID
    shutil.rmtree(study / "300.000000-NA-41627")
    with pytest.raises(DataError) as rejected:
        folder(root).cases()
    assert str(rejected.value) == (
        f"every mask must have an image, '{mask}' is of series {uid}, which is not below '{root}': add it or remove "
        "the mask, or pair files in a list, which `albench data list-files` begins"
    )
    code, output = invoke("data", "list-files", root)
    assert code == 0
    assert f",{mask}," in output
    assert "1 of 3 lines lack an image or a mask" in output


@pytest.mark.parametrize("several", [False, True])
def test_the_frame_of_reference_pairs_what_no_reference_does(tmp_path, several):
    root = archive(tmp_path / "set", "structures")
    study = root / "NSCLC" / PATIENTS[0] / "1.2.840.1"
    mask, series = study / "0.000000-NA-2" / "1-1.dcm", study / "300.000000-NA-41627"
    file = pydicom.dcmread(mask)
    del file.ReferencedFrameOfReferenceSequence
    file.save_as(mask)
    if several:
        tags = {"PatientID": PATIENTS[0], "SeriesDescription": "late", "FrameOfReferenceUID": file.FrameOfReferenceUID}
        write_dicom(study / "late", volume(0)[0], AFFINE, series="1.2.3", **tags)
        with pytest.raises(DataError) as rejected:
            folder(root).cases()
        uid = pydicom.dcmread(next(series.iterdir())).SeriesInstanceUID
        assert str(rejected.value) == (
            f"a mask must be of one series, '{mask}' has the frame of reference of 'chest' ({uid}), 'late' (1.2.3): "
            "pair files in a list, which `albench data list-files` begins"
        )
    else:
        write_dicom(root / "other", volume(5)[0], AFFINE, PatientID="x", FrameOfReferenceUID=file.FrameOfReferenceUID)
        data = folder(root, unlabeled="pool")
        assert data.cautions()[1] == (
            "masks that name no series that is here are paired by their frame of reference, 1 in all, such as "
            f"'{mask}' with '{series}': check this pair"
        )
        np.testing.assert_array_equal(data.load(PATIENTS[0]).mask, truth(0))


@pytest.mark.parametrize("several", [False, True])
def test_a_segmentation_is_of_the_series_of_its_source_images(tmp_path, several):
    """Without the sequence that names the series, the slices of its frames do; two named series are a question."""
    image, mask = volume(0)
    series = write_dicom(tmp_path / "p" / "ct", image, AFFINE, series="1.2.3", FrameOfReferenceUID="7.7")
    write_dicom(tmp_path / "p" / "late", image + 1, AFFINE, series="1.2.4", FrameOfReferenceUID="7.7")
    seg = write_segmentation(tmp_path / "p" / "seg.dcm", series, mask)
    file = pydicom.dcmread(seg)
    if several:
        other = pydicom.Dataset()
        other.SeriesInstanceUID = "1.2.4"
        file.ReferencedSeriesSequence.append(other)
        file.save_as(seg)
        with pytest.raises(DataError) as rejected:
            folder(tmp_path).cases()
        assert str(rejected.value) == (
            f"a mask must be of one series, '{seg}' references 'no description' (1.2.3), 'no description' (1.2.4): "
            "pair files in a list, which `albench data list-files` begins"
        )
    else:
        del file.ReferencedSeriesSequence
        file.save_as(seg)
        data = folder(tmp_path, unlabeled="pool")
        assert [case for case in data.cases() if data.has_mask(case)] == ["p-1.2.3"]


def both(root: Path) -> Path:
    """A DICOM-SEG and a structure set of every series, the latter smaller."""
    archive(root)
    for number, patient in enumerate(PATIENTS):
        study = root / "NSCLC" / patient / "1.2.840.1"
        mask = volume(number)[1].copy()
        mask[10:] = 0
        regions = [("GTV-1", outlines(mask, AFFINE))]
        write_structures(study / "0.000000-plan-2" / "1-1.dcm", study / "300.000000-NA-41627", regions)
    return root


def test_a_choice_between_several_masks_is_asked_for_with_the_option(tmp_path):
    root = both(tmp_path / "set")
    with pytest.raises(DataError) as rejected:
        folder(root).cases()
    assert str(rejected.value) == (
        "a series must have one mask of every structure, 3 of 3 have more, 'LUNG1-001' has RTSTRUCT 'contours', SEG "
        "'segments': choose by modality or series description, such as --set data.dicom_masks=RTSTRUCT, or, if they "
        "are of several raters, set data.raters to majority, any, all or first"
    )
    assert sum("must have one mask" in problem.sentence for problem in folder(root).problems()) == 1
    assert folder(root, dicom_masks="SEG").load("LUNG1-001").mask.sum() == 400
    assert folder(root, dicom_masks="con*").load("LUNG1-001").mask.sum() == 160
    with pytest.raises(ConfigError) as unknown:
        folder(root, dicom_masks="x").cases()
    assert str(unknown.value) == (
        "data.dicom_masks must match the modality or the series description of masks, 'x' matches none of RTSTRUCT "
        "'contours', SEG 'segments': write for example --set data.dicom_masks=RTSTRUCT"
    )


def test_several_segmentations_of_a_series_are_organs_or_raters(tmp_path):
    root = archive(tmp_path / "organs")
    for number, patient in enumerate(PATIENTS):
        study = root / "NSCLC" / patient / "1.2.840.1"
        mask = np.zeros((24, 20, 8), np.uint8)
        mask[:3, :3, 2 + number] = 1
        series = study / "300.000000-NA-41627"
        write_segmentation(study / "heart" / "1-1.dcm", series, mask, names=("Heart",), description="second [2]")
    data = folder(root)
    assert data.class_names == ("Lung", "Heart")
    assert np.bincount(data.load(PATIENTS[0]).mask.ravel())[1:].tolist() == [400, 9]
    assert folder(root, organs=("Heart",)).load(PATIENTS[2]).mask.sum() == 9
    for file in root.rglob("heart/*.dcm"):
        content = pydicom.dcmread(file)
        content.SegmentSequence[0].SegmentLabel = "Lung"
        content.save_as(file)
    with pytest.raises(DataError) as rejected:
        folder(root).cases()
    assert str(rejected.value) == (
        "a series must have one mask of every structure, 3 of 3 have more, 'LUNG1-001' has SEG 'segments', SEG "
        "'second [2]', several of which have 'Lung': choose by modality or series description, such as --set "
        "data.dicom_masks='segments', or, if they are of several raters, set data.raters to majority, any, all or first"
    )
    assert folder(root, raters="any").load(PATIENTS[0]).mask.sum() == 409
    assert folder(root, dicom_masks="Second [2]").load(PATIENTS[0]).mask.sum() == 9
    for file in root.rglob("heart/*.dcm"):
        content = pydicom.dcmread(file)
        content.SeriesDescription = "segments"
        content.save_as(file)
    with pytest.raises(
        DataError, match=r"of which have 'Lung': pair files in a list, which `albench data list-files` begins"
    ):
        folder(root).cases()


def test_a_list_of_an_archive_reads_what_the_archive_reads(tmp_path):
    root = flat(tmp_path / "flat", archive(tmp_path / "archive", "structures", organs=2), by_patient=False)
    listing = tmp_path / "list.csv"
    code, output = invoke("data", "list-files", root)
    assert code == 0, output
    from typer.testing import CliRunner

    from albench.cli.main import app

    listing.write_text(CliRunner().invoke(app, ["data", "list-files", str(root)]).stdout)
    data = folder(listing, overlap="first")
    assert list(data.cases()) == list(PATIENTS)
    assert data.class_names == ("Lung", "Tumor")
    np.testing.assert_array_equal(data.load(PATIENTS[1]).mask, truth(1, 2))


def test_names_of_segments_are_shown_and_are_the_classes(tmp_path):
    root = archive(tmp_path / "set", organs=2)
    with pytest.raises(DataError) as asked:
        prepare(folder(root))
    assert str(asked.value) == (
        "what is to be segmented must be chosen, the masks of 'set' contain 1 (Lung, 1,128 voxels in 3 masks) and 2 "
        "(Tumor, 72 voxels in 3 masks): use --set data.target=classes for classes of these names, or --set "
        "'data.labels=[1,2]' for one foreground of all of them"
    )
    data = folder(root, target="classes")
    assert data.class_names == ("Lung", "Tumor")
    np.testing.assert_array_equal(data.load(PATIENTS[2]).mask, truth(2, 2))
    by_name = folder(root, organs=("Tumor", "Lung"))
    assert by_name.class_names == ("Tumor", "Lung")
    np.testing.assert_array_equal(by_name.load(PATIENTS[2]).mask, np.array([0, 2, 1])[truth(2, 2)])
    assert folder(root, labels=(2,)).load(PATIENTS[2]).mask.sum() == (truth(2, 2) == 2).sum()
    assert folder(root, organs=("Tumor",)).load(PATIENTS[2]).mask.sum() == (truth(2, 2) == 2).sum()


def test_names_of_segments_of_files_that_names_pair_are_the_classes_too(tmp_path):
    image, mask = volume(0, 2)
    series = write_dicom(tmp_path / "imagesTr" / "a", image, AFFINE)
    write_segmentation(tmp_path / "labelsTr" / "a.dcm", series, mask, names=("Lung", "Tumor"))
    assert folder(tmp_path, target="classes").class_names == ("Lung", "Tumor")
    (tmp_path / "list.csv").write_text("image,mask:Tumor\nimagesTr/a,labelsTr/a.dcm\n")
    np.testing.assert_array_equal(folder(tmp_path / "list.csv").load("a").mask, truth(0, 2) == 2)
    (tmp_path / "list.csv").write_text("image,mask:Heart\nimagesTr/a,labelsTr/a.dcm\n")
    with pytest.raises(DataError) as rejected:
        folder(tmp_path / "list.csv").load("a")
    assert str(rejected.value) == (
        f"'{tmp_path}/labelsTr/a.dcm' must have a segment 'Heart', it has none of this name: choose from 'Lung', "
        "'Tumor'"
    )


@pytest.mark.parametrize("change", ["other names", "other order"])
def test_segments_whose_numbers_mean_something_else_in_other_files_are_one_sentence(tmp_path, change):
    root = archive(tmp_path / "set", organs=2)
    files = sorted(root.rglob("400*/*.dcm"))
    content = pydicom.dcmread(files[1])
    for segment, name in zip(
        content.SegmentSequence, ("Tumor", "Lung") if change == "other order" else ("L", "T"), strict=True
    ):
        segment.SegmentLabel = name
    content.save_as(files[1])
    doubt = f"1 is 'Lung' in '{files[0]}' and '{'Tumor' if change == 'other order' else 'L'}' in '{files[1]}'"
    for options in ({}, {"target": "classes"}):
        with pytest.raises(DataError) as rejected:
            folder(root, **options).cases()
        assert str(rejected.value) == (
            f"the number of a segment must mean the same in all files, {doubt}: choose segments by name, such as --set "
            "'data.organs=[Lung]', or by number with data.labels or data.classes"
        )
    chosen = folder(root, labels=(1,))
    assert chosen.load(PATIENTS[1]).mask.sum() == (truth(1, 2) == 1).sum()
    assert chosen.cautions()[1] == f"{doubt}: data.labels and data.classes choose by number, data.organs by name"
    if change == "other order":
        named = folder(root, organs=("Lung", "Tumor"))
        np.testing.assert_array_equal(named.load(PATIENTS[1]).mask, np.array([0, 2, 1])[truth(1, 2)])


def test_segments_of_one_name_are_one_class(tmp_path):
    root = archive(tmp_path / "set", organs=2, names=("Nodule", "Nodule"))
    named = folder(root, target="classes")
    assert named.class_names == ("Nodule",)
    np.testing.assert_array_equal(named.load(PATIENTS[1]).mask, truth(1, 2) > 0)
    np.testing.assert_array_equal(folder(root, organs=("Nodule",)).load(PATIENTS[1]).mask, truth(1, 2) > 0)


def test_segments_that_overlap_are_read_by_name(tmp_path):
    image, mask = volume(0)
    series = write_dicom(tmp_path / "imagesTr" / "a", image, AFFINE)
    both = np.stack([mask > 0, np.roll(mask, 4, 0) > 0], -1).astype(np.uint8)
    write_segmentation(tmp_path / "labelsTr" / "a.dcm", series, both, names=("liver", "tumor"))
    with pytest.raises(DataError) as rejected:
        folder(tmp_path, organs=("tumor", "liver")).load("a")
    assert str(rejected.value) == (
        f"a voxel must have one organ, 240 voxels of '{tmp_path}/imagesTr/a' are in 'tumor' and 'liver': choose organs "
        "with data.organs, or set data.overlap=first to give them the first in data.organs"
    )
    data = folder(tmp_path, organs=("tumor", "liver"), overlap="first")
    assert np.bincount(data.load("a").mask.ravel())[1:].tolist() == [400, 160]
    write_segmentation(tmp_path / "labelsTr" / "a.dcm", series, both, names=("lesion", "lesion"))
    assert folder(tmp_path, organs=("lesion",)).load("a").mask.sum() == 560


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    root = archive(tmp_path / "set")
    (root / "notes.dcm").write_bytes(b"no DICOM")
    with pytest.raises(DataError, match=r"notes.dcm' must be a readable DICOM file, it is not \(.+\): replace or"):
        folder(root).cases()


def test_folders_that_names_pair_are_read_as_before(tmp_path):
    image, mask = volume(0)
    series = write_dicom(tmp_path / "images" / "anna", image, AFFINE)
    write_segmentation(tmp_path / "labels" / "anna.dcm", series, mask)
    assert list(folder(tmp_path).cases()) == ["anna"]
    with pytest.raises(ConfigError) as rejected:
        folder(tmp_path, dicom_masks="SEG").cases()
    assert str(rejected.value) == (
        f"data.dicom_masks must choose among masks of DICOM that say which series they are of, '{tmp_path}' is paired "
        "by names or a list: leave it out"
    )
