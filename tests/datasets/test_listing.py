import json
import pickle
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from support.samples import write_pair

from albench.data import Intensities, prepare, split_volumes
from albench.errors import ConfigError, DataError
from albench.registry import DATASETS, find, options_of
from albench.resolve import make_dataset, resolve
from albench.settings import parse_settings
from albench.spreadsheet import csv_text

HEADER = "image,mask,patient"


def rows(patients="aabbcc"):
    pairs = [f"imagesTr/blob_{index}.nii.gz,labelsTr/blob_{index}.nii.gz" for index in range(6)]
    return [f"{pair},{patient}" for pair, patient in zip(pairs, patients, strict=True)]


def yaml(root, options="", key="patient"):
    volumes = "".join(
        f"  - {{image: imagesTr/blob_{i}.nii.gz, mask: labelsTr/blob_{i}.nii.gz, {key}: {i}}}\n" for i in range(6)
    )
    (root / "mine.yaml").write_text(f"{options}volumes:\n{volumes}")
    return root / "mine.yaml"


def csv(root, *lines):
    (root / "mine.csv").write_text("\n".join(lines))
    return root / "mine.csv"


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def test_cases_of_one_patient_are_in_one_part_of_the_split(decathlon):
    data = folder(csv(decathlon, HEADER, *rows()))
    assert data.title == "mine"
    assert list(data.cases()) == [f"{patient}-blob_{i}" for i, patient in enumerate("aabbcc")]
    prepared = prepare(data)
    assert prepared.patients == tuple("aabbcc")
    for seed in range(6):
        split = split_volumes(prepared.cases, prepared.patients, (1, 1, 1), seed)
        parts = [{name[0] for name in part} for part in (split.train, split.val, split.test)]
        assert [len(part) for part in parts] == [1, 1, 1]
        assert len(split.train) == len(split.val) == len(split.test) == 2


def test_a_run_splits_by_patient(decathlon, tmp_path):
    from support.samples import invoke, tiny_training_arguments

    listing = csv(decathlon, HEADER, *rows())
    more = tiny_training_arguments(data__size=[32, 32], protocol__split=[1, 1, 1])
    code, output = invoke(
        *("run", "--strategy", "random", "--dataset", "folder", "--data-root", listing, "--out", tmp_path / "runs"),
        *more,
    )
    assert code == 0, output
    (path,) = (tmp_path / "runs").rglob("split.json")
    parts = json.loads(path.read_text())
    assert all({name[0] for name in parts[part]} and len(parts[part]) == 2 for part in ("train", "val", "test"))
    assert all(len({name[0] for name in parts[part]}) == 1 for part in ("train", "val", "test"))


def test_a_split_of_too_few_patients_is_rejected_before_the_preparation(decathlon):
    listing = csv(decathlon, HEADER, *rows("aaabbb"))
    settings = {"data.root": str(listing), "protocol.split": [1, 1, 1]}
    seen = []
    with pytest.raises(ConfigError, match=r"at least one of the 2 patients, \[1.0, 1.0, 1.0\] gives \[1, 1, 1\]"):
        resolve("random", "folder", settings=settings, progress=lambda *call: seen.append(call))
    assert seen == []


def test_without_patients_every_case_has_its_own(decathlon):
    data = folder(csv(decathlon, "image,mask", *(row.rpartition(",")[0] for row in rows())))
    assert list(data.cases()) == [f"blob_{i}" for i in range(6)]
    assert [data.patient(name) for name in data.cases()] == list(data.cases())


def test_options_come_from_the_list(two_labels):
    data = folder(yaml(two_labels, OPTIONS))
    assert (data.axis, data.labels, data.window, data.size) == ("coronal", (2,), (80.0, 120.0), (48, 32))
    prepared = prepare(data)
    assert prepared.images.shape[1:] == (1, 48, 32)
    raw = np.asarray(nib.load(two_labels / "labelsTr" / "blob_1.nii.gz").dataobj)
    np.testing.assert_array_equal(data.load("1").mask.sum((1, 2)), (raw == 2).sum((0, 2))[::-1])


