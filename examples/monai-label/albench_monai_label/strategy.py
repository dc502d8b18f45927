"""The worklist as a strategy of MONAI Label, which asks for one volume at a time."""

from __future__ import annotations

from collections.abc import Mapping

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from albench_monai_label.client_errors import told_to_client
from albench_monai_label.open_project import OpenProject


class WorklistStrategy(Strategy):
    """Asks for the volume with the slice most wanted among those that are not drawn (`OpenProject.wanted`)."""

    def __init__(self, project: OpenProject) -> None:
        super().__init__("The worklist of a project: slices that a strategy of albench asks for")
        self._project = project

    def info(self) -> dict[str, object]:
        """What clients show, with the strategy that chooses the slices now."""
        return {**super().info(), "strategy": self._project.project.stage.strategy}

    @told_to_client()
    def __call__(self, request: Mapping[str, object], datastore: Datastore) -> dict[str, object] | None:
        """`id` of the volume, and `slices` to draw in it; None if everything is drawn."""
        case = self._project.wanted()
        return None if case is None else {"id": case, "slices": datastore.get_image_info(case)["slices"]}
