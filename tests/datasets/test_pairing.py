"""Folders as people have them: which masks belong to which images."""

import itertools
import re
import shlex
from pathlib import PurePath

import pytest
from support.samples import invoke, write_volumes

from albench.data import prepare
from albench.datasets._pairing import is_image_folder, is_mask_folder, paired, together
from albench.errors import DataError
from albench.registry import DATASETS, find
from albench.resolve import make_dataset

COUNT = 3


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def written(root, image, mask, numbers=range(COUNT)):
    """Write images and masks whose names hold a number, `{}`."""
    write_volumes(root, *(name.format(number) for number in numbers for name in (image, mask)))
    return root


def pairs(root, **options):
    """Paths of images with those of their masks."""
    volumes = folder(root, **options)._layout.checked().volumes
    return {
        tuple(str(path.relative_to(root)) for path in files.images): [
            (str(mask.path.relative_to(root)), mask.organ) for mask in files.masks
        ]
        for files in volumes.values()
    }


def expected(image, mask, numbers=range(COUNT)):
    return {(image.format(number),): [(mask.format(number), None)] for number in numbers}


SAME_NAMES = [
    ("imagesTr/c{}.nii.gz", "labelsTr/c{}.nii.gz"),
    ("images/c{}.nii.gz", "labels/c{}.nii.gz"),
    ("images/c{}.nii.gz", "masks/c{}.nii.gz"),
    ("Images/c{}.nii.gz", "Labels/c{}.nii.gz"),
    ("image/c{}.nii", "label/c{}.nii"),
    ("img/c{}.nii.gz", "seg/c{}.nii.gz"),
    ("imgs/c{}.nii.gz", "GT/c{}.nii.gz"),
    ("volumes/c{}.nii.gz", "segmentations/c{}.nii.gz"),
    ("scans/c{}.nii.gz", "ground_truth/c{}.nii.gz"),
    ("train_images/c{}.nii.gz", "train_labels/c{}.nii.gz"),
    ("data/c{}.nii.gz", "annotations/c{}.nii.gz"),
    ("imagesTr/c{}.NII.GZ", "labelsTr/c{}.nii.gz"),
    ("imagesTr/c{}.Nii", "labelsTr/c{}.NII.gz"),
    ("images/c{}_0000.nii.gz", "labels/c{}.nii.gz"),
    ("my-set/images/c{}.nii.gz", "my-set/labels/c{}.nii.gz"),
]
OTHER_NAMES = [
    ("imagesTr/volume-{}.nii", "labelsTr/segmentation-{}.nii", "their names without words such as image and mask"),
    ("Volumes/volume-{}.nii", "masks/segmentation-{}.nii", "their names without words such as image and mask"),
    ("images/case_{}_img.nii.gz", "labels/case_{}_seg.nii.gz", "their names without words such as image and mask"),
    ("images/c{}.nii.gz", "masks/c{}_mask.nii.gz", "their names without words such as image and mask"),
    ("images/c{}.nii.gz", "masks/mask_c{}.nii.gz", "their names without words such as image and mask"),
    ("images/C{}.nii.gz", "masks/c{}.nii.gz", "their names without words such as image and mask"),
    ("images/c{}.nii.gz", "masks/c{}_lesion_manual.nii.gz", "their names without words such as image and mask"),
    ("images/c{}_0000.nii.gz", "masks/c{}_seg.nii.gz", "their names without words such as image and mask"),
    ("images/p{}/ct.nii.gz", "masks/p{}/seg.nii.gz", "their names without words such as image and mask"),
    ("images/c0{}.nii.gz", "masks/c{}.nii.gz", "the part of their names that differs"),
    ("images/patient{}_flair.nii.gz", "masks/lesions-{}.nii.gz", "the part of their names that differs"),
    ("x{}_img.nii.gz", "x{}_seg.nii.gz", "their names without words such as image and mask"),
    ("x{}.nii.gz", "x{}_Mask.nii.gz", "their names without words such as image and mask"),
    ("p{}/img.nii.gz", "p{}/seg.nii.gz", "their names without words such as image and mask"),
    ("p{0}/p{0}_T1.nii.gz", "p{0}/p{0}_seg.nii.gz", "their folders, of which each has one image"),
    ("p{}/flair.nii.gz", "p{}/lesion_mask.nii.gz", "their folders, of which each has one image"),
    ("s{}/ct.nii.gz", "s{}/segmentations/liver.nii.gz", "their names without words such as image and mask"),
    (
        "sub-0{0}/anat/sub-0{0}_T1w.nii.gz",
        "derivatives/manual/sub-0{0}/anat/sub-0{0}_dseg.nii.gz",
        "the entities of BIDS in their names",
    ),
    (
        "sub-0{0}/ses-1/anat/sub-0{0}_ses-1_T1w.nii.gz",
        "derivatives/x/sub-0{0}/ses-1/anat/sub-0{0}_ses-1_space-orig_desc-lesion_mask.nii.gz",
        "the entities of BIDS in their names",
    ),
]