OPTIONS = "axis: coronal\nlabels: [2]\nwindow: [80, 120]\nsize: [48, 32]\nchannels: [0]\n"


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        ("axis", "axial", "axial"),
        ("axis", "sagittal", "sagittal"),
        ("labels", "[1]", (1,)),
        ("labels", "none", None),
        ("labels", "null", None),
        ("window", "null", None),
        ("window", "[0,1e3]", (0.0, 1000.0)),
        ("size", "none", None),
        ("channels", "null", None),
    ],
)
def test_an_option_of_the_user_overrides_the_list_even_if_it_is_the_default(decathlon, option, given, value):
    path = yaml(decathlon, OPTIONS)
    by_list = make_dataset("folder", parse_settings([], path))
    by_user = make_dataset("folder", parse_settings([f"data.{option}={given}"], path))
    assert options_of(by_user) == options_of(by_list) | options_of(replace(by_list, **{option: value}))
    assert getattr(by_user, option) == value != getattr(by_list, option)
    assert folder(path, **{option: value}) == by_user
    assert pickle.loads(pickle.dumps(by_user)) == by_user


@pytest.mark.parametrize("kind", ["csv", "yaml", "json"])
@pytest.mark.parametrize(("option", "rule"), [("data.intensity=mr", "mr"), ("data.clip=[10,90]", "volume")])
def test_intensities_of_the_user_hold_for_a_list(decathlon, kind, option, rule):
    pairs = [(f"imagesTr/{path.name}", f"labelsTr/{path.name}") for path in sorted((decathlon / "labelsTr").iterdir())]
    path = decathlon / f"list.{kind}"
    if kind == "csv":
        path.write_text("\n".join(["image,mask", *map(",".join, pairs)]))
    else:
        entries = [dict(zip(("image", "mask"), pair, strict=True)) for pair in pairs]
        path.write_text(json.dumps({"volumes" if kind == "yaml" else "training": entries}))
    by_folder = make_dataset("folder", parse_settings([option], decathlon))
    by_list = make_dataset("folder", parse_settings([option], path))
    usual = make_dataset("folder", parse_settings([], path))
    assert by_list.intensities == by_folder.intensities != usual.intensities
    assert by_list.intensities.rule == rule
    one, other, unlike = (prepare(data) for data in (by_folder, by_list, usual))
    np.testing.assert_array_equal(one.images, other.images)
    assert other.key != unlike.key


def test_a_list_sets_intensities_which_the_user_overrides(decathlon):
    path = yaml(decathlon, "intensity: mr\nclip: [1, 99]\n")
    assert folder(path).intensities == Intensities(None, (1.0, 99.0), "mr")
    assert folder(path, clip="auto", intensity="ct").intensities == Intensities(None, "auto", "ct")
    assert folder(yaml(decathlon, "clip: none\nintensity: none\n")).intensities == Intensities(None, None, "none")
    with pytest.raises(DataError, match=r"must set clip to a value of data.clip, got \[1\] \("):
        folder(yaml(decathlon, "clip: [1]\n"))


def test_the_axis_of_the_user_reaches_the_run(two_labels):
    settings = {"data.root": str(yaml(two_labels, OPTIONS)), "protocol.split": [4, 1, 1]}
    by_list = resolve("random", "folder", settings=settings).config
    by_user = resolve("random", "folder", settings=settings | {"data.axis": "axial", "data.labels": [1, 2]}).config
    assert (by_list.dataset.options["axis"], by_user.dataset.options["axis"]) == ("coronal", "axial")
    assert (by_list.dataset.options["labels"], by_user.dataset.options["labels"]) == ([2], [1, 2])
    written = settings | {f"data.{name}": value for name, value in by_user.dataset.options.items()}
    assert resolve("random", "folder", settings=written).config.digest() == by_user.digest()


def test_subject_is_another_name_for_patient(decathlon):
    by_csv = folder(csv(decathlon, "image,mask,subject", *rows()))
    assert [by_csv.patient(case) for case in by_csv.cases()] == list("aabbcc")
    by_yaml = folder(yaml(decathlon, key="subject"))
    assert [by_yaml.patient(case) for case in by_yaml.cases()] == list("012345")


