"""The progress of an annotation project on a terminal: what is done now, and a line per round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console

from albench.callback import NullCallback
from albench.config import RunConfig
from albench.console import decimal, say
from albench.errors import counted
from albench.runs.records import RoundRecord

_QUIET = 30.0  # seconds, after which a step that takes long is told again
_WORDS = {"fit": "training", "evaluate": "segmenting the volumes with masks", "query": "choosing slices"}


class ProjectProgress(NullCallback):
    """What takes long, in a line that is replaced; if output is not a terminal, in new lines while it lasts.

    Args:
        console: to print on.
        before: finished rounds of the project.
    """

    def __init__(self, console: Console, before: int = 0) -> None:
        self._console = console
        self._status = console.status("reading the project")
        self._told, self._said = "", 0.0
        self._before, self._offset = before, 0

    def on_start(self, config: RunConfig, records: Sequence[RoundRecord]) -> None:
        """Count rounds as the project does, of which a run has those since the last change of settings."""
        self._offset = self._before - len(records)

    def on_volume(self, done: int, total: int, _: str) -> None:
        """A volume is prepared."""
        self._tell("preparing the volumes, once", f", {done} of {total}")

    def on_phase(self, round_index: int, name: str) -> None:
        """Say what is done."""
        self._tell(f"round {self._offset + round_index}: {_WORDS[name]}")

    def on_epoch(self, epoch: int, epochs: int, loss: float, val_loss: float | None) -> None:
        """Show the epoch and its loss."""
        self._tell(self._told, f", epoch {epoch} of at most {epochs}, loss {loss:.4f}")

    def on_round(self, record: RoundRecord) -> None:
        """Print the round."""
        self.on_notice(round_in_words(record, self._offset + record.round))

    def on_notice(self, text: str) -> None:
        """Print it."""
        say(self._console, text)

    def _tell(self, words: str, more: str = "") -> None:
        now = time.monotonic()
        another = words != self._told
        if not self._console.is_terminal and (another or now - self._said > _QUIET):
            self.on_notice(words if another else words + more)
            self._said = now
        self._told = words
        self._status.update(words + more)

    def __enter__(self) -> ProjectProgress:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()


def round_in_words(record: RoundRecord, index: int) -> str:
    """What a round of the project trained on, and how well it segments the volumes that have masks."""
    parts = (("validation", record.val), ("test", record.test))
    scores = [
        f"{name} Dice slice {decimal(metrics.dice_slice)} volume {decimal(metrics.dice_volume)}"
        for name, metrics in parts
        if metrics is not None and metrics.dice_slice is not None
    ]
    return ", ".join([f"round {index}: trained on {counted(record.labeled, 'slice')}", *scores])
