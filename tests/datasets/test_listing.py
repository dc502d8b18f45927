import json

import nibabel as nib
import numpy as np
import pytest
from support.samples import write_pair

from albench.data import split_volumes
from albench.data.prepared import prepare
from albench.errors import ConfigError, DataError
from albench.registry import DATASETS, find
from albench.resolve import make_dataset, resolve

HEADER = "image,mask,subject"


def rows(root, subjects="aabbcc"):
    names = [f"blob_{index}" for index in range(6)]
    return [f"imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz,{who}" for name, who in zip(names, subjects, strict=True)]


def csv(root, *lines):
    (root / "mine.csv").write_text("\n".join(lines))
    return root / "mine.csv"


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def test_volumes_of_one_subject_stay_in_one_part_of_the_split(decathlon):
    data = folder(csv(decathlon, HEADER, *rows(decathlon)))
    assert data.title == "mine"
    assert list(data.subjects()) == [f"{who}-blob_{i}" for i, who in enumerate("aabbcc")]
    prepared = prepare(data)
    assert prepared.patients == tuple("aabbcc")
    for seed in range(6):
        split = split_volumes(prepared.subjects, prepared.patients, (1, 1, 1), seed)
        parts = [{name[0] for name in part} for part in (split.train, split.val, split.test)]
        assert [len(part) for part in parts] == [1, 1, 1]
        assert len(split.train) == len(split.val) == len(split.test) == 2


def test_a_run_splits_by_subject(decathlon, tmp_path):
    from support.samples import invoke, tiny_training_arguments

    listing = csv(decathlon, HEADER, *rows(decathlon))
    more = tiny_training_arguments(data__size=[32, 32], protocol__split=[1, 1, 1])
    code, said = invoke(
        *("run", "--strategy", "random", "--dataset", "folder", "--data-root", listing, "--out", tmp_path / "runs"),
        *more,
    )
    assert code == 0, said
    (path,) = (tmp_path / "runs").rglob("split.json")
    parts = json.loads(path.read_text())
    assert all({name[0] for name in parts[part]} and len(parts[part]) == 2 for part in ("train", "val", "test"))
    assert all(len({name[0] for name in parts[part]}) == 1 for part in ("train", "val", "test"))


def test_a_split_of_too_few_persons_is_refused_before_the_data_are_prepared(decathlon):
    listing = csv(decathlon, HEADER, *rows(decathlon, "aaabbb"))
    settings = {"data.root": str(listing), "protocol.split": [1, 1, 1]}
    seen = []
    with pytest.raises(ConfigError, match=r"at least one of the 2 subjects, \[1.0, 1.0, 1.0\] gives \[1, 1, 1\]"):
        resolve("random", "folder", settings=settings, progress=lambda *call: seen.append(call))
    assert seen == []


def test_without_subjects_every_volume_is_its_own(decathlon):
    data = folder(csv(decathlon, "image,mask", *(row.rpartition(",")[0] for row in rows(decathlon))))
    assert list(data.subjects()) == [f"blob_{i}" for i in range(6)]
    assert [data.patient(name) for name in data.subjects()] == list(data.subjects())


def test_options_come_from_the_list_unless_the_user_sets_them(decathlon):
    volumes = "".join(
        f"  - {{image: imagesTr/blob_{i}.nii.gz, mask: labelsTr/blob_{i}.nii.gz, subject: {i}}}\n" for i in range(6)
    )
    (decathlon / "mine.yaml").write_text(
        f"axis: coronal\nlabels: [2]\nwindow: [80, 120]\nsize: [48, 32]\nvolumes:\n{volumes}"
    )
    data = make_dataset("folder", {"data.root": str(decathlon / "mine.yaml")})
    assert (data.axis, data.labels, data.window, data.size) == ("coronal", (2,), (80.0, 120.0), (48, 32))
    user = make_dataset("folder", {"data.root": str(decathlon / "mine.yaml"), "data.labels": [1]})
    assert (user.labels, user.axis) == ((1,), "coronal")
    prepared = prepare(data)
    assert prepared.images.shape[1:] == (1, 48, 32)
    raw = np.asarray(nib.load(decathlon / "labelsTr" / "blob_1.nii.gz").dataobj)
    np.testing.assert_array_equal(data.load("1").mask.sum((1, 2)), (raw == 2).sum((0, 2))[::-1])


