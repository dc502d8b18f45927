"""The network of a project as a model of MONAI Label."""

from __future__ import annotations

from collections.abc import Mapping

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from albench_monai_label.client_errors import told_to_client
from albench_monai_label.open_project import OpenProject


class ProjectNetwork(InferTask):
    """Segments a whole volume with the network of the last finished round."""

    def __init__(self, project: OpenProject) -> None:
        names = list(project.classes)
        super().__init__(InferType.SEGMENTATION, names, 3, "The network of the last finished round")
        self._project = project

    def is_valid(self) -> bool:
        """Whether a round is finished."""
        return self._project.project.trained is not None

    @told_to_client()
    def __call__(self, request: Mapping[str, str]) -> tuple[str, dict[str, object]]:
        """The file of the segmentation, and what is in it.

        Args:
            request: `image`, the file of a volume of the project.
        """
        path, certainty = self._project.segment(self._project.case_of(request["image"]))
        dimension, index = certainty.grid.index(certainty.position)
        return str(path), {
            "label_names": self._project.label_names(path),
            "uncertainty": certainty.uncertainty,
            "least_certain_slice": {"dimension": "ijk"[dimension], "index_3d_slicer": index},
        }
