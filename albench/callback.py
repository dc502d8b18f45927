"""Callbacks: how a run reports its progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from albench.config import RunConfig
from albench.runs.records import RoundRecord


class RunCallback(Protocol):
    """Called by the loop. It cannot change what the run does; derive from `NullCallback` and override what you need."""

    def on_start(self, config: RunConfig, records: Sequence[RoundRecord]) -> None:
        """The run starts, or continues after the records of finished rounds."""

    def on_phase(self, round_index: int, name: str) -> None:
        """A round has come to `fit`, `evaluate` or `query`."""

    def on_epoch(self, epoch: int, epochs: int, loss: float, val_loss: float | None) -> None:
        """An epoch of a training is over, of at most `epochs`; `val_loss` is None without validation."""

    def on_round(self, record: RoundRecord) -> None:
        """A round is finished and stored."""

    def on_notice(self, text: str) -> None:
        """Something that the user should know: how a run is computed is not what it could be."""


class NullCallback:
    """Does nothing."""

    def on_start(self, config: RunConfig, records: Sequence[RoundRecord]) -> None:
        """Do nothing."""

    def on_phase(self, round_index: int, name: str) -> None:
        """Do nothing."""

    def on_epoch(self, epoch: int, epochs: int, loss: float, val_loss: float | None) -> None:
        """Do nothing."""

    def on_round(self, record: RoundRecord) -> None:
        """Do nothing."""

    def on_notice(self, text: str) -> None:
        """Do nothing."""
