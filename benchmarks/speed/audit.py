"""How long does the audit of a query take, in times of the query?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import albench
from albench.audit.auditor import RunAuditor
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Row, main

_SETTINGS = {"protocol.rounds": 3, "training.epochs": 1, "training.min_steps": 1, "training.patience_steps": 1}


def measure() -> Iterator[Row]:
    """Three queries each over 421 to 453 unlabeled slices of the phantom with the usual network, after short trainings.

    An audit starts a process, which imports albench while the round is trained, writes canaries for all masks, and
    computes the query again.
    """
    for name in ("entropy", "mc-dropout", "star"):
        with tempfile.TemporaryDirectory() as folder, _timed_audits() as seconds:
            run = albench.run(name, "phantom", settings=_SETTINGS, audit=True, out=folder)
            queries = [record.cost.seconds.query for record in run.records[:-1]]
        yield Row(name, Spread.of([audit / query for audit, query in zip(seconds, queries, strict=True)]), "<= 2.2")


@contextmanager
def _timed_audits() -> Iterator[list[float]]:
    """Seconds that every audit takes after its query."""
    seconds, usual = [], RunAuditor.judge

    def judge(*arguments: Any) -> Any:
        start = time.perf_counter()
        verdict = usual(*arguments)
        if verdict is not None:  # the last round has no query
            seconds.append(time.perf_counter() - start)
        return verdict

    with patch.object(RunAuditor, "judge", judge):
        yield seconds


if __name__ == "__main__":
    main("audit", measure)
