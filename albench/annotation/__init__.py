"""Labels from people: the files and lists that they draw by, and what comes back."""

from albench.annotation.label_files import Asked, write_label_file
from albench.annotation.returned import ReadLabels, Returned, Rules, combine_returned, read_returned
from albench.annotation.returned_folder import find_files, read_folder

__all__ = [
    "Asked",
    "ReadLabels",
    "Returned",
    "Rules",
    "combine_returned",
    "find_files",
    "read_folder",
    "read_returned",
    "write_label_file",
]
