"""The app that MONAI Label starts on a project of albench."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from albench_monai_label.datastore import ProjectDatastore
from albench_monai_label.infer import ProjectNetwork
from albench_monai_label.open_project import OpenProject
from albench_monai_label.options import Options
from albench_monai_label.strategy import WorklistStrategy
from albench_monai_label.train import NextRound

NAME = "albench"  # of the strategy, the network and the training task


class AlbenchApp(MONAILabelApp):
    """Hands out the worklist of a project, and goes on with its rounds.

    Args:
        app_dir: folder of the app.
        studies: folder of the project.
        conf: as `albench_monai_label.options.Options`.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        self._project = OpenProject(Path(studies), Options.read(conf or {}))
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=dict(conf or {}),
            name=f"albench: {self._project.project.record.name}",
            description="Slices of volumes, those that a strategy of albench asks for",
            labels=list(self._project.classes),
        )

    def init_datastore(self) -> Datastore:
        """The project."""
        return ProjectDatastore(self._project)

    def init_infers(self) -> dict[str, InferTask]:
        """The network of the last finished round."""
        return {NAME: ProjectNetwork(self._project)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """The next round."""
        return {NAME: NextRound(self._project)}

    def init_strategies(self) -> dict[str, Strategy]:
        """The worklist, whichever strategy has asked for it."""
        return {NAME: WorklistStrategy(self._project)}
