"""Several masks of one case: one per organ, or one per rater."""

import itertools
import json

import nibabel as nib
import numpy as np
import pytest
from support.samples import invoke, write_volumes

from albench.cli.dataset_summary import label_rows
from albench.data import check_options, combined_raters, prepare
from albench.datasets._combining import combined_organs
from albench.errors import ConfigError, DataError
from albench.masks import UNKNOWN
from albench.registry import DATASETS, find

COUNT = 3
U = UNKNOWN


def folder(root, **options):
    return find(DATASETS, "folder")(root=str(root), **options)


def write_mask(path, *boxes):
    """A mask of 16 x 16 x 4 voxels with the value 1 in boxes of columns."""
    values = np.zeros((16, 16, 4), np.uint8)
    for start, end in boxes:
        values[start:end] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])), path)


def voxels(data, case):
    """Number of voxels of each value of a mask."""
    values, counts = np.unique(data.load(case).mask, return_counts=True)
    return dict(zip(values.tolist(), (counts // 64).tolist(), strict=True))


@pytest.fixture
def organs(tmp_path):
    """The layout of TotalSegmentator: 3 columns of liver, 5 of spleen, and an organ that one case lacks."""
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, f"s{i}/ct.nii.gz")
        write_mask(root / f"s{i}/segmentations/spleen.nii.gz", (8, 13))
        write_mask(root / f"s{i}/segmentations/liver.nii.gz", (2, 5))
        if i:
            write_mask(root / f"s{i}/segmentations/colon.nii.gz", (6, 7))
    return root


def test_files_of_organs_that_all_cases_have_are_the_classes(organs):
    data = folder(organs)
    assert list(data.cases()) == ["s0", "s1", "s2"]
    assert data.class_names == ("liver", "spleen")
    assert voxels(data, "s1") == {0: 8, 1: 3, 2: 5}
    assert prepare(data).classes == ("liver", "spleen")
    told = "masks of colon are left out, because not all 3 cases have them: data.organs chooses organs"
    assert data.notes()[-1] == told


@pytest.mark.parametrize(
    ("chosen", "found"),
    [(("spleen", "liver"), {0: 8, 1: 5, 2: 3}), (("spleen",), {0: 11, 1: 5}), (("liver",), {0: 13, 1: 3})],
)
def test_organs_are_chosen_by_name_in_their_order(organs, chosen, found):
    data = folder(organs, organs=chosen)
    assert data.class_names == chosen
    assert voxels(data, "s2") == found
    assert len(data.inputs()) == COUNT * (1 + len(chosen))
    assert len(data.notes()) == 1


def test_organs_decide_the_name_of_the_prepared_set(organs):
    keys = {prepare(folder(organs, organs=chosen)).key for chosen in (None, ("spleen", "liver"), ("spleen",))}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"organs": ("kidney",)},
            "data.organs must be organs with masks, 'kidney' has none: choose from liver, spleen",
        ),
        (
            {"target": "classes"},
            "the masks are of one organ each and data.organs chooses among liver, spleen: leave data.c",
        ),
        ({"classes": {"liver": 1}}, "the target must be chosen by one option, the masks are of one organ each and"),
    ],
)
def test_options_that_do_not_fit_files_of_organs_are_one_sentence(organs, options, sentence):
    with pytest.raises(ConfigError) as rejected:
        check_options(folder(organs, **options))
    assert sentence in str(rejected.value)


@pytest.fixture
def numbered(tmp_path):
    """Organs whose names differ in a number only: 3, 2 and 1 columns."""
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, f"s{i}/ct.nii.gz")
        for level, box in ((1, (2, 5)), (2, (8, 10)), (12, (12, 13))):
            write_mask(root / f"s{i}/segmentations/vertebrae_T{level}.nii.gz", box)
    return root


def test_organs_whose_names_differ_in_a_number_are_chosen_by_name(numbered):
    data = folder(numbered, organs=("vertebrae_T12", "vertebrae_T1", "vertebrae_T2"))
    assert data.class_names == ("vertebrae_T12", "vertebrae_T1", "vertebrae_T2")
    assert voxels(data, "s1") == {0: 10, 1: 1, 2: 3, 3: 2}
    assert voxels(folder(numbered, organs=("vertebrae_T2",)), "s2") == {0: 14, 1: 2}
    assert prepare(data).classes == data.class_names
    with pytest.raises(ConfigError, match=r"'vertebrae_T3' has none: choose from vertebrae_T1, vertebrae_T12, vertebr"):
        folder(numbered, organs=("vertebrae_T1", "vertebrae_T3")).cases()


