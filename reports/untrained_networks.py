"""Networks that were evaluated with their initial weights, because no step of their training was better."""

from __future__ import annotations

from albench.errors import counted
from albench.reports.group import Group
from albench.runs.untrained import untrained


def untrained_networks(group: Group) -> list[str]:
    """In how many rounds of a group that is so, if in any."""
    marks = [untrained(run.reader.config, record) for run in group.runs for record in run.reader.records]
    if not any(marks):
        return []
    return [
        f"Caution: the network is untrained in {sum(marks):,} of {counted(len(marks), 'round')}, because no step of "
        "the training was better on the validation cases than the initial weights: train longer, or with another "
        "training.lr."
    ]
