"""`albench data list-files`: a list of what is there, which `--data-root` reads."""

import pytest
from support.samples import invoke, write_volumes
from typer.testing import CliRunner

from albench.cli.main import app
from albench.errors import DataError
from albench.registry import DATASETS, find

COUNT = 3
COMPLETE = "3 cases: check which mask and which patient each image has, then use the list with --data-root"


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def listed(root, *arguments):
    """The list that the command prints, without `root/` in its paths, and what it says beside it."""
    result = CliRunner().invoke(app, ["data", "list-files", str(root), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (root.parent / "list.csv").write_text(result.stdout)
    return result.stdout.replace(f"{root}/", "").splitlines(), result.stderr.strip()


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("imagesTr/c{}.nii.gz", "labelsTr/c{}.nii.gz"),
        ("imagesTr/volume-{}.nii", "labelsTr/segmentation-{}.nii"),
        ("c{}.NII.GZ", "c{}_seg.nii.gz"),
    ],
)
def test_the_list_of_a_folder_reads_what_the_folder_reads(tmp_path, image, mask):
    root = tmp_path / "set"
    write_volumes(root, *(name.format(i) for i in range(COUNT) for name in (image, mask)))
    lines, said = listed(root)
    cases = list(folder(root).cases())
    assert lines == ["image,mask,patient", *(f"{image},{mask},{{}}".format(i, i, cases[i]) for i in range(COUNT))]
    assert said == COMPLETE
    by_list = folder(tmp_path / "list.csv")
    assert list(by_list.cases()) == cases
    assert [by_list.load(case).mask.sum() for case in cases] == [128] * COUNT


def test_channels_organs_and_patients_have_their_columns(tmp_path):
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, f"images/p{i // 2}_t{i}_0000.nii", f"images/p{i // 2}_t{i}_0001.nii")
        write_volumes(root, *(f"masks/p{i // 2}_t{i}_{organ}.nii" for organ in ("liver", "spleen")))
    lines, _ = listed(root)
    assert lines[0] == "image,mask:liver,mask:spleen,patient"
    assert lines[3] == ("images/p1_t2_0000.nii;images/p1_t2_0001.nii,masks/p1_t2_liver.nii,masks/p1_t2_spleen.nii,p1")
    data = folder(tmp_path / "list.csv", overlap="first")
    assert [data.patient(case) for case in data.cases()] == ["p0", "p0", "p1"]
    assert data.class_names == ("liver", "spleen")
    assert data.load("p1").image.shape[0] == 2
    assert listed(root, "--set", "data.patients=_(t.)")[0][3].endswith(",t2")


def test_images_beside_one_mask_are_proposed_as_channels(tmp_path):
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, *(f"p{i}/{name}.nii.gz" for name in ("flair", "t1", "seg")))
    lines, said = listed(root)
    assert lines[1:] == [f"p{i}/flair.nii.gz;p{i}/t1.nii.gz,p{i}/seg.nii.gz," for i in range(COUNT)]
    assert said == COMPLETE
    assert folder(tmp_path / "list.csv").load("p1").image.shape[0] == 2


def test_scans_of_one_session_of_bids_are_proposed_as_channels(tmp_path):
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, *(f"sub-{i}/ses-1/{scan}/sub-{i}_ses-1_{scan}.nii.gz" for scan in ("adc", "dwi")))
        write_volumes(root, f"derivatives/sub-{i}/ses-1/sub-{i}_ses-1_msk.nii.gz")
    lines, _ = listed(root)
    assert lines[1] == (
        "sub-0/ses-1/adc/sub-0_ses-1_adc.nii.gz;sub-0/ses-1/dwi/sub-0_ses-1_dwi.nii.gz,"
        "derivatives/sub-0/ses-1/sub-0_ses-1_msk.nii.gz,"
    )


def test_files_that_nothing_pairs_have_lines_to_complete(tmp_path):
    root = tmp_path / "set"
    write_volumes(root, *(f"images/volume-{i}.nii" for i in range(2)), *(f"labels/seg-{i}.nii" for i in (1, 2)))
    lines, said = listed(root)
    assert lines == [
        "image,mask,patient",
        "images/volume-0.nii,,",
        "images/volume-1.nii,,",
        ",labels/seg-1.nii,",
        ",labels/seg-2.nii,",
    ]
    assert said == ("4 of 4 lines lack an image or a mask: put both into one line, then use the list with --data-root")
    with pytest.raises(DataError, match="volume 3 has no image: correct it"):
        folder(tmp_path / "list.csv")