@pytest.mark.parametrize(("image", "mask"), SAME_NAMES)
def test_folders_of_usual_names_with_equal_files_are_paired_without_a_word(tmp_path, image, mask):
    root = written(tmp_path / "set", image, mask)
    assert pairs(root) == expected(image, mask)
    assert folder(root).notes() == []
    assert [folder(root).load(case).mask.sum() for case in folder(root).cases()] == [8 * 8 * 2] * COUNT


@pytest.mark.parametrize(("image", "mask", "rule"), OTHER_NAMES)
def test_other_names_are_paired_where_one_rule_fits_all_and_it_is_told(tmp_path, image, mask, rule):
    root = written(tmp_path / "set", image, mask)
    assert pairs(root) == expected(image, mask)
    told = (
        f"images and masks are paired by {rule}, such as '{image.format(0)}' with '{mask.format(0)}': check this pair, "
        f"and all of them with `albench data list-files {root}`"
    )
    data = folder(root)
    assert data.notes() == [told]
    assert told in [problem.sentence for problem in data.problems() if not problem.serious]
    assert len(prepare(data).cases) == COUNT


def test_order_of_numbers_is_that_of_the_names_and_not_of_their_letters(tmp_path):
    numbers = (1, 2, 10, 11)
    root = written(tmp_path / "set", "imagesTr/volume-{}.nii", "labelsTr/segmentation-{}.nii", numbers)
    assert pairs(root) == expected("imagesTr/volume-{}.nii", "labelsTr/segmentation-{}.nii", numbers)


UNPAIRED = [
    (["images/volume-0", "images/volume-1"], ["labels/segmentation-1", "labels/segmentation-2"]),
    (["images/c1", "images/c01"], ["labels/m1", "labels/m01"]),
    (["images/anna", "images/bert"], ["labels/first", "labels/second"]),
    (["images/c1", "images/c2"], ["labels/x1", "labels/x2", "labels/x3"]),
]


@pytest.mark.parametrize(("images", "masks"), UNPAIRED)
def test_names_that_leave_a_doubt_are_one_sentence_with_the_list_that_would_do(tmp_path, images, masks):
    write_volumes(tmp_path, *(f"{name}.nii.gz" for name in (*images, *masks)))
    data = folder(tmp_path)
    (problem,) = [problem for problem in data.problems() if problem.serious]
    assert problem.sentence == (
        f"the names of '{tmp_path}' must tell without doubt which mask belongs to which image, those of {len(images)} "
        f"images such as '{min(images)}.nii.gz' and {len(masks)} masks such as '{min(masks)}.nii.gz' do not: give a "
        f"mask the name of its image, or write a list with `albench data list-files {tmp_path} > list.csv` "
        "(--images and --masks choose files), complete its lines image,mask, and use --data-root list.csv"
    )
    with pytest.raises(DataError, match="must tell without doubt"):
        data.cases()
    code, output = invoke("data", "check", tmp_path)
    assert code == 1
    assert "1 problem, 0 warnings" in output


CHOICES = [
    (["p{}/t1", "p{}/t2"], ["p{}/seg"], "images", ["t1.nii.gz", "t2.nii.gz"]),
    (["p{}/a/t1", "p{}/b/t1"], ["p{}/seg"], "images", ["a/t1.nii.gz", "b/t1.nii.gz"]),
    (["c{}_flair_pp", "c{}_t1"], ["c{}_mask1", "c{}_mask2"], "images", ["*_pp.nii.gz", "*_t1.nii.gz"]),
    (["p{}/ct"], ["p{}/seg", "p{}/more/seg_a-1", "p{}/more/seg_b-1"], "masks", ["seg.nii.gz", "*_a-1.nii.gz"]),
]