def test_masks_that_differ_in_a_number_may_be_of_raters_and_the_sentence_names_both_options(numbered):
    with pytest.raises(DataError) as rejected:
        folder(numbered).cases()
    assert str(rejected.value) == (
        "a case must have one mask, 3 of 3 have more, 's0' has 3 such as 'vertebrae_T1.nii.gz': if they are of several "
        "raters, set data.raters to majority, any, all or first; if of several organs, choose them with "
        "data.organs=[vertebrae_T1,vertebrae_T12,vertebrae_T2]"
    )
    assert voxels(folder(numbered, raters="any"), "s0") == {0: 10, 1: 6}


def test_a_list_of_files_has_a_column_for_each_chosen_organ(numbered):
    rows = folder(numbered, organs=("vertebrae_T1", "vertebrae_T2")).file_rows()
    assert [*rows[0]] == ["image", "mask:vertebrae_T1", "mask:vertebrae_T12", "mask:vertebrae_T2", "patient"]


def test_voxels_of_organs_are_told_in_how_many_masks(numbered):
    write_mask(numbered / "s0/segmentations/vertebrae_T1.nii.gz")
    organs = ["vertebrae_T1", "vertebrae_T2"]
    _, output = invoke("data", "check", numbered, "--set", f"data.organs=[{','.join(organs)}]")
    told = "organs of the masks: vertebrae_T1 1 (384 voxels in 2 masks), vertebrae_T2 1 (384 voxels in 3 masks)"
    assert told in output
    data = folder(numbered, organs=organs)
    rows = [row.cells() for row in label_rows(data, prepare(data))]
    rest = 3 * 1024 - 2 * 384
    assert rows == [
        ("vertebrae_T1", "1", "384", "384", "12.50%", "2 of 3"),
        ("vertebrae_T2", "1", "384", "384", "12.50%", "3 of 3"),
        ("background", "", "", f"{rest:,}", "75.00%", ""),
    ]
    write_mask(numbered / "s1/segmentations/vertebrae_T1.nii.gz")
    write_mask(numbered / "s2/segmentations/vertebrae_T1.nii.gz")
    _, output = invoke("data", "check", numbered, "--set", f"data.organs=[{','.join(organs)}]")
    assert "organs of the masks: vertebrae_T1, which no mask contains, vertebrae_T2 1 (384 voxels" in output


def test_values_that_are_unknown_or_left_out_are_not_of_the_organ(numbered):
    for i in range(COUNT):
        path = numbered / f"s{i}/segmentations/vertebrae_T1.nii.gz"
        values = np.asarray(nib.load(path).dataobj)
        values[2], values[3] = 7, 9
        nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])), path)
    data = folder(numbered, organs=("vertebrae_T1", "vertebrae_T2"), labels=(1, 9), unknown=7)
    rows = [row.cells() for row in label_rows(data, prepare(data))]
    assert [row[:4] for row in rows] == [
        ("vertebrae_T1", "1, 9", "384", "384"),
        ("vertebrae_T2", "1", "384", "384"),
        ("background", "", "", f"{3 * 1024 - 3 * 5 * 64:,}"),
        ("unknown", "", "", "192"),
    ]


@pytest.mark.parametrize("name", ["liver1", "liver_1", "Lesion-1", "rib_left_1"])
def test_the_number_may_stand_apart(tmp_path, name):
    for i, number in itertools.product(range(COUNT), (1, 2)):
        write_volumes(tmp_path, f"images/c{i}.nii.gz")
        write_mask(tmp_path / f"labels/c{i}_{name[:-1]}{number}.nii.gz", (2 * number, 2 * number + 1))
    data = folder(tmp_path, organs=(f"{name[:-1]}2", name))
    assert data.class_names == (f"{name[:-1]}2", name)
    assert voxels(data, "c2") == {0: 14, 1: 1, 2: 1}


def test_several_values_of_an_organ_are_never_joined_unseen(organs):
    path = organs / "s1/segmentations/liver.nii.gz"
    values = nib.load(path).get_fdata().astype(np.uint8)
    values[4] *= 3
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])), path)
    with pytest.raises(DataError) as rejected:
        folder(organs).load("s1")
    assert str(rejected.value) == (
        f"a mask of one organ must have one value above 0, '{path}' of 'liver' has 2 such as 1 and 3: set "
        "data.labels=[1,3] if all of them are the organ, or, if they are classes, read these masks alone, with "
        "--data-root list.csv after `albench data list-files FOLDER --masks '*liver.nii.gz' > list.csv`"
    )
    assert voxels(folder(organs, labels=(1, 3)), "s1") == {0: 8, 1: 3, 2: 5}
    assert voxels(folder(organs, labels=(1,)), "s1") == {0: 9, 1: 2, 2: 5}