def test_a_list_with_patient_and_subject_is_one_sentence(decathlon):
    sentence = r"must name the patient once, it has both 'patient' and 'subject', which mean the same: remove 'subject'"
    with pytest.raises(DataError, match=rf"mine.csv' {sentence}"):
        folder(csv(decathlon, "image,mask,patient,subject", *(f"{row},x" for row in rows())))
    path = yaml(decathlon)
    path.write_text(path.read_text().replace("patient: 3", "subject: 3"))
    with pytest.raises(DataError, match=rf"mine.yaml' {sentence}"):
        folder(path)


def test_patient_0_is_a_patient(decathlon):
    data = folder(csv(decathlon, HEADER, *rows("001122")))
    assert [data.patient(case) for case in data.cases()] == list("001122")
    path = yaml(decathlon)
    path.write_text(path.read_text().replace("patient: 1", "patient: 0"))
    assert [folder(path).patient(case) for case in ("0-blob_0", "0-blob_1")] == ["0", "0"]


def test_a_csv_sets_options_in_columns(decathlon):
    lines = [f'{row},sagittal,"[1, 2]","[80, 120]","[32, 48]"' for row in rows()]
    data = folder(csv(decathlon, f"{HEADER},axis,labels,window,size", *lines))
    assert (data.axis, data.labels, data.window, data.size) == ("sagittal", (1, 2), (80.0, 120.0), (32, 48))


def test_cells_that_albench_wrote_for_a_spreadsheet_are_read_as_what_they_were(decathlon):
    images, masks = decathlon / "imagesTr", decathlon / "labelsTr"
    (images / "blob_0.nii.gz").rename(decathlon / "-image.nii.gz")
    (masks / "blob_0.nii.gz").rename(decathlon / "=mask.nii.gz")
    lines = [("-image.nii.gz", "=mask.nii.gz", "@one"), ("imagesTr/blob_1.nii.gz", "labelsTr/blob_1.nii.gz", "-2")]
    path = decathlon / "mine.csv"
    path.write_text(csv_text([HEADER.split(","), *lines]))
    assert path.read_text().splitlines()[1:] == [
        "'-image.nii.gz,'=mask.nii.gz,'@one",
        "imagesTr/blob_1.nii.gz,labelsTr/blob_1.nii.gz,-2",
    ]
    data = folder(path)
    assert {case: data.patient(case) for case in data.cases()} == {"@one": "@one", "-2": "-2"}
    assert data.load("@one").mask is not None


def test_several_images_of_a_volume_are_its_channels(decathlon):
    line = "imagesTr/blob_0.nii.gz;imagesTr/second.nii.gz,labelsTr/blob_0.nii.gz,one"
    image = nib.load(decathlon / "imagesTr" / "blob_0.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata() * 2, image.affine), decathlon / "imagesTr" / "second.nii.gz")
    volume = folder(csv(decathlon, HEADER, line)).load("one")
    assert volume.image.shape[0] == 2
    np.testing.assert_allclose(volume.image[1], 2 * volume.image[0], rtol=1e-6)


def test_files_of_one_name_in_different_folders_are_cases_of_their_own(decathlon):
    for site in ("a", "b"):
        for part in ("imagesTr", "labelsTr"):
            (decathlon / part / site).mkdir()
    lines = []
    for number, name in enumerate(("a/scan", "b/scan", "b/scan_2", "b/scan_3")):
        for part in ("imagesTr", "labelsTr"):
            (decathlon / part / f"blob_{number}.nii.gz").rename(decathlon / part / f"{name}.nii.gz")
        lines.append(f"imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz")
    alone = folder(csv(decathlon, "image,mask", *lines))
    assert list(alone.cases()) == ["a-scan", "b-scan", "scan_2", "scan_3"]
    assert [alone.patient(case) for case in alone.cases()] == ["a-scan", "b-scan", "scan_2", "scan_3"]
    grouped = folder(csv(decathlon, HEADER, *(f"{line},p{number // 2}" for number, line in enumerate(lines))))
    assert list(grouped.cases()) == ["a-p0-scan", "b-p0-scan", "p1-scan_2", "p1-scan_3"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (("image,patient", "a.nii,1"), "no volume has a mask: correct it"),
        ((HEADER,), "must list volumes, each with image, mask and optionally patient, it lists none: correct it"),
        ((HEADER, "a,b,c,d"), "row 1 has more cells than the header"),
        ((f"{HEADER},labels", 'a,b,c,"[1"'), "it has a value that is not YAML"),
        (
            (f"{HEADER},size", 'imagesTr/blob_0.nii.gz,labelsTr/blob_0.nii.gz,1,"[32, true]"'),
            "a value of data.size, got",
        ),
        (
            (HEADER, "absent.nii.gz,labelsTr/blob_0.nii.gz,1"),
            r"absent.nii.gz' must exist, mine.csv lists it: add the file",
        ),
        ((HEADER, f"{'a' * 300}.nii,m.nii,1"), "aaa.nii' must exist, mine.csv lists it: add the file or remove the li"),
        ((f"{HEADER},age", "imagesTr/blob_0.nii.gz,labelsTr/blob_0.nii.gz,1,30"), "'age' is not one of image, mask"),
        ((f"{HEADER},axis", "a,b,c,axial", "d,e,f,coronal"), "column 'axis' has axial and coronal, not one value in"),
        (
            (f"{HEADER},axis", "imagesTr/blob_0.nii.gz,labelsTr/blob_0.nii.gz,1,up"),
            "must set axis to a value of data.axis, got 'up'",
        ),
        ((HEADER, "a,m.nii,1", "b,m.nii,1"), "two cases would be named '1-m'"),
    ],
)
def test_an_unusable_list_is_one_sentence(decathlon, lines, sentence):
    with pytest.raises(DataError, match=sentence):
        folder(csv(decathlon, *lines)).cases()


