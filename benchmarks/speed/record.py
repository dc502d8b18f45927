"""The record of measurements: JSON with hardware, versions and commit.

A row is printed and written as soon as it is known, so that a measurement that is stopped leaves what it had.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import albench
from albench.benchmarks.speed.interleave import Spread
from albench.files import write_json
from albench.runs.cost import commit

_PACKAGES = ("torch", "numpy", "scipy", "monai", "scikit-activeml", "scikit-learn")

Measure = Callable[[], Iterator["Row"]]
"""Gives the rows of an answer as they become known."""


@dataclass(frozen=True)
class Row:
    """One measured quantity.

    Attributes:
        name: what was measured.
        value: in `unit`.
        limit: on the median, such as `<= 1.05`; empty without one.
        unit: empty for a ratio.
        floor: lower bound of the value, if only the arithmetic at the measured peak rate, or only the memory traffic at
            the measured bandwidth, took time; None if there is no such bound.
        note: how it was measured, where the name does not say.
    """

    name: str
    value: Spread
    limit: str = ""
    unit: str = ""
    floor: float | None = None
    note: str = ""

    @property
    def kept(self) -> bool | None:
        """Whether the median is within the limit; None without one."""
        if not self.limit:
            return None
        sign, number = self.limit.split()
        return self.value.median <= float(number) if sign == "<=" else self.value.median >= float(number)

    def __str__(self) -> str:
        verdict = {None: "", True: f" [{self.limit}]", False: f" [{self.limit}: MISSED]"}[self.kept]
        return f"{self.name} {self.value}{' ' + self.unit if self.unit else ''}{verdict}"


def main(name: str, measure: Measure, *, needs_gpu: bool = False) -> None:
    """Measure, print every row, and with `--json PATH` add it to the record at this path.

    Args:
        name: of the module, whose docstring begins with the question.
        measure: gives the rows as they become known.
        needs_gpu: whether the question makes sense on a GPU only.
    """
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--json", type=Path, help="file of the record, which may have findings already")
    path = parser.parse_args().json
    if needs_gpu:
        check_gpu(name)
    answer(name, measure, path)


def answer(name: str, measure: Measure, path: Path | None) -> None:
    """Measure and print every row, and add it to the record at a path unless that is None."""
    about, load, start = machine(), os.getloadavg()[0], time.perf_counter()
    gpu = about["hardware"]["gpu"]
    question = (sys.modules[measure.__module__].__doc__ or "").partition("\n")[0]
    finding = {"name": name, "date": date.today().isoformat(), "question": question, "load_before": load, **about}
    record = read(path) if path and path.exists() else start_record([name])
    earlier = record["findings"]
    rows: list[dict[str, object]] = []

    def keep(*, finished: bool) -> None:
        if path:
            known = {"rows": rows, "took_s": time.perf_counter() - start, "finished": finished}
            write_json(path, record | {"findings": [*earlier, finding | known]})

    keep(finished=False)
    for row in measure():
        print(f"{name}{f' on {gpu}' if gpu else ''}, {time.perf_counter() - start:.0f} s: {row}", flush=True)
        rows.append(dataclasses.asdict(row) | {"kept": row.kept})
        keep(finished=False)
    keep(finished=True)


def check_gpu(what: str) -> None:
    """End this program with exit code 2 if there is no CUDA device."""
    if not torch.cuda.is_available():
        print(f"{what} needs a CUDA device, this machine has none: leave it out", file=sys.stderr)
        sys.exit(2)


def start_record(planned: Sequence[str]) -> dict[str, Any]:
    """A record without findings; `planned` are the questions to be answered."""
    return machine() | {"planned": list(planned), "findings": []}


def machine() -> dict[str, Any]:
    """Hardware, versions and commit; the name of the machine is left out."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "hardware": {"cpu": _cpu(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu},
        "versions": {"python": platform.python_version(), "albench": albench.__version__}
        | {name: _version(name) for name in _PACKAGES},
        "commit": commit(),
    }


def read(path: Path) -> dict[str, Any]:
    """A record."""
    return dict(json.loads(path.read_text()))


def _version(package: str) -> str | None:
    """None if the package is not installed, as those that only developers need."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
