"""The finished runs that a report is made of, and the problems of the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from albench.errors import StoreError
from albench.reports.replicates import Replicate, replicate_of
from albench.runs import RunReader, StoredRun, verify
from albench.runs.comparability import protocol_digest
from albench.runs.records import Verdict
from albench.runs.scores import restore_scores

REFERENCE = "full"
"""The strategy that labels all slices: the supervised reference."""


@dataclass(frozen=True)
class Run:
    """A finished and verified run.

    Attributes:
        label: name of the method in tables.
        group: in which it is compared.
        reader: of its files.
        dataset: name of its dataset in the suite; without a suite, its title.
        source: the other folder or bundle that it is from; empty if it is one of the runs that a report is on.
    """

    label: str
    group: str
    reader: StoredRun
    dataset: str
    source: str = ""

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.reader.config.seed

    @property
    def replicate(self) -> Replicate:
        """Its seed and split."""
        return replicate_of(self.reader.config)

    @property
    def strategy(self) -> str:
        """Name of its strategy."""
        return self.reader.config.strategy.name

    @cached_property
    def protocol(self) -> str:
        """Digest of its protocol; runs of equal protocols can be compared."""
        return protocol_digest(self.reader.config)

    @cached_property
    def verdicts(self) -> list[Verdict | None]:
        """Those on its queries, None on one that was not audited. The last round has no query."""
        audits = (self.reader.audit(record.round) for record in self.reader.records[:-1])
        return [None if audit is None else audit.verdict for audit in audits]

    @property
    def title(self) -> str:
        """How a sentence names it."""
        return f"{self.label} on {self.group}, {self.replicate_title}"

    @property
    def replicate_title(self) -> str:
        """How a sentence names its replicate: `seed 0`, or `seed 0, split 1` if there are several splits."""
        split = "" if self.reader.config.protocol.splits == 1 else f", split {self.replicate.split}"
        return f"seed {self.seed}{split}"


@dataclass(frozen=True)
class Problem:
    """A run that is left out, or the list of a suite that cannot be read.

    Attributes:
        state: missing, not run yet, failed, unfinished, damaged, duplicate, other version or other protocol.
        group: in which it would be compared.
        label: name of the method.
        seed: of the run; None if it is not known.
        sentence: which run, and why.
    """

    state: str
    group: str
    label: str
    seed: int | None
    sentence: str


def read_run(folder: Path, label: str, group: str, seed: int | None, dataset: str | None = None) -> Run | Problem:
    """A run if it is finished and as albench wrote it, otherwise the reason why it is left out.

    One whose masks people draw is finished as far as it goes.

    Args:
        folder: of the run.
        label: name of the method.
        group: in which the run is compared.
        seed: named in the sentence, because the settings may be unreadable; None if it is not known.
        dataset: name of its dataset; None takes its title.
    """

    def problem(state: str, why: str) -> Problem:
        which = "" if seed is None else f"seed {seed}, "
        return Problem(state, group, label, seed, f"{label} on {group}, {which}{why}")

    reader = RunReader(folder)
    try:
        if not reader.started and not reader.records:
            return problem("missing", "is missing: it was not started")
        if reader.finished or reader.drawn_by_people:
            damages = verify(reader)
            if damages:
                return problem("damaged", f"is left out: {damages[0].sentence}")
            restore_scores(reader)
            return Run(label, group, reader, dataset or reader.config.title)
        failure, done, rounds = reader.failure, len(reader.records), reader.rounds
    except StoreError as error:
        return problem("damaged", f"is left out: {error}")
    if failure is not None:
        attempts = f"{failure.attempts} attempt{'' if failure.attempts == 1 else 's'}"
        return problem("failed", f"failed in round {failure.round} after {attempts}: {failure.error.rstrip('.')}")
    return problem("unfinished", f"is not finished: {done} of {rounds} rounds are done")
