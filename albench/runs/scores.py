"""The metrics of records as a table: `scores.csv` of a run, and one DataFrame of many runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from albench.runs.reader import find_runs
from albench.runs.records import RoundRecord

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""In the place of a case: the whole set."""


def scores(record: RoundRecord) -> Iterator[tuple[str, str, float | None]]:
    """(case, metric, value) of the test set, of the validation set (`val_...`) if any, and of every test case."""
    for metric, value in vars(record.test).items():
        yield ALL, metric, value
    for metric, value in vars(record.val).items() if record.val else ():
        yield ALL, f"val_{metric}", value
    for case, metrics in record.cases.items():
        for metric, value in vars(metrics).items():
            yield case, metric, value


def scores_csv(records: Sequence[RoundRecord]) -> str:
    """The text of `scores.csv`."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["round", "case", "metric", "value"])
    for record in records:
        table.writerows([record.round, *score] for score in scores(record))
    return text.getvalue()


def load_runs(out: Path | str) -> pd.DataFrame:
    """The metrics of all runs at or below `out`: one row per run, round, case and metric.

    Returns:
        Columns dataset, strategy, seed, run, round, labeled, share, case, metric, value. The case of a metric of the
        whole test set is "all"; a value that does not exist is NaN.

    Raises:
        StoreError: `out` is not a folder, or a run in it is damaged.
    """
    import pandas as pd

    rows = []
    for run in find_runs(Path(out)):
        names = {
            "dataset": run.config.title,
            "strategy": run.config.strategy.name,
            "seed": run.config.seed,
            "run": run.folder.name,
        }
        for record in run.records:
            amount = {"round": record.round, "labeled": record.labeled, "share": record.share}
            for case, metric, value in scores(record):
                rows.append(names | amount | {"case": case, "metric": metric, "value": value})
    columns = ["dataset", "strategy", "seed", "run", "round", "labeled", "share", "case", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float})