@pytest.mark.parametrize(("images", "masks", "option", "patterns"), CHOICES)
def test_several_images_or_masks_of_a_case_are_one_sentence_with_the_patterns_that_choose(
    tmp_path, images, masks, option, patterns
):
    root = tmp_path / "set"
    write_volumes(root, *(f"{name.format(i)}.nii.gz" for i in range(COUNT) for name in (*images, *masks)))
    with pytest.raises(DataError) as rejected:
        folder(root).cases()
    found = re.search(
        r"choose one (.*) with `(albench data list-files .*) > list.csv` \(or (.*?)\)", str(rejected.value)
    )
    assert found[1] == ("image of each mask" if option == "images" else "mask of each image")
    assert found[2].startswith(f"albench data list-files {root} --{option} ")
    offered = [*shlex.split(found[2])[5:], *re.findall("'(.*?)'", found[3])]
    assert offered[: len(patterns)] == patterns
    for pattern in patterns:
        rows = folder(root).file_rows(**{option: [pattern]})
        assert len(rows) == COUNT
        assert all(row["image"] and row["mask"] and ";" not in row["image"] for row in rows)
        assert all(PurePath(row[option.rstrip("s")].split(";")[0]).match(pattern) for row in rows)


def test_equal_names_that_begin_at_another_number_are_not_shifted(tmp_path):
    write_volumes(tmp_path, *(f"images/{i}.nii" for i in range(3)), *(f"labels/{i}.nii" for i in range(1, 4)))
    with pytest.raises(DataError, match=r"images/0.nii' has none in labels/: add it|labels/3.nii' has none: add it or"):
        folder(tmp_path).cases()


def test_an_image_without_mask_is_named_also_where_names_differ(tmp_path):
    root = written(tmp_path, "images/c{}.nii.gz", "labels/c{}_seg.nii.gz")
    write_volumes(root, "images/c9.nii.gz")
    with pytest.raises(DataError) as rejected:
        folder(root).cases()
    assert str(rejected.value) == (
        f"every image must have a mask, '{root}/images/c9.nii.gz' has none in labels/: add it, or set "
        "data.unlabeled=skip to leave such images out or pool to use them without labels, or pair files in a list, "
        "which `albench data list-files` begins"
    )
    assert [folder(root, unlabeled="pool").has_mask(case) for case in ("c0", "c9")] == [True, False]
    data = folder(root, unlabeled="skip")
    assert list(data.cases()) == ["c0", "c1", "c2"]
    assert data.notes()[0] == f"1 images have no mask and are left out, such as '{root}/images/c9.nii.gz'"


def test_more_than_one_folder_of_masks_is_one_sentence(tmp_path):
    for mask in ("masks", "labels"):
        written(tmp_path, "images/c{}.nii.gz", f"{mask}/c{{}}.nii.gz")
    with pytest.raises(DataError) as rejected:
        folder(tmp_path).cases()
    assert str(rejected.value) == (
        f"'{tmp_path}' must have one folder of images and one of masks, images/, labels/, masks/ look like them: "
        f"rename the two to imagesTr/ and labelsTr/, or write a list with `albench data list-files {tmp_path} > "
        "list.csv` (--images and --masks choose files), complete its lines image,mask, and use --data-root list.csv"
    )
    written(tmp_path, "imagesTr/c{}.nii.gz", "labelsTr/c{}.nii.gz")
    assert pairs(tmp_path) == expected("imagesTr/c{}.nii.gz", "labelsTr/c{}.nii.gz")