def test_a_csv_sets_options_in_columns(decathlon):
    lines = [f'{row},sagittal,"[1, 2]","[80, 120]","[32, 48]"' for row in rows(decathlon)]
    data = folder(csv(decathlon, f"{HEADER},axis,labels,window,size", *lines))
    assert (data.axis, data.labels, data.window, data.size) == ("sagittal", (1, 2), (80.0, 120.0), (32, 48))


def test_several_images_of_a_volume_are_its_channels(decathlon):
    line = "imagesTr/blob_0.nii.gz;imagesTr/second.nii.gz,labelsTr/blob_0.nii.gz,one"
    image = nib.load(decathlon / "imagesTr" / "blob_0.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata() * 2, image.affine), decathlon / "imagesTr" / "second.nii.gz")
    volume = folder(csv(decathlon, HEADER, line)).load("one")
    assert volume.image.shape[0] == 2
    np.testing.assert_allclose(volume.image[1], 2 * volume.image[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (("image,subject", "a.nii,1"), "volume 1 has no image or no mask: mend it"),
        ((HEADER, "gone.nii.gz,labelsTr/blob_0.nii.gz,1"), r"gone.nii.gz' must exist, mine.csv lists it: add the file"),
        ((f"{HEADER},age", "imagesTr/blob_0.nii.gz,labelsTr/blob_0.nii.gz,1,30"), "'age' is not one of image, mask"),
        ((f"{HEADER},axis", "a,b,c,axial", "d,e,f,coronal"), "column 'axis' says axial and coronal, not the same in"),
        ((f"{HEADER},axis", "imagesTr/blob_0.nii.gz,labelsTr/blob_0.nii.gz,1,up"), "must set axis as data.axis is set"),
        ((HEADER, "a,m.nii,1", "b,m.nii,1"), "two volumes would be called '1-m'"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_sentence(decathlon, lines, sentence):
    with pytest.raises(DataError, match=sentence):
        folder(csv(decathlon, *lines)).subjects()


def test_a_yaml_without_volumes_is_one_sentence(decathlon):
    (decathlon / "mine.yaml").write_text("axis: axial")
    with pytest.raises(DataError, match=r"must list volumes, .* it has no list 'volumes': mend it"):
        folder(decathlon / "mine.yaml").subjects()


def test_images_with_masks_are_a_layout_of_their_own(decathlon):
    (decathlon / "imagesTr").rename(decathlon / "images")
    (decathlon / "labelsTr").rename(decathlon / "masks")
    assert list(folder(decathlon).subjects()) == [f"blob_{i}" for i in range(6)]
    (decathlon / "masks" / "blob_2.nii.gz").unlink()
    with pytest.raises(DataError, match=r"blob_2.nii.gz' has none in masks/: add it"):
        folder(decathlon).subjects()


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
    assert list(data.subjects()) == ["case_1", "case_2"]
    volume = data.load("case_1")
    assert volume.image.mean((1, 2, 3)) == pytest.approx([0, 1], abs=0.1)


def test_a_4d_image_needs_to_say_what_its_channels_are(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 24, 8, 3)).astype(np.float32)
    mask = (image[..., 0] > 1).astype(np.uint8)
    write_pair(tmp_path / "set", "one", image, mask)
    with pytest.raises(DataError, match=r"it has shape \(20, 24, 8, 3\): .* say which with data.channels"):
        folder(tmp_path / "set").load("one")
    volume = folder(tmp_path / "set", channels=(2, 0)).load("one")
    np.testing.assert_array_equal(volume.image[0], image[::-1, ::-1, :, 2].transpose(2, 1, 0))
    pair = {"image": "./imagesTr/one.nii.gz", "label": "./labelsTr/one.nii.gz"}
    declared = {"modality": {"0": "a", "1": "b", "2": "c"}, "training": [pair]}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(declared))
    assert folder(tmp_path / "set").load("one").image.shape[0] == 3


def test_another_format_is_one_sentence(decathlon):
    (decathlon / "imagesTr" / "blob_9.mha").write_bytes(b"ObjectType = Image")
    with pytest.raises(DataError, match=r"blob_9.mha' must be a NIfTI file \(.nii or .nii.gz\), it is another format"):
        folder(decathlon).subjects()
    with pytest.raises(DataError, match=r"blob_9.mha' must be a NIfTI file"):
        folder(csv(decathlon, HEADER, "imagesTr/blob_9.mha,labelsTr/blob_0.nii.gz,1")).load("1")
