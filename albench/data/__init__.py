"""Data, from files to slices: what a dataset is, how it is prepared, and the slices that everything else works on."""

from albench.data.cache import PreparedSet, Removal, cache_problems, downloaded, prepared_sets, remove
from albench.data.dataset import Archive, Dataset, check_options
from albench.data.label_counts import LabelCounts
from albench.data.marks import make_marked, mark_content
from albench.data.memory import check_memory
from albench.data.padding import padding_share, padding_warnings
from albench.data.paths import cache_folder, downloads_folder
from albench.data.preparation import Progress
from albench.data.prepared import Prepared, prepare
from albench.data.problems import CaseSummary, Problem, case_problems, label_warnings, set_problems
from albench.data.slices import LabeledStack, SliceStack
from albench.data.split import Split, split_dataset, split_volumes
from albench.data.volume import Volume, check_volume
from albench.registry import register

__all__ = [
    "Archive",
    "CaseSummary",
    "Dataset",
    "LabelCounts",
    "LabeledStack",
    "Prepared",
    "PreparedSet",
    "Problem",
    "Progress",
    "Removal",
    "SliceStack",
    "Split",
    "Volume",
    "cache_folder",
    "cache_problems",
    "case_problems",
    "check_memory",
    "check_options",
    "check_volume",
    "downloaded",
    "downloads_folder",
    "label_warnings",
    "make_marked",
    "mark_content",
    "padding_share",
    "padding_warnings",
    "prepare",
    "prepared_sets",
    "register",
    "remove",
    "set_problems",
    "split_dataset",
    "split_volumes",
]
