"""Clipping and standardizing of images with padding, of CT and MR, and of images that are normalized already."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from rich.console import Console
from support.samples import invoke, write_pair

from albench.data import Dataset, Intensities, Volume, cache_folder, check_options, prepare
from albench.data.intensities import ClippedTarget
from albench.data.prepared import content_key
from albench.data.preprocessing import standardized
from albench.errors import ConfigError, DataError
from albench.registry import DATASETS, find
from albench.resolve import resolve


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("albench.console.terminal", lambda: Console(width=500))  # a sentence is not wrapped


def body(shape=(6, 32, 32)):
    """(d, h, w) whether a voxel is in the body, a cylinder."""
    y, x = np.ogrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    return np.broadcast_to((y / 0.7) ** 2 + (x / 0.6) ** 2 < 1, shape)


def head(seed=0, padding=0.0):
    """MR: a head in padding, with a lesion that is brighter than all else."""
    rng = np.random.default_rng(seed)
    inside, mask = body(), np.zeros((6, 32, 32), np.uint8)
    mask[2:4, 14:18, 14:18] = 1
    image = np.where(inside, rng.normal(300, 40, inside.shape) + 300.0 * mask, padding)
    return Volume(image[None].astype(np.float32), mask, (3.0, 1.0, 1.0))


def abdomen(seed=0, padding=-2000.0):
    """CT: a body in air, and padding outside of the field of view."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((6, 32, 32), np.uint8)
    mask[2:4, 14:18, 14:18] = 1
    image = np.where(body(), 40.0, -1000.0) + rng.normal(0, 10, mask.shape) + 60 * mask
    y, x = np.ogrid[-1:1:32j, -1:1:32j]
    image[:, y**2 + x**2 > 1] = padding
    return Volume(image[None].astype(np.float32), mask, (3.0, 1.0, 1.0))


@pytest.mark.parametrize("padding", [0.0, -5.0])
def test_statistics_of_mr_are_those_of_the_body_and_its_brightest_parts_are_not_clipped(padding):
    volume = head(padding=padding)
    inside = body()
    values, clipped = standardized(volume, "a", Intensities(rule="mr"))
    assert values.image[0][inside].mean() == pytest.approx(0, abs=1e-5)
    assert values.image[0][inside].std() == pytest.approx(1, abs=1e-5)
    raw = volume.image[0]
    np.testing.assert_allclose(values.image[0], (raw - raw[inside].mean()) / raw[inside].std(), rtol=1e-4, atol=1e-4)
    assert clipped == ClippedTarget(32, 0, 0, True)
    before = standardized(volume, "a", Intensities())[1]
    assert before == ClippedTarget(32, 0, 31, False)  # 99.5 % of all voxels are darker than nearly all of the lesion


def test_a_value_of_padding_that_few_voxels_have_is_measured():
    volume = head()
    volume.image[volume.image == 0] = np.random.default_rng(1).normal(5, 1, (volume.image == 0).sum())
    volume.image[0, 0, 0, :50] = 0
    for rule in ("mr", "ct"):
        found = standardized(volume, "a", Intensities(rule=rule))
        usual = standardized(volume, "a", Intensities())
        np.testing.assert_array_equal(found[0].image, usual[0].image)
        assert found[1] == usual[1]


@pytest.mark.parametrize("padding", [-2000.0, -1024.0, -3024.0])
def test_statistics_of_ct_are_those_of_the_field_of_view_whatever_lies_outside(padding):
    volume = abdomen(padding=padding)
    raw = volume.image[0]
    seen = raw > -1024
    low, high = np.percentile(raw[seen], (0.5, 99.5))
    expected = np.clip(raw, low, high)
    values, clipped = standardized(volume, "a", Intensities(rule="ct"))
    np.testing.assert_allclose(
        values.image[0], (expected - expected[seen].mean()) / expected[seen].std(), rtol=1e-4, atol=1e-4
    )
    assert clipped.padded
    np.testing.assert_array_equal(
        values.image, standardized(abdomen(padding=-9000.0), "a", Intensities(rule="ct"))[0].image
    )
    windowed = standardized(volume, "a", Intensities(window=(-100.0, 200.0), rule="ct"))[0].image[0]
    assert windowed[seen].mean() == pytest.approx(0, abs=1e-5)


