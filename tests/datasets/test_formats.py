import itertools
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.formats import write_dicom, write_frames, write_hdf5, write_itk, write_segmentation
from support.samples import invoke, write_pair

from albench.data import prepare
from albench.data.prepared import content_key
from albench.datasets._formats import Arrays, StoredImage, open_image, placed
from albench.errors import DataError
from albench.registry import DATASETS, find
from albench.resolve import resolve

PLAIN = np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 3, 5.5], [0, 0, 0, 1]])
TURNED = np.array([[0, 0, -3.0, 4], [0.5, 0, 0, 1], [0, -0.75, 0, 7], [0, 0, 0, 1]])
TILTED = nib.affines.from_matvec(np.array([[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]]) * [0.5, 0.75, 3], [1, 2, 3])


TWO = {"organ": 1, "tumor": 2}  # the classes of `sample`


def folder(root: Path, **options: object):
    return find(DATASETS, "folder")(root=str(root), **options)


def sample(shape: tuple[int, int, int] = (24, 20, 8)) -> tuple[np.ndarray, np.ndarray]:
    """An image, and a mask with two labels, of which the last slices have none."""
    image, mask = np.random.default_rng(0).normal(100, 20, shape).astype(np.int16), np.zeros(shape, np.uint8)
    mask[6:16, 5:15, 2:6] = 1
    mask[8:11, 7:10, 3:5] = 2
    return image, mask


def written(root: Path, form: str, image: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> Path:
    """A folder with one case in a format."""
    pair = root / "imagesTr", root / "labelsTr"
    if form == "h5":
        write_hdf5(root / "case.h5", image=image, label=mask)
    elif form.startswith("dicom"):
        series = write_dicom(pair[0] / "case", image, affine)
        if form == "dicom with nifti":
            pair[1].mkdir()
            nib.save(nib.Nifti1Image(mask, affine), pair[1] / "case.nii.gz")
        else:
            inner = "case/1.2.3" if form == "dicom without suffixes" else "case.dcm"
            write_segmentation(pair[1] / inner, series, mask)
        if form == "dicom of frames":
            write_frames(pair[0] / "case.dcm", series)
        if form == "dicom without suffixes":
            for file in series.iterdir():
                file.rename(file.with_suffix(""))
    else:
        for place, values, compressed in zip(pair, (image, mask), (False, True), strict=True):
            path = write_itk(place / f"case.{form.lower()}", values, affine, compressed=compressed)
            path.rename(path.with_suffix(f".{form}"))
    return root


FORMS = (
    "mha",
    "mhd",
    "nrrd",
    "nhdr",
    "MHA",
    "dicom",
    "dicom with nifti",
    "dicom without suffixes",
    "dicom of frames",
    "h5",
)


@pytest.mark.parametrize(
    ("form", "affine"),
    [
        pytest.param(form, affine, id=f"{form}, {name}")
        for form in FORMS
        for name, affine in (("plain", PLAIN), ("turned", TURNED), ("tilted", TILTED))
        if form != "h5" or affine is PLAIN  # an array has no orientation
    ],
)
def test_a_volume_in_any_format_gives_the_arrays_and_the_spacing_of_nifti(tmp_path, form, affine):
    image, mask = sample()
    write_pair(tmp_path / "nifti", "case", image, mask, affine)
    options = {"h5_spacing": (0.5, 0.75, 3.0)} if form == "h5" else {}
    expected = prepare(folder(tmp_path / "nifti", classes=TWO))
    data = folder(written(tmp_path / "other", form, image, mask, affine), classes=TWO, **options)
    assert list(data.problems()) == []
    found = prepare(data)
    assert found.cases == expected.cases == ("case",)
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.masks, expected.masks)
    np.testing.assert_allclose(found.spacing, expected.spacing, rtol=1e-6)
    assert found.masks.any()