@pytest.mark.parametrize(("names", "like", "lacking"), [("c{}", "images", "masks"), ("c{}_seg", "masks", "images")])
def test_files_of_one_kind_are_one_sentence(tmp_path, names, like, lacking):
    write_volumes(tmp_path, *(f"{names.format(i)}.nii.gz" for i in range(COUNT)))
    first = names.format(0)
    with pytest.raises(DataError) as rejected:
        folder(tmp_path).cases()
    assert str(rejected.value) == (
        f"'{tmp_path}' must hold images and masks that their names tell apart, 3 files such as '{first}.nii.gz' "
        f"look like {like} and none like {lacking}: say which are {lacking} with `albench data list-files {tmp_path} "
        f"--{lacking} PATTERN > list.csv`, and use --data-root list.csv"
    )


@pytest.mark.parametrize("mask", ["FLAIR_dseg", "space-FLAIR_label-lesion_mask", "desc-lesion_FLAIR_mask"])
def test_derivatives_of_images_are_no_images_and_the_modality_of_a_mask_chooses_among_images(tmp_path, mask):
    for sub, scan in itertools.product(("sub-01", "sub-02"), ("T1w", "FLAIR")):
        write_volumes(tmp_path, f"{sub}/anat/{sub}_{scan}.nii.gz")
        write_volumes(tmp_path, f"derivatives/mni/{sub}/anat/{sub}_space-MNI_{scan}.nii.gz")
    write_volumes(tmp_path, *(f"derivatives/m/{sub}/anat/{sub}_{mask}.nii.gz" for sub in ("sub-01", "sub-02")))
    found = pairs(tmp_path, unlabeled="pool")
    assert found["sub-01/anat/sub-01_FLAIR.nii.gz",] == [(f"derivatives/m/sub-01/anat/sub-01_{mask}.nii.gz", None)]
    assert found["sub-01/anat/sub-01_T1w.nii.gz",] == []
    assert len(found) == 4


@pytest.mark.parametrize("part", ["imagesTr", "Images", "training_volumes", "CT", "Scans", "data"])
def test_names_of_folders_of_images(part):
    assert is_image_folder(part)
    assert not is_mask_folder(part)


@pytest.mark.parametrize("part", ["labelsTr", "LABELS", "ground-truth", "GroundTruth", "seg", "Masks_train", "targets"])
def test_names_of_folders_of_masks(part):
    assert is_mask_folder(part)
    assert not is_image_folder(part)


@pytest.mark.parametrize("part", ["imagesTs", "labelsTs", "results", "c1", "images2b", "unlabeled"])
def test_folders_of_other_names_are_neither(part):
    assert not is_image_folder(part)
    assert not is_mask_folder(part)


def test_several_masks_of_an_image_are_organs_or_raters_by_their_further_words():
    organs = paired(["c1", "c2"], [f"c{i}_{organ}" for i in (1, 2) for organ in ("liver", "Left_Kidney")])
    assert organs.masks["c1"] == (("c1_liver", "liver"), ("c1_Left_Kidney", "Left_Kidney"))
    files = paired(["s1/ct", "s2/ct"], [f"s{i}/masks/{organ}" for i in (1, 2) for organ in ("liver", "vertebrae_L1")])
    assert files.masks["s2/ct"] == (("s2/masks/liver", "liver"), ("s2/masks/vertebrae_L1", "vertebrae_L1"))
    folders = paired(["c1", "c2"], [f"{organ}/c{i}" for organ in ("liver", "Spleen") for i in (1, 2)])
    assert folders.masks["c2"] == (("liver/c2", "liver"), ("Spleen/c2", "Spleen"))
    both = paired(["c1"], [f"c1_{organ}_r{rater}" for organ in ("liver", "colon") for rater in (1, 2)])
    assert [organ for _, organ in both.masks["c1"]] == ["liver", "liver", "colon", "colon"]


@pytest.mark.parametrize(
    "more",
    [
        ("rater1", "rater2"),
        ("mask1", "mask2"),
        ("observer_a", "observer_b"),
        ("R1", "R2"),
        ("task01_seg1", "task01_seg2"),
    ],
)
def test_words_of_raters_and_numbers_name_no_organ(more):
    raters = paired(["c1", "c2"], [f"c{i}_{word}" for i in (1, 2) for word in more])
    assert raters.masks["c2"] == tuple((f"c2_{word}", None) for word in more)