@pytest.mark.parametrize("name", [r"a\nb", r"\e[31mred", r"a\u202Eb"])
@pytest.mark.parametrize(("which", "what"), [("patient: 0", "a case"), ("classes: {y: 1}", "a class")])
def test_a_name_with_characters_that_are_not_printed_is_one_sentence(decathlon, name, which, what):
    key, _, value = which.partition(": ")
    path = yaml(decathlon, "classes: {y: 1}\n")
    old, new = (which, f'{key}: "{name}"') if value == "0" else ("{y:", f'{{"{name}":')
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=f"^{what} must have a name of characters that are printed, got '.*': rename"):
        prepare(make_dataset("folder", {"data.root": str(path)}))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("{image: a.nii, mask: b.nii, 3: c}", "'3' is not one of image, mask, patient"),
        ("{image: [], mask: b.nii}", "volume 1 has no image"),
        ("{image: a.nii, mask: {}}", "no volume has a mask"),
        ("{image: a.nii, mask: {liver: [b.nii, c.nii]}}", "a.nii' must exist, mine.yaml lists it"),
        ("{image: a.nii, mask: {1: b.nii}}", "a.nii' must exist, mine.yaml lists it"),
    ],
)
def test_odd_rows_of_a_yaml_are_one_sentence(decathlon, row, sentence):
    (decathlon / "mine.yaml").write_text(f"volumes:\n  - {row}\n")
    with pytest.raises(DataError, match=sentence):
        folder(decathlon / "mine.yaml").cases()


def test_a_yaml_without_volumes_is_one_sentence(decathlon):
    (decathlon / "mine.yaml").write_text("axis: axial")
    with pytest.raises(DataError, match=r"must list volumes, .* it has no list 'volumes': correct it"):
        folder(decathlon / "mine.yaml").cases()


def test_a_list_that_is_not_text_is_one_sentence(decathlon):
    for name in ("mine.csv", "mine.yaml"):
        (decathlon / name).write_bytes(b"image,mask\n\xff\xfe")
        with pytest.raises(DataError, match=r"must list volumes, .* it is not text in UTF-8 .*: correct it"):
            folder(decathlon / name)


def test_a_dataset_json_that_lists_no_case_is_one_sentence(decathlon):
    (decathlon / "dataset.json").write_text(json.dumps({"training": []}))
    with pytest.raises(DataError, match=r"dataset.json' must list cases under \"training\", .*: correct or remove it"):
        folder(decathlon).defaults()