def test_an_organ_that_a_case_lacks_is_one_sentence(organs):
    data = folder(organs, organs=("colon", "liver"))
    with pytest.raises(DataError) as rejected:
        data.cases()
    assert str(rejected.value) == (
        "every case must have a mask of each organ, 's0' has none of 'colon': add it, or choose others with data.organs"
    )


def test_organs_of_masks_without_organs_are_one_sentence(tmp_path):
    write_volumes(tmp_path, "imagesTr/c0.nii.gz", "labelsTr/c0.nii.gz")
    with pytest.raises(ConfigError, match=r"data.organs must choose among masks of one organ each, got \['liver'\]"):
        folder(tmp_path, organs=("liver",)).cases()


def test_more_organs_than_classes_are_one_sentence_with_a_choice(tmp_path):
    for name in ("s0", "s1"):
        write_volumes(tmp_path, f"{name}/ct.nii.gz", *(f"{name}/segmentations/o{chr(97 + i)}x.nii" for i in range(26)))
        write_volumes(tmp_path, *(f"{name}/segmentations/p{chr(97 + i)}x.nii" for i in range(26)))
    code, output = invoke("data", "prepare", "folder", "--data-root", tmp_path)
    assert code == 2
    assert (
        "data.organs must choose 1 to 32 organs, there are masks of 52: write for example --set 'data.organs=[oax,obx]'"
        in output
    )
    assert folder(tmp_path, organs=("pzx", "oax")).class_names == ("pzx", "oax")


def test_overlapping_organs_are_one_sentence_or_the_first_of_them(organs):
    write_mask(organs / "s1/segmentations/liver.nii.gz", (2, 10))
    data = folder(organs)
    (problem,) = [problem for problem in data.problems() if problem.serious]
    assert problem.sentence == (
        f"a voxel must have one organ, 128 voxels of '{organs}/s1/ct.nii.gz' are in 'liver' and 'spleen': choose "
        "organs with data.organs, or set data.overlap=first to give them the first in data.organs"
    )
    assert voxels(folder(organs, overlap="first"), "s1") == {0: 5, 1: 8, 2: 3}
    assert voxels(folder(organs, overlap="first", organs=("spleen", "liver")), "s1") == {0: 5, 1: 5, 2: 6}


@pytest.mark.parametrize("kind", ["csv", "yaml", "json"])
def test_a_list_names_masks_of_organs(tmp_path, kind):
    rows = []
    for i in range(COUNT):
        write_volumes(tmp_path, f"s{i}/ct.nii.gz")
        write_mask(tmp_path / f"s{i}/l.nii.gz", (2, 5))
        write_mask(tmp_path / f"s{i}/s.nii.gz", (8, 13))
        rows.append((f"s{i}/ct.nii.gz", f"s{i}/l.nii.gz", f"s{i}/s.nii.gz"))
    path = tmp_path / f"list.{kind}"
    if kind == "csv":
        path.write_text("\n".join(["image,mask:liver,mask:spleen", *map(",".join, rows)]))
    else:
        entries = [{"image": ct, "mask": {"liver": liver, "spleen": spleen}} for ct, liver, spleen in rows]
        path.write_text(json.dumps({"volumes" if kind == "yaml" else "training": entries}))
    data = folder(path)
    assert list(data.cases()) == ["s0", "s1", "s2"]
    assert data.class_names == ("liver", "spleen")
    assert voxels(data, "s2") == {0: 8, 1: 3, 2: 5}


def test_a_list_of_one_mask_in_a_folder_per_case_is_named_after_these_folders(organs):
    rows = [f"s{i}/ct.nii.gz,s{i}/segmentations/spleen.nii.gz" for i in range(COUNT)]
    (organs / "list.csv").write_text("\n".join(["image,mask", *rows]))
    data = folder(organs / "list.csv")
    assert list(data.cases()) == ["s0", "s1", "s2"]
    assert data.class_names == ("foreground",)


def test_a_mask_beside_masks_of_organs_is_one_sentence(organs):
    (organs / "list.csv").write_text("image,mask,mask:liver\ns0/ct.nii.gz,a.nii,b.nii\n")
    with pytest.raises(DataError, match="volume 1 has 'mask' and 'mask:liver', not one of them: correct it"):
        folder(organs / "list.csv")


@pytest.fixture
def raters(tmp_path):
    """Three raters, of whom one draws 2, another 4 and another 6 columns around the same place."""
    root = tmp_path / "set"
    for i in range(COUNT):
        write_volumes(root, f"images/c{i}.nii.gz")
        for rater, box in enumerate(((4, 6), (4, 8), (2, 8)), 1):
            write_mask(root / f"masks/c{i}_rater{rater}.nii.gz", box)
    return root