def test_every_format_of_a_set_may_be_another_one(tmp_path):
    image, mask = sample()
    write_pair(tmp_path, "a", image, mask, PLAIN)
    write_itk(tmp_path / "imagesTr" / "b.mha", image, PLAIN)
    write_itk(tmp_path / "labelsTr" / "b.nrrd", mask, PLAIN)
    write_dicom(tmp_path / "imagesTr" / "c", image, PLAIN)
    write_itk(tmp_path / "labelsTr" / "c.mha", mask, PLAIN)
    assert list(folder(tmp_path).cases()) == ["a", "b", "c"]
    (tmp_path / "list.csv").write_text(
        "image,mask\nimagesTr/a.nii.gz,labelsTr/a.nii.gz\nimagesTr/c,labelsTr/c.mha\nimagesTr/b.mha,labelsTr/b.nrrd\n"
    )
    prepared = prepare(folder(tmp_path / "list.csv", classes=TWO))
    assert prepared.cases == ("a", "b", "c")
    assert (prepared.images[:8] == prepared.images[8:16]).all()
    assert (prepared.masks[8:16] == prepared.masks[16:]).all()


@pytest.mark.parametrize("form", ["mha", "nrrd"])
def test_components_of_a_voxel_are_channels(tmp_path, form):
    image, mask = sample()
    both = np.stack([image, image[::-1]], -1)
    write_itk(tmp_path / "imagesTr" / f"a.{form}", both, PLAIN)
    write_itk(tmp_path / "labelsTr" / f"a.{form}", mask, PLAIN)
    loaded = folder(tmp_path).load("a").image
    np.testing.assert_array_equal(loaded[0], loaded[1][..., ::-1])
    np.testing.assert_array_equal(folder(tmp_path, channels=(1,)).load("a").image[0], loaded[1])


@pytest.mark.parametrize("form", ["mhd", "nhdr"])
def test_the_file_with_the_voxels_of_a_header_counts(tmp_path, form):
    root = written(tmp_path / "set", form, *sample(), PLAIN)
    data = folder(root)
    assert len(data.inputs()) == 4
    before = content_key(data)
    header = root / "imagesTr" / f"case.{form}"
    voxels = next(path for path in header.parent.iterdir() if path != header)
    raw = bytearray(voxels.read_bytes())
    raw[100] ^= 1
    voxels.write_bytes(raw)
    assert content_key(folder(root)) != before
    voxels.unlink()
    with pytest.raises(DataError) as rejected:
        prepare(folder(root))
    assert str(rejected.value) == (
        f"'{header}' must lie beside the file with its voxels, '{voxels}' does not exist: copy it there"
    )
    header.write_bytes(header.read_bytes().replace(voxels.name.encode(), b"slice%03d.raw 1 8 1"))
    with pytest.raises(DataError, match=r"must name one file with its voxels, it names 'slice%03d.raw 1 8 1': save it"):
        prepare(folder(root))


@pytest.mark.parametrize(("form", "name"), [("mha", "MetaImage"), ("nrrd", "NRRD"), ("h5", "HDF5"), ("dcm", "DICOM")])
def test_another_content_and_a_cut_file_are_one_sentence(tmp_path, form, name):
    image, mask = sample()
    write_pair(tmp_path, "case", image, mask, PLAIN)
    path = tmp_path / "imagesTr" / "case.nii.gz"
    path.unlink()
    path = path.with_name(f"case.{form}")
    path.write_bytes(b"no image at all")
    with pytest.raises(DataError, match=rf"case.{form}' must be a readable {name} file, it is not \(.+\): replace or"):
        folder(tmp_path).load("case")
    if form in ("mha", "nrrd"):
        write_itk(path, image, PLAIN)
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(
            DataError, match=rf"case.{form}' must be complete, it cannot be read to its end \(.+\): copy"
        ):
            folder(tmp_path).load("case")


def test_a_slice_that_is_cut_is_one_sentence(tmp_path):
    root = written(tmp_path, "dicom", *sample(), PLAIN)
    path = root / "imagesTr" / "case" / "003.dcm"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"imagesTr/case' must be complete, it cannot be read to its end \(.+\): copy"):
        folder(root).load("case")


@pytest.mark.parametrize(
    ("form", "module", "file"),
    [
        ("mha", "SimpleITK", "imagesTr/case.mha"),
        ("dicom", "SimpleITK", "imagesTr/case"),
        ("dicom", "pydicom", "imagesTr/case/000.dcm"),
        ("dicom", "highdicom", "labelsTr/case.dcm"),
        ("h5", "h5py", "case.h5/image"),
    ],
)
def test_without_the_extra_the_sentence_names_it(tmp_path, monkeypatch, form, module, file):
    root = written(tmp_path, form, *sample(), PLAIN)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError) as rejected:
        folder(root).load("case")
    assert str(rejected.value) == (
        f"{module} must be installed to read '{root / file}', it is not: run `pip install 'albench[formats]'`, or save "
        "the file as .nii.gz"
    )


