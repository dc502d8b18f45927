"""Folders of HDF5 files as benchmarks of semi-supervised segmentation keep them: each holds an image and its mask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import holds_arrays, stem, walk, with_array
from albench.datasets._layout import Layout, has_image_folder
from albench.datasets._names import told_apart


def array_folder(root: Path) -> Layout | None:
    """The HDF5 files of a folder at any depth, one case each; None if it has none, or has folders of images."""
    if has_image_folder(root):
        return None
    files = [path for path in walk(root) if holds_arrays(path)]
    if not files:
        return None
    names = told_apart([stem(path) for path in files], [path.relative_to(root) for path in files])
    volumes = {name: Files((path,), (MaskFile(path),)) for name, path in zip(names, files, strict=True)}
    return Layout(volumes=dict(sorted(volumes.items())), rule="by their file, which holds both")


def with_arrays(layout: Layout, image: str, label: str) -> Layout:
    """The layout in which HDF5 files without the name of an array stand for these arrays of image and mask."""
    volumes = {
        case: replace(
            files,
            images=tuple(with_array(path, image) for path in files.images),
            masks=tuple(replace(mask, path=with_array(mask.path, label)) for mask in files.masks),
        )
        for case, files in layout.volumes.items()
    }
    return replace(layout, volumes=volumes)
