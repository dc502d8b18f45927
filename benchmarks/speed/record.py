"""The result of a measurement: a line on the terminal, and JSON with hardware, versions and commit."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from albench.benchmarks.speed.interleave import Spread
from albench.files import write_json
from albench.runs.cost import commit

_PACKAGES = ("albench", "torch", "numpy", "scipy", "monai", "scikit-activeml", "scikit-learn")


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
    """

    name: str
    value: Spread
    limit: str = ""
    unit: str = ""
    floor: float | None = None

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


@dataclass(frozen=True)
class Finding:
    """The answer to one question.

    Attributes:
        question: in one sentence.
        rows: the measured quantities.
        notes: details of the measurement.
    """

    question: str
    rows: list[Row]
    notes: dict[str, object] = field(default_factory=dict)


def main(name: str, measure: Callable[[], Finding]) -> None:
    """Measure, print one line, and write JSON with `--json PATH`."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--json", type=Path, help="file of the record")
    arguments = parser.parse_args()
    load, start = os.getloadavg()[0], time.perf_counter()
    found = measure()
    took = time.perf_counter() - start
    about = machine()
    gpu = about["hardware"]["gpu"]
    print(f"{name}{f' on {gpu}' if gpu else ''}: {'; '.join(map(str, found.rows))}", flush=True)
    if arguments.json:
        rows = [dataclasses.asdict(row) | {"kept": row.kept} for row in found.rows]
        content = dataclasses.asdict(found) | {"rows": rows, "load_before": load, "took_s": took}
        write_json(arguments.json, {"name": name, "date": date.today().isoformat(), **content, **about})


def machine() -> dict[str, Any]:
    """Hardware, versions and commit; the name of the machine is left out."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "hardware": {"cpu": _cpu(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "commit": commit(),
    }


def read(path: Path) -> dict[str, object]:
    """One record that `main` wrote."""
    return dict(json.loads(path.read_text()))


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
