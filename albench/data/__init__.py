"""Data, from files to slices: what a dataset is, how it is prepared, and the slices that everything else works on."""

from albench.data.agreement import agreement, agreement_in_words
from albench.data.as_read import PERCENTILES, AsRead, image_digest, sampled
from albench.data.cache import PreparedSet, Removal, cache_problems, downloaded, prepared_sets, remove
from albench.data.dataset import Archive, Dataset, check_options
from albench.data.facts import (
    MOST_VALUES,
    FileFacts,
    ValueCount,
    most_frequent,
    pooled,
    value_counts,
)
from albench.data.file_grid import FileGrid, StoredLabels
from albench.data.intensities import ClippedTarget, Intensities, Rule
from albench.data.label_counts import LabelCounts
from albench.data.marks import make_marked, mark_content
from albench.data.memory import check_memory
from albench.data.oddities import oddities
from albench.data.orientation import AXES, Axis, oriented
from albench.data.outline import outlined
from albench.data.own_grid import OwnGrid
from albench.data.padding import padding_share, padding_warnings
from albench.data.paths import cache_folder, downloads_folder
from albench.data.preparation import Progress
from albench.data.prepared import Prepared, prepare
from albench.data.problems import CaseSummary, Problem, check_case, label_warnings, set_problems, set_warnings
from albench.data.published_size import PublishedSize
from albench.data.raters import Raters, combined_raters
from albench.data.scaling_loss import ScalingLoss, scaling_warnings
from albench.data.slices import LabeledStack, SliceStack, joined
from albench.data.split import Split, split_dataset, split_volumes
from albench.data.volume import Volume, check_volume
from albench.registry import register

__all__ = [
    "AXES",
    "MOST_VALUES",
    "PERCENTILES",
    "Archive",
    "AsRead",
    "Axis",
    "CaseSummary",
    "ClippedTarget",
    "Dataset",
    "FileFacts",
    "FileGrid",
    "Intensities",
    "LabelCounts",
    "LabeledStack",
    "OwnGrid",
    "Prepared",
    "PreparedSet",
    "Problem",
    "Progress",
    "PublishedSize",
    "Raters",
    "Removal",
    "Rule",
    "ScalingLoss",
    "SliceStack",
    "Split",
    "StoredLabels",
    "ValueCount",
    "Volume",
    "agreement",
    "agreement_in_words",
    "cache_folder",
    "cache_problems",
    "check_case",
    "check_memory",
    "check_options",
    "check_volume",
    "combined_raters",
    "downloaded",
    "downloads_folder",
    "image_digest",
    "joined",
    "label_warnings",
    "make_marked",
    "mark_content",
    "most_frequent",
    "oddities",
    "oriented",
    "outlined",
    "padding_share",
    "padding_warnings",
    "pooled",
    "prepare",
    "prepared_sets",
    "register",
    "remove",
    "sampled",
    "scaling_warnings",
    "set_problems",
    "set_warnings",
    "split_dataset",
    "split_volumes",
    "value_counts",
]
