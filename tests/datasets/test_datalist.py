"""JSON lists of images and masks as nnU-Net, MONAI and the Decathlon write them."""

import json

import pytest
from support.samples import write_volumes

from albench.errors import DataError
from albench.registry import DATASETS, find

COUNT = 4
NNUNET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "spleen": 1}, "file_ending": ".nii.gz"}


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def listed(root, content, name="dataset.json"):
    (root / name).write_text(json.dumps(content))
    return root / name


def entries(image, mask, **more):
    return [{"image": image.format(i), "label": mask.format(i)} | more for i in range(COUNT)]


def first_values(data, case):
    """The value of each channel where `write_volumes` writes the number of the file."""
    return data.load(case).image[:, 0, -1, -1].tolist()


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".nii.gz", ".NII.GZ"])
def test_names_of_nnunet_1_mean_its_numbered_files(tmp_path, channels, suffix):
    for i in range(COUNT):
        write_volumes(tmp_path, *(f"imagesTr/c{i}_000{channel}{suffix}" for channel in range(channels)), numbered=True)
    write_volumes(tmp_path, *(f"labelsTr/c{i}.nii.gz" for i in range(COUNT)))
    modality = {str(channel): f"m{channel}" for channel in range(channels)}
    training = entries("./imagesTr/c{}.nii.gz", "./labelsTr/c{}.nii.gz")
    content = {"modality": modality, "labels": {"0": "background", "1": "lesion"}, "training": training, "test": []}
    listed(tmp_path, content)
    data = folder(tmp_path)
    assert list(data.cases()) == [f"c{i}" for i in range(COUNT)]
    assert first_values(data, "c0") == list(range(1, channels + 1))
    assert data.notes() == []


@pytest.mark.parametrize("order", ["ab", "ba", "abc"])
def test_images_of_a_monai_datalist_are_channels_in_its_order(tmp_path, order):
    for i in range(COUNT):
        write_volumes(tmp_path / f"data/c{i}", "a.nii.gz", "b.nii.gz", "c.nii.gz", numbered=True)
        write_volumes(tmp_path / f"data/c{i}", "seg.nii.gz")
    training = [
        {"fold": i % 2, "image": [f"data/c{i}/{name}.nii.gz" for name in order], "label": f"data/c{i}/seg.nii.gz"}
        for i in range(COUNT)
    ]
    listed(tmp_path, {"training": training})
    data = folder(tmp_path)
    assert list(data.cases()) == [f"c{i}" for i in range(COUNT)]
    assert first_values(data, "c2") == ["abc".index(name) + 1 for name in order]


@pytest.mark.parametrize("name", ["dataset.json", "datalist.JSON", "dataset_0.json"])
@pytest.mark.parametrize("form", ["training", "train", "list"])
def test_a_json_file_may_be_the_root(tmp_path, name, form):
    write_volumes(tmp_path, *(f"{part}/c{i}.nii.gz" for i in range(COUNT) for part in ("any", "other")))
    training = entries("any/c{}.nii.gz", "other/c{}.nii.gz", fold=1)
    data = folder(listed(tmp_path, training if form == "list" else {form: training}, name))
    assert list(data.cases()) == [f"c{i}" for i in range(COUNT)]
    assert data.title == (tmp_path.name if name == "dataset.json" else name.partition(".")[0])
    assert data.inputs()[-1] == tmp_path / name


@pytest.mark.parametrize("absolute", [False, True])
def test_the_dataset_key_of_nnunet_2_names_cases_and_files_elsewhere(tmp_path, absolute):
    write_volumes(tmp_path, *(f"elsewhere/x{i}.nii.gz" for i in range(COUNT)), numbered=True)
    write_volumes(tmp_path, *(f"seg/y{i}.nii.gz" for i in range(COUNT)))
    (tmp_path / "raw").mkdir()
    start = f"{tmp_path}/" if absolute else "../"
    cases = {
        f"c{i}": {"images": [f"{start}elsewhere/x{i}.nii.gz"], "label": f"{start}seg/y{i}.nii.gz"} for i in range(COUNT)
    }
    listed(tmp_path / "raw", NNUNET | {"dataset": cases})
    data = folder(tmp_path / "raw")
    assert list(data.cases()) == [f"c{i}" for i in range(COUNT)]
    assert first_values(data, "c3") == [4]
    assert data.notes() == []


def test_sections_that_are_left_out_are_told(tmp_path):
    write_volumes(tmp_path, *(f"{part}/c{i}.nii.gz" for i in range(COUNT) for part in ("images", "labels")))
    training, unlabeled = entries("images/c{}.nii.gz", "labels/c{}.nii.gz"), [{"image": "images/c0.nii.gz"}]
    listed(tmp_path, {"training": training[:2], "validation": training[2:3], "test": unlabeled})
    sentence = (
        "1 cases of section 'validation' of dataset.json are left out: albench splits the others itself, add them to "
        "the section 'training' to use them"
    )
    assert folder(tmp_path).notes() == ["1 images of the official test set have no labels and are left out", sentence]
    listed(tmp_path, {"training": training[:2], "test": training[2:]})
    assert folder(tmp_path).notes() == [sentence.replace("1 cases", "2 cases").replace("validation", "test")]


def test_patients_and_masks_of_organs_come_from_a_datalist(tmp_path):
    for i in range(COUNT):
        write_volumes(tmp_path / f"c{i}", "ct.nii.gz", "liver.nii.gz")
    training = [
        {"image": f"c{i}/ct.nii.gz", "label": {"liver": f"c{i}/liver.nii.gz"}, "subject": i // 2} for i in range(COUNT)
    ]
    data = folder(listed(tmp_path, training))
    assert data.class_names == ("liver",)
    assert [data.patient(case) for case in data.cases()] == ["0", "0", "1", "1"]


@pytest.mark.parametrize(
    "content",
    [
        {"training": [{"image": 3, "label": "a.nii.gz"}]},
        {"training": [{"image": [], "label": "a.nii.gz"}]},
        {"training": [{"label": "a.nii.gz"}]},
        {"training": ["a.nii.gz"]},
        {"training": "a.nii.gz"},
        {"training": [{"image": "a.nii.gz", "label": {"liver": 1}}]},
        {"dataset": {"c0": "a.nii.gz"}},
        {"folds": []},
        [],
        3,
    ],
)
def test_a_list_of_another_form_is_one_sentence(tmp_path, content):
    sentence = r"must list cases under \"training\", each with \"image\" and \"label\": correct or remove it"
    path = listed(tmp_path, content)
    for root in (tmp_path, path):
        with pytest.raises(DataError, match=sentence):
            folder(root).cases()


def test_a_listed_file_that_is_missing_is_one_sentence_and_nothing_says_that_the_path_is_wrong(tmp_path):
    write_volumes(tmp_path, *(f"a/c{i}.nii.gz" for i in range(COUNT)))
    listed(tmp_path, {"training": entries("a/c{}.nii.gz", "b/c{}.nii.gz")})
    sentences = [problem.sentence for problem in folder(tmp_path)._found.problems]
    assert sentences == [
        f"'{tmp_path}/b/c{i}.nii.gz' must exist, dataset.json lists it: add the file or remove the line"
        for i in range(COUNT)
    ]
