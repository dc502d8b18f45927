"""What is known of a run after it, wherever it is kept: in its folder, or in a bundle without images and masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from albench.config import RunConfig
from albench.masks import Mask
from albench.runs.array_files import Arrays
from albench.runs.records import (
    AuditRecord,
    EnvironmentRecord,
    ProcessRecord,
    QueryRecord,
    RoundRecord,
    SplitRecord,
    StoredConfig,
)


class StoredRun(ABC):
    """A run that reports can be made of. Every property and method may raise StoreError.

    Attributes:
        folder: of the run; of one in a bundle it does not exist, and its name is that of the folder that it had.
        has_images: whether images and masks are kept.
    """

    folder: Path
    has_images = True

    @property
    @abstractmethod
    def stored_config(self) -> StoredConfig:
        """The settings, with the version that wrote them."""

    @property
    @abstractmethod
    def processes(self) -> tuple[ProcessRecord, ...]:
        """The processes that wrote rounds, in order."""

    @property
    @abstractmethod
    def split(self) -> SplitRecord:
        """Who is in which part, and the initial slices."""

    @property
    @abstractmethod
    def records(self) -> tuple[RoundRecord, ...]:
        """The finished rounds, in order."""

    @property
    @abstractmethod
    def ledger(self) -> str:
        """The SHA-256 of the last record, which holds that of the record before it, and so on."""

    @abstractmethod
    def query(self, index: int) -> QueryRecord:
        """What was queried after a round."""

    @abstractmethod
    def audit(self, index: int) -> AuditRecord | None:
        """What the audit of the query after a round found; None if it was not audited."""

    @abstractmethod
    def arrays(self, index: int) -> Arrays:
        """What a round keeps for figures; empty if it keeps nothing."""

    @abstractmethod
    def snapshots(self) -> Arrays:
        """The test slices whose predictions are kept, see `albench.runs.snapshots`; empty without images."""

    @abstractmethod
    def predictions(self, index: int) -> Mapping[int, Mask]:
        """{row in the test set: (h, w) mask} of what a round predicts for the slices of `snapshots`."""

    @abstractmethod
    def largest_foreground(self) -> Mapping[str, float]:
        """As `albench.runs.foreground.largest_foreground` of the snapshots."""

    @abstractmethod
    def gain_over_everything(self, index: int) -> float:
        """As `albench.runs.foreground.gain_over_everything` of the predictions of a round."""

    @property
    def config(self) -> RunConfig:
        """The settings."""
        return self.stored_config.run

    @property
    def environment(self) -> EnvironmentRecord:
        """On what the run was begun."""
        return self.processes[0].environment