def test_images_and_masks_without_their_like_have_lines_too(tmp_path):
    root = tmp_path / "set"
    write_volumes(root, *(f"images/{i}.nii" for i in range(3)), *(f"labels/{i}.nii" for i in range(1, 4)))
    lines, said = listed(root)
    assert lines[1:] == [
        "images/0.nii,,0",
        "images/1.nii,labels/1.nii,1",
        "images/2.nii,labels/2.nii,2",
        ",labels/3.nii,",
    ]
    assert said.startswith("2 of 4 lines lack an image or a mask: put both into one line")


@pytest.fixture
def wmh(tmp_path):
    """Two sequences and a mask of each case, none of which says that it is one."""
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, f"{i}/pre/FLAIR.nii.gz", f"{i}/pre/T1.nii.gz", f"{i}/wmh.nii.gz")
    return root


FLAIR, T1, MASKS = ("--images", "pre/FLAIR.nii.gz"), ("--images", "*/T1.nii.gz"), ("--masks", "wmh.nii.gz")


@pytest.mark.parametrize(
    ("arguments", "cell"),
    [
        ((*FLAIR, *MASKS), "{0}/pre/FLAIR.nii.gz"),
        ((*T1, *FLAIR, *MASKS), "{0}/pre/T1.nii.gz;{0}/pre/FLAIR.nii.gz"),
        ((*FLAIR, *T1, *MASKS), "{0}/pre/FLAIR.nii.gz;{0}/pre/T1.nii.gz"),
        (("--masks", "*/wmh.nii.gz", "--images", "FLAIR.*"), "{0}/pre/FLAIR.nii.gz"),
    ],
)
def test_patterns_say_which_files_are_images_and_masks(wmh, arguments, cell):
    lines, said = listed(wmh, *arguments)
    assert lines == ["image,mask,patient", *(f"{cell.format(i)},{i}/wmh.nii.gz,{i}" for i in range(COUNT))]
    assert said == COMPLETE
    assert list(folder(wmh.parent / "list.csv").cases()) == [str(i) for i in range(COUNT)]


def test_a_pattern_of_masks_of_organs_makes_columns(tmp_path):
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, f"s{i}/body.nii.gz", f"s{i}/organs/liver.nii.gz", f"s{i}/organs/spleen.nii.gz")
    with pytest.raises(DataError, match="look like images and none like masks: say which are masks with `albench data"):
        folder(root).cases()
    lines, _ = listed(root, "--masks", "organs/*", "--images", "body.nii.gz")
    assert lines[0] == "image,mask:liver,mask:spleen,patient"
    assert lines[1] == "s0/body.nii.gz,s0/organs/liver.nii.gz,s0/organs/spleen.nii.gz,s0"


@pytest.mark.parametrize(
    ("root", "arguments", "sentence"),
    [
        (
            "set",
            ("--masks", "x.nii"),
            "a pattern must match files, 'x.nii' matches none of the 9 below '{}': write for",
        ),
        ("set", ("--images", "wmh.*", *MASKS), "a pattern must match files, 'wmh.*' matches none of the 6 below '{}'"),
        ("absent", MASKS, "patterns must choose files of a folder, '{}' is none: leave them out"),
    ],
)
def test_patterns_without_files_are_one_sentence(wmh, root, arguments, sentence):
    code, output = invoke("data", "list-files", wmh.parent / root, *arguments)
    assert code == 2
    assert sentence.format(wmh.parent / root) in output


def test_a_dataset_json_or_a_list_is_printed_too(tmp_path):
    root = tmp_path / "set"
    write_volumes(root, "a/x.nii", "b/y.nii")
    for name, text in (
        ("l.json", '[{"image": "a/x.nii", "label": "b/y.nii"}]'),
        ("l.csv", "image,mask\na/x.nii,b/y.nii"),
    ):
        (root / name).write_text(text)
        code, output = invoke("data", "list-files", root / name)
        assert code == 0
        assert f"image,mask,patient {root}/a/x.nii,{root}/b/y.nii," in output


def test_what_cannot_be_listed_is_one_sentence(tmp_path):
    code, output = invoke("data", "list-files", tmp_path)
    assert code == 2
    assert f"'{tmp_path}' must hold images in imagesTr/ and masks in labelsTr/, found none: check the path" in output
    assert invoke("data", "list-files", tmp_path / "absent")[0] == 2
    with pytest.raises(DataError, match="only a dataset of files can be listed, 'phantom' is generated or has others"):
        find(DATASETS, "phantom")().file_rows()