def test_folders_may_be_named_images_and_masks(decathlon):
    (decathlon / "imagesTr").rename(decathlon / "images")
    (decathlon / "labelsTr").rename(decathlon / "masks")
    assert list(folder(decathlon).cases()) == [f"blob_{i}" for i in range(6)]
    (decathlon / "masks" / "blob_2.nii.gz").unlink()
    with pytest.raises(DataError, match=r"blob_2.nii.gz' has none in masks/: add it"):
        folder(decathlon).cases()


def test_numbered_files_of_nnunet_are_channels(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "Dataset001_Blob"
    mask = np.zeros((20, 24, 8), np.uint8)
    mask[5:9, 5:9, 2:5] = 1
    for case in ("case_1", "case_2"):
        for channel in range(2):
            write_pair(root, f"{case}_{channel:04d}", rng.normal(channel, 0.1, mask.shape).astype(np.float32), mask)
            path = root / "labelsTr" / f"{case}_{channel:04d}.nii.gz"
            path.replace(root / "labelsTr" / f"{case}.nii.gz")
    content = {"channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "blob": 1}, "numTraining": 2}
    (root / "dataset.json").write_text(json.dumps(content | {"file_ending": ".nii.gz"}))
    data = folder(root)
    assert list(data.cases()) == ["case_1", "case_2"]
    volume = data.load("case_1")
    assert volume.image.mean((1, 2, 3)) == pytest.approx([0, 1], abs=0.1)


def test_a_4d_image_needs_declared_or_chosen_channels(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 24, 8, 3)).astype(np.float32)
    mask = (image[..., 0] > 1).astype(np.uint8)
    write_pair(tmp_path / "set", "one", image, mask)
    with pytest.raises(
        DataError, match=r"it has shape \(20, 24, 8, 3\): .* choose the channels of an image with data.channels"
    ):
        folder(tmp_path / "set").load("one")
    volume = folder(tmp_path / "set", channels=(2, 0)).load("one")
    np.testing.assert_array_equal(volume.image[0], image[::-1, ::-1, :, 2].transpose(2, 1, 0))
    pair = {"image": "./imagesTr/one.nii.gz", "label": "./labelsTr/one.nii.gz"}
    declared = {"modality": {"0": "a", "1": "b", "2": "c"}, "training": [pair]}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(declared))
    assert folder(tmp_path / "set").load("one").image.shape[0] == 3


def test_another_format_is_one_sentence(decathlon):
    path = decathlon / "imagesTr" / "blob_9.mgz"
    path.write_bytes(b"FreeSurfer")
    with pytest.raises(DataError) as rejected:
        folder(decathlon).cases()
    assert str(rejected.value) == (
        f"'{path}' must be a volume (.nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr, .h5, .dcm or a folder of DICOM slices), "
        "it is another format: convert it, for example to .nii.gz"
    )
    with pytest.raises(DataError, match=r"blob_9.mgz' must be a volume \(.nii.gz, .nii, .mha"):
        folder(csv(decathlon, HEADER, "imagesTr/blob_9.mgz,labelsTr/blob_0.nii.gz,1")).load("1")


def test_a_folder_without_a_series_is_one_sentence(decathlon):
    (decathlon / "empty").mkdir()
    with pytest.raises(DataError) as rejected:
        folder(csv(decathlon, HEADER, "empty,labelsTr/blob_0.nii.gz,1")).load("1")
    assert str(rejected.value) == (
        f"'{decathlon}/empty' must hold the slices of a DICOM series, it holds none: name a file instead"
    )


def test_a_list_that_says_so_needs_no_mask_and_all_labels_are_unknown(decathlon):
    images = [f"imagesTr/blob_{index}.nii.gz,,case_{index},pool" for index in range(6)]
    data = folder(csv(decathlon, f"{HEADER},unlabeled", *images))
    assert list(data.cases()) == [f"case_{index}" for index in range(6)]
    assert not any(map(data.has_mask, data.cases()))
    assert not [problem for problem in data.problems() if problem.serious]
    prepared = prepare(data)
    assert (np.asarray(prepared.masks)[:, :20, :20] == 255).all()
    assert not prepared.stack(prepared.cases).annotatable.any()