def test_a_complex_image_is_rejected(tmp_path):
    image, mask = sample()
    write_itk(tmp_path / "imagesTr" / "a.nrrd", image.astype(np.complex64), PLAIN)
    write_itk(tmp_path / "labelsTr" / "a.nrrd", mask, PLAIN)
    with pytest.raises(DataError, match=r"a.nrrd' must have one real number per voxel, its type is complex of 32-bit"):
        folder(tmp_path).load("a")


def dicom_set(root: Path, change: str) -> Path:
    """A folder with one case whose series has a fault."""
    image, mask = sample()
    series = root / "imagesTr" / "case"
    write_itk(root / "labelsTr" / "case.mha", mask, PLAIN)
    tags = {
        "other size": {"Columns": [24] * 7 + [12]},
        "contours": {"Modality": "RTSTRUCT"},
        "report": {"Modality": "SR", "Rows": 0},
    }.get(change, {})
    if change == "other direction":
        tags = {"ImageOrientationPatient": [[1, 0, 0, 0, 1, 0]] * 7 + [[0, 1, 0, 0, 0, -1]]}
    if change == "no position":
        tags = {"ImagePositionPatient": None}
    write_dicom(series, image, PLAIN, series="1.2.3", SeriesDescription="portal", **tags)
    if change == "two series":
        write_dicom(series, image, PLAIN, series="1.2.4", SeriesDescription="arterial")
    elif change == "missing slice":
        import pydicom

        next(file for file in series.iterdir() if pydicom.dcmread(file).InstanceNumber == 4).unlink()
    elif change == "time points":
        for file in list(series.iterdir()):
            file.with_name(f"again-{file.name}").write_bytes(file.read_bytes())
    return root


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "two series",
            "'{}' must hold one DICOM series, it holds 'portal' (1.2.3, 8 files) and 'arterial' (1.2.4, 8 files): move "
            "each into a folder of its own, or list files",
        ),
        (
            "missing slice",
            "'{}' must hold slices at equal distances, they are 3 to 6 mm apart: add the missing slices, or save the "
            "volume as .nii.gz",
        ),
        (
            "time points",
            "'{}' must hold one slice at every position, 8 of 16 lie where another one does: keep one time point, echo "
            "or weighting",
        ),
        ("other size", "'{}' must hold slices of one size and spacing, it does not: keep one series, without scouts"),
        ("other direction", "'{}' must hold slices of one orientation, it does not: keep one, without scouts"),
        (
            "contours",
            "'{}' must hold an image, an RTSTRUCT holds contours: give it as a mask, with the folder of its series as "
            "the image",
        ),
        ("report", "'{}' must hold voxels, it holds SR: name the folder of an image series"),
    ],
)
def test_a_fault_of_a_series_is_one_sentence(tmp_path, change, sentence):
    with pytest.raises(DataError) as rejected:
        folder(dicom_set(tmp_path, change)).load("case")
    assert str(rejected.value) == sentence.format(tmp_path / "imagesTr" / "case")


def test_a_series_without_positions_is_one_sentence(tmp_path):
    with pytest.raises(DataError) as rejected:
        folder(dicom_set(tmp_path, "no position")).load("case")
    assert str(rejected.value) == (
        f"'{tmp_path}/imagesTr/case' must give spacing, orientation and position of every slice, 8 of 8 do not: save "
        "the volume as .nii.gz"
    )


def test_a_number_that_is_none_is_one_sentence(tmp_path):
    root = written(tmp_path, "dicom", *sample(), PLAIN)
    path = root / "imagesTr" / "case" / "003.dcm"
    path.write_bytes(path.read_bytes().replace(b"-1024.0", b"-1024.x").replace(b"-1024 ", b"-102x "))
    with pytest.raises(DataError, match=r"003.dcm' must be a readable DICOM file, it is not \(.+\): replace or remove"):
        folder(root).load("case")


def test_a_series_of_one_slice_is_as_thick_as_it_says(tmp_path):
    write_dicom(tmp_path / "a", np.zeros((9, 8, 1), np.int16), PLAIN)
    image = open_image(tmp_path / "a", Arrays())
    assert image.shape == (9, 8, 1)
    np.testing.assert_allclose(image.affine, PLAIN)


