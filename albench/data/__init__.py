"""Data, from files to slices: what a dataset is, how it is prepared, and the slices that everything else works on."""

from albench.data.dataset import (
    Archive,
    Dataset,
    LabeledStack,
    Problem,
    SliceStack,
    Split,
    Volume,
    check_volume,
    split_volumes,
)
from albench.data.paths import cache_folder, downloads_folder
from albench.registry import register

__all__ = [
    "Archive",
    "Dataset",
    "LabeledStack",
    "Problem",
    "SliceStack",
    "Split",
    "Volume",
    "cache_folder",
    "check_volume",
    "downloads_folder",
    "register",
    "split_volumes",
]