@pytest.mark.parametrize("doubtful", [("seg", "liver_seg"), ("liver", "liver_seg"), ("seg", "mask", "liver")])
def test_several_masks_without_a_clear_difference_are_not_paired(doubtful):
    assert paired(["c1", "c2"], [f"c{i}_{word}" for i in (1, 2) for word in doubtful]) is None
    assert paired(["p1/t1", "p2/t1"], [f"p{i}/p{i}_{word}" for i in (1, 2) for word in doubtful]) is None


@pytest.mark.parametrize(
    ("channels", "mask"),
    [(("c{}__CT", "c{}__PT"), "c{}_seg"), (("c{}_t1", "c{}_flair"), "c{}_seg"), (("p{}/t1", "p{}/t2"), "p{}/masks/x")],
)
def test_an_image_that_may_be_another_channel_is_not_left_without_mask(channels, mask):
    images = [name.format(i) for i in (1, 2) for name in channels]
    masks = [mask.format(i) for i in (1, 2)]
    assert paired(images, masks) is None
    assert together(images, masks) == {mask.format(i): [name.format(i) for name in channels] for i in (1, 2)}


@pytest.mark.parametrize(
    ("images", "more"),
    [
        (("a_1", "b_1"), "{}_2_m{}"),  # the number of the image is not that of its masks
        (("a_flair", "b_t1"), "{}_m{}"),  # images of two kinds
        (("a_flair", "a_t1", "b_flair", "b_t1"), "{}_m{}"),  # two images for each mask
        (("c_flair", "d_flair"), "{}_m{}"),
    ],
)
def test_words_at_the_beginning_pair_images_of_one_kind_only(images, more):
    masks = [more.format(patient, rater) for patient in "ab" for rater in (1, 2)]
    assert paired(images, masks) is None
    found = paired(["a_flair_pp", "b_flair_pp"], masks)
    assert found.rule == "the words with which their names begin"
    assert found.masks["b_flair_pp"] == tuple((more.format("b", rater), None) for rater in (1, 2))


def test_words_that_a_mask_repeats_name_no_organ():
    found = paired(["p1/x/t1", "p2/x/t1"], [f"p{i}/p{i}_{organ}_seg" for i in (1, 2) for organ in ("liver", "colon")])
    assert found.masks["p1/x/t1"] == (("p1/p1_liver_seg", "liver"), ("p1/p1_colon_seg", "colon"))


def test_patterns_are_told_also_if_some_images_have_no_mask(tmp_path):
    root = tmp_path / "set"
    write_volumes(root, *(f"p{i}/t{scan}.nii.gz" for i in range(4) for scan in (1, 2)))
    write_volumes(root, *(f"p{i}/seg.nii.gz" for i in range(3)))
    with pytest.raises(DataError, match=r"--images 't1.nii.gz' > list.csv` \(or 't2.nii.gz'\), where several --images"):
        folder(root).cases()
    rows = folder(root).file_rows(images=["t2.nii.gz", "t1.nii.gz"])
    assert [row["image"].count("t2.nii.gz;") for row in rows] == [1] * 3


@pytest.mark.parametrize(
    ("image", "mask", "said"),
    [
        ("imagesTr/c{}.nii.gz", "labelsTr/c{}.nii.gz", "by equal names, such as 'imagesTr/c0.nii.gz' with"),
        (
            *("imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii.gz"),
            "by equal names but for the number of a channel, such as 'imagesTr/c0_0000.nii.gz' with",
        ),
        (
            *("imagesTr/volume-{}.nii", "labelsTr/segmentation-{}.nii"),
            "by their names without words such as image and mask, such as 'imagesTr/volume-0.nii' with",
        ),
    ],
)
def test_the_rule_is_told_with_the_first_pair(tmp_path, image, mask, said):
    root = written(tmp_path / "set", image, mask)
    folder = make_dataset("folder", {"data.root": str(root)})
    assert folder.pairing() == f"images and masks are paired {said} '{mask.format(0)}'"
    rows = "".join(f"{root / image.format(i)},{root / mask.format(i)}\n" for i in range(3))
    (tmp_path / "mine.csv").write_text(f"image,mask\n{rows}")
    listed = make_dataset("folder", {"data.root": str(tmp_path / "mine.csv")})
    assert listed.pairing() == (
        f"images and masks are paired as mine.csv lists them, such as '{image.format(0)}' with '{mask.format(0)}'"
    )