def test_the_usual_rule_is_clipping_to_percentiles_of_all_voxels():
    volume = abdomen()
    raw = volume.image[0]
    low, high = np.percentile(raw, (0.5, 99.5))
    expected = np.clip(raw, low, high)
    made = standardized(volume, "a", Intensities())[0].image[0]
    np.testing.assert_allclose(made, (expected - expected.mean()) / expected.std(), rtol=1e-5, atol=1e-5)
    wide = standardized(volume, "a", Intensities(clip=None))[0].image[0]
    np.testing.assert_allclose(wide, (raw - raw.mean()) / raw.std(), rtol=1e-5, atol=1e-5)
    low, high = np.percentile(raw, (10, 60))
    narrow, clipped = standardized(volume, "a", Intensities(clip=(10, 60)))
    target = raw[volume.mask > 0]
    assert (clipped.below, clipped.above) == ((target < low).sum(), (target > high).sum())
    assert clipped.above > 0
    assert narrow.image[0].max() == narrow.image[0][raw > high].min()


def test_images_that_are_normalized_stay_as_they_are():
    volume = head()
    volume.image[:] = (volume.image - 100) / 100
    made, clipped = standardized(volume, "a", Intensities(rule="none"))
    np.testing.assert_array_equal(made.image, volume.image)
    assert clipped == ClippedTarget(32, 0, 0, False)
    with pytest.raises(DataError) as refused:
        standardized(abdomen(), "a", Intensities(rule="none"))
    assert str(refused.value) == (
        "case 'a' must be normalized with data.intensity=none, within -1000 and 1000, it has -2000 to "
        f"{abdomen().image.max():g}: choose volume, mr or ct"
    )


def folder_of(root, volume, content=None):
    for index in range(4):
        made = volume(index)
        write_pair(root, f"c{index}", made.image[0].transpose(2, 1, 0), made.mask.transpose(2, 1, 0))
    if content is not None:
        names = [f"c{index}.nii.gz" for index in range(4)]
        pairs = [{"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"} for name in names]
        (root / "dataset.json").write_text(json.dumps(content | {"training": pairs}))
    return root


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "volume"),
        ({}, "volume"),
        ({"modality": {"0": "MRI"}}, "mr"),
        ({"channel_names": {"0": "T1w"}}, "mr"),
        ({"channel_names": {"0": "flair"}}, "mr"),
        ({"modality": {"0": "CT"}}, "ct"),
        ({"channel_names": {"0": "ct "}}, "ct"),
        ({"channel_names": {"0": "PET"}}, "volume"),
        ({"channel_names": {"0": "contrast"}}, "volume"),
        ({"channel_names": "CT"}, "volume"),
        ({"modality": {"0": "CT", "1": "MRI"}}, "volume"),
    ],
)
def test_a_folder_follows_the_modality_of_dataset_json(tmp_path, content, rule):
    root = folder_of(tmp_path / "set", head, content)
    data = find(DATASETS, "folder")
    assert data(root=str(root)).intensities.rule == rule
    assert data(root=str(root), intensity="volume").intensities.rule == "volume"
    assert data(root=str(root), intensity="ct").intensities.rule == "ct"


def test_the_key_of_data_names_the_rule_only_where_it_changes_what_is_prepared(tmp_path):
    data = find(DATASETS, "folder")
    plain = {"modality": {"0": "MRI"}}

    def noisy(seed):
        volume = head(seed)
        noise = np.random.default_rng(seed).random(volume.image.shape, dtype=np.float32)
        return Volume(volume.image + noise, volume.mask, volume.spacing)

    without, padded = (
        data(root=str(folder_of(tmp_path / name, volume, plain))) for name, volume in (("n", noisy), ("p", head))
    )
    assert prepare(without).key == content_key(without)
    assert prepare(padded).key != content_key(padded)
    assert content_key(data(root=padded.root, intensity="volume")) != content_key(padded)
    assert "intensity" not in padded.hashed_options()
    assert "clip" not in padded.hashed_options()
    assert data(root=padded.root, clip=None).hashed_options()["clip"] is None
    config = resolve("random", "folder", settings={"data.root": padded.root, "protocol.split": [2, 1, 1]}).config
    assert config.data_key == prepare(padded).key
    assert not {"intensity", "clip"} & config.dataset.options.keys()