def test_slices_with_scales_of_their_own_are_read_each_with_its_scale(tmp_path):
    image, mask = sample()
    write_dicom(tmp_path / "imagesTr" / "a", image, PLAIN, RescaleSlope=[1, 1, 1, 1, 1, 1, 1, 0.5])
    write_itk(tmp_path / "labelsTr" / "a.mha", mask, PLAIN)
    loaded = folder(tmp_path).load("a").image[0]
    expected = image.astype(np.float32)
    expected[..., 7] = (expected[..., 7] + 1024) / 2 - 1024
    np.testing.assert_array_equal(loaded, expected[::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("fault", ["shown inverted", "signs of their own", "signs of their own, shown inverted"])
def test_values_are_what_was_measured_however_slices_store_and_show_them(tmp_path, fault):
    """ITK reads the first as 65535 - v and the second as 65536 + v where v is negative."""
    import pydicom

    image, mask = sample()
    write_dicom(tmp_path / "imagesTr" / "a", image, PLAIN)
    write_itk(tmp_path / "labelsTr" / "a.mha", mask, PLAIN)
    expected = image.astype(np.float32)
    for path in (tmp_path / "imagesTr" / "a").iterdir():
        file = pydicom.dcmread(path)
        if "inverted" in fault:
            file.PhotometricInterpretation = "MONOCHROME1"
        if "signs" in fault and file.InstanceNumber > 1:
            expected[..., file.InstanceNumber - 1] -= 1024
            file.PixelRepresentation, file.RescaleIntercept = 1, -2048
        file.save_as(path)
    loaded = folder(tmp_path).load("a").image[0]
    np.testing.assert_array_equal(loaded, expected[::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("form", ["dicom", "dicom of frames"])
def test_pixels_without_a_decoder_are_one_sentence(tmp_path, monkeypatch, form):
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import HTJ2KLossless

    root = written(tmp_path, form, *sample(), PLAIN)
    paths = [path for path in (root / "imagesTr").rglob("*") if path.is_file()]
    for path in paths:
        file = pydicom.dcmread(path)
        file.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 100] * int(file.get("NumberOfFrames", 1)))
        file["PixelData"].VR, file["PixelData"].is_undefined_length = "OB", True
        file.file_meta.TransferSyntaxUID = HTJ2KLossless
        file.save_as(path)
    monkeypatch.setattr(Decoder, "is_available", False)
    monkeypatch.setattr(Decoder, "missing_dependencies", ["pylibjpeg - requires pylibjpeg-openjpeg>=2.0"])
    with pytest.raises(DataError) as rejected:
        folder(root).load("case")
    first = min(paths, key=lambda path: int(pydicom.dcmread(path, stop_before_pixels=True).get("InstanceNumber") or 0))
    assert str(rejected.value) == (
        f"'{first}' must have pixels that can be decoded, the decoder of High-Throughput JPEG 2000 Image Compression "
        "(Lossless Only) is not installed (pylibjpeg - requires pylibjpeg-openjpeg>=2.0): install it, or save the "
        "files without compression"
    )


def test_frames_have_scales_of_their_own(tmp_path):
    image, mask = sample()
    series = write_dicom(tmp_path / "imagesTr" / "a", image, PLAIN, RescaleSlope=[1, 1, 1, 1, 1, 1, 1, 0.5])
    write_frames(tmp_path / "imagesTr" / "a.dcm", series)
    write_itk(tmp_path / "labelsTr" / "a.mha", mask, PLAIN)
    write_pair(tmp_path / "nifti", "a", image, mask, PLAIN)
    loaded, plain = (
        folder(tmp_path, mask_grid="image").load("a").image[0],
        folder(tmp_path / "nifti").load("a").image[0],
    )
    expected = plain.copy()
    expected[7] = (plain[7] + 1024) / 2 - 1024
    np.testing.assert_array_equal(loaded, expected)


def test_frames_without_positions_are_one_sentence(tmp_path):
    import pydicom

    root = written(tmp_path, "dicom of frames", *sample(), PLAIN)
    path = root / "imagesTr" / "case.dcm"
    file = pydicom.dcmread(path)
    frames = file.PerFrameFunctionalGroupsSequence
    frames[3].PlanePositionSequence = frames[2].PlanePositionSequence
    file.save_as(path)
    with pytest.raises(DataError) as rejected:
        folder(root).load("case")
    assert str(rejected.value) == (
        f"'{path}' must hold one frame at each of equally distant positions, it does not: save one volume, for example "
        "as .nii.gz"
    )


def test_segments_that_overlap_and_shares_of_segments_are_one_sentence(tmp_path):
    image, mask = sample()
    series = write_dicom(tmp_path / "imagesTr" / "a", image, PLAIN)
    both = np.stack([mask > 0, mask == 2], -1)
    path = write_segmentation(tmp_path / "labelsTr" / "a.dcm", series, both.astype(np.uint8))
    sentence = rf"'{path}' must give every voxel at most one segment, it does not \(.+\): read overlapping segments by"
    with pytest.raises(DataError, match=sentence):
        folder(tmp_path).load("a")
    write_segmentation(path, series, both.astype(np.float32) * 0.4, "FRACTIONAL")
    with pytest.raises(DataError, match=sentence):
        folder(tmp_path).load("a")


def test_a_segmentation_of_slicer_covers_a_part_of_the_image(tmp_path):
    image, mask = sample()
    write_itk(tmp_path / "imagesTr" / "a.nrrd", image, PLAIN)
    affine = PLAIN.copy()
    affine[:3, 3] = (PLAIN @ [6, 5, 2, 1])[:3]
    write_itk(tmp_path / "labelsTr" / "a.seg.nrrd", mask[6:16, 5:15, 2:6], affine)
    write_pair(tmp_path / "whole", "a", image, mask, PLAIN)
    np.testing.assert_array_equal(folder(tmp_path).load("a").mask, folder(tmp_path / "whole").load("a").mask)
    affine[0, 3] += 0.2
    write_itk(tmp_path / "labelsTr" / "a.seg.nrrd", mask[6:16, 5:15, 2:6], affine)
    with pytest.raises(DataError, match=r"a mask must have the shape of its image, '.*a.seg.nrrd' has \(10, 10, 4\)"):
        folder(tmp_path).load("a")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_a_part_in_any_orientation_is_placed_where_it_lies(order, signs):
    """Compared voxel by voxel: each of the part goes where its center lies in the grid."""
    values = np.arange(1, 2 * 3 * 4 + 1, dtype=np.uint8).reshape(2, 3, 4)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for axis, (of, sign) in enumerate(zip(order, signs, strict=True)):
        turn[of, axis] = sign
        turn[of, 3] = 1 if sign > 0 else values.shape[axis]
    grid = StoredImage(Path("grid"), (7, 6, 8), TILTED, True, lambda dtype: np.zeros(0))
    part = StoredImage(Path("part"), values.shape, TILTED @ turn, True, lambda dtype: values, partial=True)
    expected = np.zeros(grid.shape, np.uint8)
    for index in np.ndindex(values.shape):
        expected[tuple((turn @ [*index, 1])[:3].astype(int))] = values[index]
    np.testing.assert_array_equal(placed(part, grid).read(), expected)


def test_arrays_of_hdf5_have_names_axes_and_a_spacing_by_options(tmp_path):
    image, mask = sample()
    write_hdf5(tmp_path / "set" / "a.h5", image=image, label=mask)
    plain = folder(tmp_path / "set")
    assert plain.load("a").spacing == (1, 1, 1)
    assert plain.notes() == [
        "arrays of HDF5 have no voxel size and no orientation, 1 mm and the axes xyz are assumed: set data.h5_spacing, "
        "and data.h5_axes if they are others"
    ]
    expected = plain.load("a")
    write_hdf5(tmp_path / "other" / "b" / "volume.hdf5", **{"raw/t1": image.T, "truth": mask.T > 0})
    write_hdf5(tmp_path / "other" / "c" / "volume.hdf5", **{"raw/t1": image.T, "truth": mask.T > 0})
    options = {"h5_image": "raw/t1", "h5_label": "truth", "h5_axes": "zyx", "h5_spacing": (1.0, 2.0, 3.0)}
    other = folder(tmp_path / "other", **options)
    assert list(other.cases()) == ["b", "c"]
    loaded = other.load("b")
    np.testing.assert_array_equal(loaded.image, expected.image)
    np.testing.assert_array_equal(loaded.mask, expected.mask > 0)
    assert loaded.spacing == (3, 2, 1)
    assert other.notes() == []
    with pytest.raises(DataError) as rejected:
        folder(tmp_path / "other").load("b")
    assert str(rejected.value) == (
        f"'{tmp_path}/other/b/volume.hdf5' must hold the array 'image', it holds 'raw/t1', 'truth': set data.h5_image "
        "and data.h5_label to the names of image and mask"
    )


@pytest.mark.parametrize("axes", ["cxyz", "xyzc", "czyx", "zyxc"])
def test_arrays_of_hdf5_have_channels_where_their_axes_say_it(tmp_path, axes):
    image, mask = sample()
    order = ["xyzc".index(axis) for axis in axes]
    both, drawn = np.stack([image, image[::-1]], -1), mask.transpose([axis for axis in order if axis < 3])
    write_hdf5(tmp_path / "a.h5", image=both.transpose(order), label=drawn)
    loaded = folder(tmp_path, h5_axes=axes).load("a")
    np.testing.assert_array_equal(loaded.image[0], loaded.image[1][..., ::-1])
    np.testing.assert_array_equal(loaded.image[0], image[::-1, ::-1].transpose(2, 1, 0))
    np.testing.assert_array_equal(loaded.mask > 0, (mask > 0)[::-1, ::-1].transpose(2, 1, 0))
    with pytest.raises(DataError) as rejected:
        folder(tmp_path).load("a")
    assert str(rejected.value) == (
        f"'{tmp_path}/a.h5/image' must have the axes xyz of data.h5_axes, it has shape "
        f"{both.transpose(order).shape}: choose one of xyz, zyx, cxyz, xyzc, czyx, zyxc, or save one volume per array"
    )


def test_hdf5_files_may_be_listed_with_and_without_the_names_of_arrays(tmp_path):
    image, mask = sample()
    write_hdf5(tmp_path / "a.h5", image=image, label=mask)
    write_hdf5(tmp_path / "b.h5", t2=image, truth=mask)
    (tmp_path / "list.csv").write_text("image,mask,patient\na.h5,a.h5,a\nb.h5/t2,b.h5/truth,b\n")
    data = folder(tmp_path / "list.csv", classes=TWO)
    assert list(data.problems())[-1].sentence.endswith("b.h5/t2' equals that of 'a': remove one")
    np.testing.assert_array_equal(data.load("a").mask, data.load("b").mask)


def test_options_of_hdf5_are_mentioned_only_where_they_are_set(tmp_path):
    """So that prepared data and runs of before these options keep their names."""
    image, mask = sample()
    for index in range(3):
        write_pair(tmp_path, f"c{index}", image + index, mask, PLAIN)
    assert content_key(folder(tmp_path)) == content_key(folder(tmp_path, h5_image="image", h5_axes="xyz"))
    assert content_key(folder(tmp_path)) != content_key(folder(tmp_path, h5_axes="zyx"))
    places = {"data.root": str(tmp_path), "protocol.split": [1, 1, 1], "data.classes": TWO}
    plain = resolve("entropy", "folder", settings=places).config
    other = resolve("entropy", "folder", settings=places | {"data.h5_axes": "zyx"}).config
    assert set(other.dataset.options) - set(plain.dataset.options) == {"h5_axes"}
    same = resolve("entropy", "folder", settings=places | {"data.h5_axes": "xyz"}).config
    assert plain.digest() == same.digest()
    assert plain.digest() != other.digest()


def test_a_folder_of_hdf5_is_a_dataset_at_the_command_line(tmp_path):
    for index in range(6):
        image, mask = sample()
        write_hdf5(tmp_path / "set" / f"case{index}.h5", image=image + index, label=mask)
    code, output = invoke("data", "check", tmp_path / "set", "--set", "data.labels=[1,2]")
    assert code == 0, output
    code, output = invoke("data", "check", tmp_path / "set", "--set", "data.h5_spacing=[1,1,0]")
    assert code == 2
    assert "data.h5_spacing" in output, output
    code, output = invoke("data", "check", tmp_path / "set", "--set", "data.h5_label=mask")
    assert code == 1
    assert "must hold the array 'mask', it holds 'image', 'label': set data.h5_image and data.h5_label" in output
