"""The next round of a project as a training task of MONAI Label."""

from __future__ import annotations

from collections.abc import Mapping

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from albench.registry import STRATEGIES, available
from albench_monai_label.client_errors import told_to_client
from albench_monai_label.open_project import OpenProject
from albench_monai_label.options import as_bool


class NextRound(TrainTask):
    """Reads what was drawn, trains, queries, and writes the next worklist, as `albench annotate next`."""

    def __init__(self, project: OpenProject) -> None:
        super().__init__("The next round: trains on what is drawn, and asks for other slices")
        self._project = project

    def config(self) -> dict[str, object]:
        """What a user may choose: of the strategies, the first is that of the project."""
        own = self._project.project.stage.strategy
        others = [entry.name for entry in available(STRATEGIES) if entry.cls and not entry.cls.uses_labels]
        return {
            "strategy": [own, *(name for name in others if name != own)],
            "empty_is_done": self._project.options.empty_is_done,
            "leave_open": False,
            "prefill": False,
        }

    def stats(self) -> dict[str, object]:
        """The Dice of the last finished round, on the volumes for validation if there are any."""
        trained = self._project.project.trained
        metrics = trained[1].records[-1].val if trained else None
        return {"best_metric": metrics.dice_volume} if metrics else {}

    @told_to_client()
    def __call__(self, request: Mapping[str, object], datastore: Datastore) -> dict[str, object]:
        """Compute the round. Options that a request leaves out are those of `config`.

        Returns:
            Number of the round to draw for, its slices, and whether every slice of the project is drawn.
        """
        chosen = {name: as_bool(name, request.get(name, value)) for name, value in self._choices().items()}
        strategy = request.get("strategy")
        worklist = self._project.begin_round(
            strategy=str(strategy[0] if isinstance(strategy, list) else strategy) if strategy else None, **chosen
        )
        return {"round": worklist.round, "slices": len(worklist.missing), "finished": worklist.finished}

    def _choices(self) -> dict[str, object]:
        return {name: value for name, value in self.config().items() if isinstance(value, bool)}