def test_a_set_that_an_earlier_version_prepared_by_another_rule_is_made_anew(tmp_path):
    from albench.data.stored_set import write_meta

    data = find(DATASETS, "folder")(root=str(folder_of(tmp_path / "set", head, {"modality": {"0": "MRI"}})))
    made = np.array(prepare(data).images)
    (folder,) = cache_folder().glob("set-*/")
    for name in ("rule", "clipped"):
        meta = json.loads((folder / "meta.json").read_text())
        del meta[name], meta["sha256"]
        write_meta(folder, meta)
        calls = []
        again = prepare(data, lambda *call, calls=calls: calls.append(call))
        assert bool(calls) == (name == "rule")
        np.testing.assert_array_equal(again.images, made)


def test_info_and_check_tell_how_much_of_the_target_is_clipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = folder_of(tmp_path / "set", head)
    above = sum(standardized(head(index), "a", Intensities())[1].above for index in range(4)) / (4 * 32)
    sentence = (
        f"the voxels of the target should keep their intensities, {above:.1%} of those of dataset 'set' are above the "
        "99.5th percentile of their volume and become equal: set data.intensity=mr if they are MR images with padding, "
        "data.clip=none, or data.window to a range that contains them"
    )
    assert above > 0.9
    code, told = invoke("data", "check", root)
    assert code == 0
    assert sentence in told
    code, told = invoke("data", "info", "folder", "--data-root", root)
    assert code == 0
    assert f"warning: {sentence}" in told
    assert f"target clipped 0.00% below, {above:.2%} above" in told
    for option in ("data.intensity=mr", "data.clip=none", "data.window=[0,1000]"):
        code, told = invoke("data", "check", root, "--set", option)
        assert code == 0
        assert told.endswith("0 problems, 0 warnings")
    narrow = invoke("data", "check", root, "--set", "data.window=[100,400]")[1]
    assert "are above data.window=[100.0, 400.0] and become equal: set a wider data.window that contains them" in narrow


@dataclass(frozen=True, kw_only=True)
class Bright(Dataset):
    """Two channels, of which one clips the target."""

    def cases(self):
        return ["a", "b", "c"]

    def load(self, case):
        volume = head(ord(case))
        return Volume(np.concatenate([volume.image, volume.image % 7]), volume.mask, volume.spacing)


def test_of_several_channels_the_one_counts_that_clips_most():
    total = ClippedTarget.sum(prepare(Bright()).clipped)
    assert total.voxels == 3 * 32
    assert total.above > 80
    assert not total.padded
    assert ClippedTarget.sum([]).in_words() == "0.00% below, 0.00% above"


@pytest.mark.parametrize("clip", [(99.5, 0.5), (-1.0, 50.0), (0.0, 101.0), (5.0, 5.0)])
def test_percentiles_are_two_numbers_from_0_to_100(clip):
    with pytest.raises(ConfigError) as refused:
        check_options(Bright(clip=clip))
    assert str(refused.value) == (
        f"data.clip must be two percentiles from 0 to 100, the lower first, got {list(clip)}: write for example --set "
        "'data.clip=[0.5,99.5]', or none"
    )


def test_a_volume_without_contrast_between_its_percentiles_names_them():
    volume = head()
    volume.image[:] = 0
    volume.image[0, 0, 0, 0] = 1
    for clip, words in (("auto", "its 0.5th and 99.5th percentiles"), ((5.0, 95.0), "its 5th and 95th percentiles")):
        with pytest.raises(DataError) as refused:
            standardized(volume, "a", Intensities(clip=clip))
        assert str(refused.value) == (
            f"case 'a' must have contrast between {words}, they are equal: set data.window, for example to its whole "
            "range"
        )
    standardized(volume, "a", Intensities(clip=None))


@pytest.mark.parametrize("kind", ["folder", "generated"])
def test_check_looks_for_the_bounds_of_a_volume_once(tmp_path, monkeypatch, kind):
    asked, bounds = [], Intensities.bounds
    monkeypatch.setattr(Intensities, "bounds", lambda self, *of: asked.append(self) or bounds(self, *of))
    data = Bright()
    if kind == "folder":
        for name in ("a", "b"):
            write_pair(tmp_path, name, head().image[0].T, np.ascontiguousarray(head().mask.T))
        data = find(DATASETS, "folder")(root=str(tmp_path))
    assert not any(problem.serious for problem in data.problems())
    channels = 1 if kind == "folder" else data.load(data.cases()[0]).image.shape[0]
    assert len(asked) == channels * len(data.cases())
