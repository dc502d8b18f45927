"""Suites for tests, with runs that take about a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from albench import __version__
from albench.config import Choice, Tuning
from albench.runs import find_runs, verify
from albench.runs.documents import write_document
from albench.runs.records import FORMAT
from albench.settings import by_section
from albench.tuned_options import TunedOptions
from support.samples import TINY

FAILS = '''
"""Queries the first slices. With seed 1, its second query fails while a file exists."""

from dataclasses import dataclass
from pathlib import Path

from albench.strategy import Query, Round, Strategy


@dataclass(frozen=True)
class Fails(Strategy):
    flag: str = ""

    def query(self, ctx: Round) -> Query:
        if ctx.index == 1 and ctx.learner._streams.seed == 1 and Path(self.flag).exists():
            raise RuntimeError("the idea did not work")
        return Query(ctx.pool.unlabeled[: ctx.budget])
'''


def write_suite(
    folder: Path, strategies: Sequence[object], *, seeds: object = 2, name: str = "tiny", **more: object
) -> Path:
    """Write a suite on the tiny phantom and return its path."""
    settings = {section: values for section, values in by_section(TINY).items() if values}
    content = {"about": "a test", "dataset": "phantom", "seeds": seeds, "settings": settings, "strategies": strategies}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content | more))
    return path


def small_phantom(name: str, **options: object) -> dict[str, object]:
    """An entry of `datasets`: the tiny phantom with some other options."""
    return {"dataset": "phantom", "name": name, "settings": {"data": by_section(TINY)["data"] | options}}


def write_study(folder: Path, strategies: Sequence[object], datasets: Sequence[object] | None, **more: object) -> Path:
    """Write a suite of several datasets with one seed, without common options of data, and return its path."""
    path = write_suite(folder, strategies, seeds=1, name="study", datasets=datasets, **more)
    content = yaml.safe_load(path.read_text())
    del content["dataset"], content["settings"]["data"]
    path.write_text(yaml.safe_dump(content))
    return path


def write_tuned(path: Path, options: Mapping[str, object], *, cases: Sequence[str] = (), **more: str) -> TunedOptions:
    """Write options of `taal` that a search on the phantom might have found, and return them."""
    found = dict(options)
    tuning = Tuning(12, 2, found, "val_dice_volume", 0.75, 3400, 60.5)
    choice = Choice(more.get("strategy", "taal"), "taal", None, found)
    tuned = TunedOptions(FORMAT, __version__, choice, more.get("dataset", "phantom"), "residual", tuple(cases), tuning)
    write_document(path, tuned)
    return tuned


def results(root: Path) -> dict[str, list[dict[str, object]]]:
    """{folder of a run: its records without times and hashes}, of all runs below `root`."""
    return {str(run.folder.relative_to(root)): [record.results() for record in run.records] for run in find_runs(root)}


def damages(root: Path) -> list[str]:
    """Sentences of everything that `albench verify` finds in the runs below `root`."""
    return [damage.sentence for run in find_runs(root) for damage in verify(run)]


def failing(folder: Path) -> dict[str, object]:
    """An entry of a suite whose strategy fails in round 1 of seed 1 while `folder/broken` exists."""
    (folder / "fails.py").write_text(FAILS)
    (folder / "broken").touch()
    flag = {"strategy": {"flag": str(folder / "broken")}}
    return {"strategy": f"{folder / 'fails.py'}:Fails", "label": "fails", "settings": flag}
