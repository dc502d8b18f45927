"""Labels from people: projects, the files and lists that people draw by, and what comes back."""

from albench.annotation.label_files import Asked, write_label_file
from albench.annotation.returned import ReadLabels, Returned, Rules, combine_returned, read_returned
from albench.annotation.returned_folder import find_files, read_folder
from albench.annotation.segmentations import (
    CaseCertainty,
    normalized_entropy,
    write_least_certain,
    write_segmentation,
)
from albench.annotation.working_grid import on_working_grid
from albench.annotation.worklist import Reason, Task, worklist_csv, write_worklist
from albench.annotation.worklist_page import write_worklist_page

__all__ = [
    "Asked",
    "CaseCertainty",
    "ReadLabels",
    "Reason",
    "Returned",
    "Rules",
    "Task",
    "combine_returned",
    "find_files",
    "normalized_entropy",
    "on_working_grid",
    "read_folder",
    "read_returned",
    "worklist_csv",
    "write_label_file",
    "write_least_certain",
    "write_segmentation",
    "write_worklist",
    "write_worklist_page",
]