def test_several_raters_need_a_rule(raters):
    with pytest.raises(DataError) as rejected:
        folder(raters).cases()
    assert str(rejected.value) == (
        "a case must have one mask, 3 of 3 have more, 'c0' has 3 such as 'c0_rater1.nii.gz': if they are of several "
        "raters, set data.raters to majority, any, all or first; if of several organs, list them in columns such as "
        "mask:liver and mask:spleen"
    )
    assert invoke("data", "prepare", "folder", "--data-root", raters)[0] == 2


@pytest.mark.parametrize(("rule", "columns"), [("majority", 4), ("any", 6), ("all", 2), ("first", 2)])
def test_raters_are_combined_by_a_rule(raters, rule, columns):
    data = folder(raters, raters=rule)
    assert list(data.cases()) == ["c0", "c1", "c2"]
    assert voxels(data, "c1") == {0: 16 - columns, 1: columns}
    rows = ";".join(f"masks/c0_rater{rater}.nii.gz" for rater in (1, 2, 3))
    (raters / "list.csv").write_text(f"image,mask,raters\nimages/c0.nii.gz,{rows},{rule}\n")
    assert voxels(folder(raters / "list.csv"), "c0") == {0: 16 - columns, 1: columns}


def test_raters_of_organs_are_combined_organ_by_organ(organs):
    write_mask(organs / "s1/other.nii.gz", (2, 7))
    masks = "s1/segmentations/liver.nii.gz;s1/other.nii.gz,s1/segmentations/spleen.nii.gz"
    (organs / "list.csv").write_text(f"image,mask:liver,mask:spleen\ns1/ct.nii.gz,{masks}\n")
    assert voxels(folder(organs / "list.csv", raters="any"), "ct") == {0: 6, 1: 5, 2: 5}
    assert voxels(folder(organs / "list.csv", raters="all"), "ct") == {0: 8, 1: 3, 2: 5}


def test_a_mask_of_a_rater_on_another_grid_is_one_sentence(raters):
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 4), np.uint8), np.eye(4)), raters / "masks/c1_rater2.nii.gz")
    with pytest.raises(DataError, match=r"a mask must have the shape of its image, '.*c1_rater2.nii.gz' has"):
        folder(raters, raters="any").load("c1")


def test_raters_tell_how_far_they_agree(raters, tmp_path):
    write_mask(raters / "masks/c1_rater2.nii.gz", (4, 5))
    told = (
        "raters: Dice of masks 1 and 2 0.667 (median of 3 cases, lowest 0.667 in 'c0'); Dice of masks 1 and 3 0.500 "
        "(median of 3 cases, lowest 0.500 in 'c0'); Dice of masks 2 and 3 0.800 (median of 3 cases, lowest 0.286 in "
        "'c1')"
    )
    for options in ({}, {"raters": "any"}):
        data = folder(raters, **options)
        assert len(list(data.problems())) == 4 - len(options)
        assert data.checked_values()[-1] == told
    code, output = invoke("data", "check", raters)
    assert (code, told in output) == (1, True)
    more = ("--set", "data.raters=majority", "--sheet", tmp_path / "picture.png")
    code, output = invoke("data", "info", "folder", "--data-root", raters, *more)
    assert code == 0
    assert "raters Dice of masks 1 and 2 0.667 (median of 3 cases, lowest" in output


def by_hand(votes, rule):
    """The label of one voxel, from the definition."""
    known = [vote for vote in votes if vote != U]
    if not known:
        return U
    if rule == "first":
        return votes[0]
    counts = {label: known.count(label) for label in sorted(set(known) - {0})}
    fitting = {
        "majority": [label for label, count in counts.items() if 2 * count > len(known)],
        "any": list(counts),
        "all": [label for label, count in counts.items() if count == len(known)],
    }[rule]
    return max(fitting, key=lambda label: (counts[label], -label), default=0)


@pytest.mark.parametrize("rule", ["majority", "any", "all", "first"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_rules_of_raters_by_brute_force(rule, count):
    masks = np.random.default_rng(count).choice([0, 1, 2, U], (count, 4, 5, 6)).astype(np.uint8)
    found = combined_raters(list(masks), rule)
    flat = masks.reshape(count, -1)
    if rule == "first":
        np.testing.assert_array_equal(found, masks[0])
    else:
        assert found.ravel().tolist() == [by_hand(flat[:, i].tolist(), rule) for i in range(flat.shape[1])]


def test_a_voxel_of_organs_is_unknown_only_if_no_organ_claims_it():
    masks = {"a": np.array([0, 1, U, U, 0], np.uint8), "b": np.array([0, 0, 1, 0, U], np.uint8)}
    assert combined_organs(masks, ("a", "b"), "reject", "x").tolist() == [0, 1, 2, U, U]
    assert combined_organs(masks, ("b", "a"), "reject", "x").tolist() == [0, 2, 1, U, U]
