"""Writers of volumes in other formats than NIfTI; values are (i, j, k) and affines from voxels to RAS millimeters."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_itk(path: Path, values: np.ndarray, affine: np.ndarray, *, compressed: bool = False) -> Path:
    """MetaImage or NRRD by the suffix of the path; a fourth axis has the components of a voxel."""
    import SimpleITK as sitk  # noqa: N813

    order = (2, 1, 0, *range(3, values.ndim))
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(order)), isVector=values.ndim > 3)
    lps = LPS @ affine
    spacing = nib.affines.voxel_sizes(lps)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


def write_dicom(folder: Path, values: np.ndarray, affine: np.ndarray, *, series: str = "", **tags: Any) -> Path:
    """A CT series of int16 values, one file per slice, stored with a rescale intercept of -1024 in shuffled files."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    lps = LPS @ affine
    spacing = nib.affines.voxel_sizes(lps)
    directions = lps[:3, :3] / spacing
    folder.mkdir(parents=True, exist_ok=True)
    uid, study, frame = series or generate_uid(), generate_uid(), generate_uid()
    names = np.random.default_rng(0).permutation(values.shape[2])
    for k in range(values.shape[2]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        path = folder / f"{series}{names[k]:03d}.dcm"
        file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        file.Modality, file.PatientID, file.PatientName = "CT", "p", "p^p"
        file.PatientBirthDate = file.PatientSex = file.StudyDate = file.StudyTime = file.AccessionNumber = ""
        file.StudyID, file.ReferringPhysicianName, file.SeriesNumber = "1", "", 1
        file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = study, uid, frame
        file.PositionReferenceIndicator, file.InstanceNumber = "", k + 1
        file.ImageOrientationPatient = [float(f"{value:.12g}") for value in directions[:, :2].T.ravel()]
        file.ImagePositionPatient = [float(f"{value:.12g}") for value in (lps @ [0, 0, k, 1])[:3]]
        file.PixelSpacing, file.SliceThickness = [float(spacing[1]), float(spacing[0])], float(spacing[2])
        file.Rows, file.Columns = values.shape[1], values.shape[0]
        file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.RescaleSlope, file.RescaleIntercept = 1, -1024
        file.PixelData = np.ascontiguousarray((values[:, :, k].T.astype(np.int32) + 1024).astype("<u2")).tobytes()
        for name, value in tags.items():
            setattr(file, name, value[k] if isinstance(value, list) and len(value) == values.shape[2] else value)
        file.save_as(path, enforce_file_format=True)
    return folder


def write_frames(path: Path, series: Path) -> Path:
    """A series from `write_dicom` as one file with a frame for every slice, in place of the series."""
    import highdicom
    import pydicom
    from pydicom.uid import generate_uid

    slices = [pydicom.dcmread(file) for file in series.glob("*.dcm")]
    made = highdicom.legacy.LegacyConvertedEnhancedCTImage(slices, generate_uid(), 3, generate_uid(), 1)
    shutil.rmtree(series)
    made.save_as(path)
    return path


def write_segmentation(
    path: Path,
    series: Path,
    values: np.ndarray,
    kind: str = "BINARY",
    *,
    names: Sequence[str] = (),
    description: str = "segments",
) -> Path:
    """A DICOM-SEG of a series from `write_dicom`, with one segment for every value; empty frames are left out."""
    import highdicom
    import pydicom
    from highdicom.sr.coding import CodedConcept
    from pydicom.uid import generate_uid

    slices = [pydicom.dcmread(file) for file in series.glob("*.dcm")]
    slices.sort(key=lambda file: file.InstanceNumber)
    tissue = CodedConcept("85756007", "SCT", "Tissue")
    numbers = range(1, values.shape[3] + 1) if values.ndim == 4 else range(1, int(values.max()) + 1)
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=names[number - 1] if names else f"part {number}",
            segmented_property_category=tissue,
            segmented_property_type=tissue,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in numbers
    ]
    made = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=np.ascontiguousarray(values.transpose(2, 1, 0, *range(3, values.ndim))),
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="albench",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        series_description=description,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path


def write_hdf5(path: Path, **arrays: np.ndarray) -> Path:
    """One array for every name."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def write_structures(
    path: Path, series: Path, regions: Sequence[tuple[str, Sequence[np.ndarray]]], *, kind: str = "CLOSED_PLANAR"
) -> Path:
    """A structure set (RTSTRUCT) of a series from `write_dicom`.

    Args:
        regions: names and contours, (n, 3) in millimeters to the left, to the back and up.
        kind: type of all contours.
    """
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

    source = pydicom.dcmread(next(series.glob("*.dcm")), stop_before_pixels=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    file.Modality, file.StructureSetLabel, file.SeriesDescription = "RTSTRUCT", "plan", "contours"
    file.PatientID, file.PatientName, file.StudyInstanceUID = source.PatientID, "p^p", source.StudyInstanceUID
    file.SeriesInstanceUID, file.FrameOfReferenceUID = generate_uid(), source.FrameOfReferenceUID
    of_series, study, frame = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = source.SeriesInstanceUID
    study.RTReferencedSeriesSequence = [of_series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = source.FrameOfReferenceUID, [study]
    file.ReferencedFrameOfReferenceSequence = [frame]
    file.StructureSetROISequence, file.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions, 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, source.FrameOfReferenceUID
        file.StructureSetROISequence.append(roi)
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
            item.ContourData = [f"{value:.10g}" for value in np.asarray(points).ravel()]
            drawn.ContourSequence.append(item)
        file.ROIContourSequence.append(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
    return path


def outlines(mask: np.ndarray, affine: np.ndarray) -> list[np.ndarray]:
    """Contours of a mask, halfway between voxels inside and outside, slice by slice, as `write_structures` wants them.

    Args:
        mask: (i, j, k), empty at the border of every slice.
        affine: from voxels to RAS millimeters.
    """
    from contourpy import contour_generator

    made = []
    for k in range(mask.shape[2]):
        for line in contour_generator(z=mask[:, :, k].astype(float)).lines(0.5):
            j, i = np.asarray(line)[:-1].T
            points = np.column_stack([i, j, np.full(len(i), k)])
            made.append(nib.affines.apply_affine(LPS @ affine, points))
    return made
