"""Which queries were audited, and found not to depend on masks that were not bought (`albench.audit`)."""

from __future__ import annotations

from dataclasses import dataclass

from albench.reports.group import Group
from albench.reports.runs import Run

_THE_SAME = "the same without the masks that were not bought"


@dataclass(frozen=True)
class Audits:
    """Of one run, or of several.

    Attributes:
        passed: queries that are the same without the masks that were not bought.
        queries: how many there are. One that looked has ended its run; of the others nothing can be said.
    """

    passed: int
    queries: int

    def __str__(self) -> str:
        return f"{self.passed} of {self.queries} queries" if self.queries else "no query"


def audits_of(*runs: Run) -> Audits:
    """What was audited in finished runs, of which the last round has no query."""
    verdicts = [verdict for run in runs for verdict in run.verdicts]
    return Audits(verdicts.count("passed"), len(verdicts))


def audited(group: Group) -> list[str]:
    """What was audited of the methods of a group, in one sentence; nothing if no query passed."""
    found = {label: audits_of(*runs) for label, runs in group.methods.items()}
    asked = {label: audits for label, audits in found.items() if audits.queries}
    if not any(audits.passed for audits in asked.values()):
        return []
    if all(audits.passed == audits.queries for audits in asked.values()):
        return [f"Audited: every query is {_THE_SAME}."]
    return [f"Audited, and {_THE_SAME}: {'; '.join(f'{audits} of {label}' for label, audits in asked.items())}."]
