"""Small datasets in the exact layout of the public ones."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # BraTS


def ball(shape: tuple[int, int, int], label: int = 1) -> np.ndarray:
    """A mask with a ball of `label` in the center."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    inside: np.ndarray = x**2 + y**2 + z**2 < 0.3
    return inside.astype(np.uint8) * label


def decathlon_task(
    parent: Path,
    task: str,
    *,
    name: str,
    labels: dict[str, str],
    modality: dict[str, str] | None = None,
    count: int = 6,
    shape: tuple[int, int, int] = (32, 32, 9),
) -> Path:
    """An unpacked task, with the files of macOS that the archives contain and a test set without labels."""
    root, modality = parent / task, modality or {"0": "CT"}
    rng = np.random.default_rng(0)
    affine = np.diag([0.8, 0.8, 5.0, 1.0])
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (root / folder).mkdir(parents=True)
    training, test = [], []
    for number in range(2, 2 + count):
        mask = ball(shape, 1)
        mask[: shape[0] // 2][mask[: shape[0] // 2] > 0] = max(int(label) for label in labels)
        channels = [rng.normal(-500, 300, shape) + (560 + 10 * i) * (mask > 0) for i in range(len(modality))]
        image = np.stack(channels, -1) if len(channels) > 1 else channels[0]
        nib.save(nib.Nifti1Image(image.astype(np.float32), affine), root / "imagesTr" / f"{name}_{number}.nii.gz")
        nib.save(nib.Nifti1Image(mask, affine), root / "labelsTr" / f"{name}_{number}.nii.gz")
        for folder in ("imagesTr", "labelsTr"):
            (root / folder / f"._{name}_{number}.nii.gz").write_bytes(b"\0\5\26\7 resource fork")
        file = f"{name}_{number}.nii.gz"
        training.append({"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"})
    for number in (1, 7 + count):
        nib.save(nib.Nifti1Image(image.astype(np.float32), affine), root / "imagesTs" / f"{name}_{number}.nii.gz")
        test.append(f"./imagesTs/{name}_{number}.nii.gz")
    content = {
        "name": task.partition("_")[2],
        "description": "generated",
        "reference": "none",
        "licence": "CC-BY-SA 4.0",
        "relase": "1.0 06/08/2018",
        "tensorImageSize": "4D" if len(modality) > 1 else "3D",
        "modality": modality,
        "labels": {"0": "background", **labels},
        "numTraining": count,
        "numTest": len(test),
        "training": training,
        "test": test,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def packed(root: Path) -> Path:
    """The folder as a .tar beside it, as published."""
    archive = root.with_name(f"{root.name}.tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=root.name)
    return archive


def spleen(parent: Path, count: int = 6) -> Path:
    """Task09 of the Decathlon."""
    return decathlon_task(parent, "Task09_Spleen", name="spleen", labels={"1": "spleen"}, count=count)


_SCANS = ("_flair", "_t1", "_t1ce", "_t2", "_seg")
_SCANS_2023 = ("-t2f", "-t1n", "-t1c", "-t2w", "-seg")


def brats(parent: Path, year: int, count: int = 6) -> Path:
    """The training data of a year; 2019 and 2020 have as many high-grade as low-grade gliomas."""
    numbers = range(1, count + 1)
    if year == 2019:
        root = parent / "MICCAI_BraTS_2019_Data_Training"
        folders = [root / g / f"BraTS19_{s}_{n}_1" for g, s in (("HGG", "CBICA"), ("LGG", "TCIA")) for n in numbers]
    elif year == 2020:
        root = parent / "MICCAI_BraTS2020_TrainingData"
        folders = [root / f"BraTS20_Training_{n:03d}" for n in range(1, 2 * count + 1)]
    elif year == 2021:
        root = parent / "RSNA_ASNR_MICCAI_BraTS2021_TrainingData_16July2021"
        folders = [root / f"BraTS2021_{n:05d}" for n in numbers]
    else:
        root = parent / "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData"
        folders = [root / f"BraTS-GLI-{n // 2:05d}-{n % 2:03d}" for n in numbers]
    for index, folder in enumerate(folders):
        _brats_case(folder, year, index)
    if year == 2020:
        rows = [f"{'LGG' if i < count else 'HGG'},NA,NA,NA,x_{i},{folder.name}" for i, folder in enumerate(folders)]
        header = "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID"
        (root / "name_mapping.csv").write_text("\n".join([f"{header},BraTS_2020_subject_ID", *rows]))
        last = folders[0] / f"{folders[0].name}_seg.nii.gz"
        (folders[0] / "W39_1998.09.19_Segm.nii").write_bytes(gzip.decompress(last.read_bytes()))
        last.unlink()
    return root


def _brats_case(folder: Path, year: int, index: int) -> None:
    shape, scans = (32, 32, 9), _SCANS_2023 if year == 2023 else _SCANS
    rng = np.random.default_rng(index)
    mask = ball(shape, 2)  # edema around necrosis and enhancing tumor
    mask[12:20, 12:20, 3:5] = 1
    mask[12:20, 12:20, 5:6] = 3 if year == 2023 else 4
    folder.mkdir(parents=True)
    affine = LPS.copy()
    affine[1, 3] = 239
    for offset, scan in enumerate(scans[:-1]):
        image = np.clip(rng.normal(100 * (offset + 1), 30, shape) + 100 * (mask > 0), 0, None).astype(np.int16)
        nib.save(nib.Nifti1Image(image, affine), folder / f"{folder.name}{scan}.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), folder / f"{folder.name}{scans[-1]}.nii.gz")
