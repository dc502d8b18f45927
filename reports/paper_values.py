"""What the STAR paper [1] printed, to rebuild its tables and to show it beside our results.

[1] Ma et al. Spatial Aggregation for Semi-supervised Active Learning in 3D Medical Image Segmentation. MICCAI 2025.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from albench.config import RunConfig

SHARES = (0.15, 0.20, 0.25, 0.30)
"""Labeled shares of the columns of Tables 1 and 2."""


@dataclass(frozen=True)
class Method:
    """A method of Table 1.

    Attributes:
        strategy: its name in albench.
        name: its name in the paper.
        al: whether it queries labels.
        ssl: whether it also learns from unlabeled slices.
    """

    strategy: str
    name: str
    al: bool
    ssl: bool


@dataclass(frozen=True)
class Printed:
    """A row of Table 1 or 2.

    Attributes:
        values: (mean, standard deviation) at 15, 20, 25 and 30 % and of max(p); means have three decimals.
        sd_decimals: decimals of the standard deviations.
        s_share: S% as a share; None for a dash.
        s_slices: the same as a number of slices, which only Table 2 prints.
    """

    values: tuple[tuple[float, float], ...]
    sd_decimals: int
    s_share: float | None
    s_slices: int | None = None


@dataclass(frozen=True)
class Protocol:
    """The protocol of the paper on a dataset, as far as it is printed.

    Attributes:
        dataset: its name in albench.
        title: its name in the paper.
        interval: see `albench.config`, also for the three settings below.
        budget: slices queried per round.
        backbone: of the network.
        batch_size: slices per optimizer step.
        supervised: Dice of the supervised reference, as printed.
    """

    dataset: str
    title: str
    interval: int
    budget: int
    backbone: str
    batch_size: int
    supervised: str

    def difference(self, config: RunConfig) -> str | None:
        """The first setting of a run that differs from the paper's, in words; None if all are equal."""
        settings = {
            "protocol.interval": (config.protocol.interval, self.interval),
            "protocol.budget": (config.protocol.budget, self.budget),
            "network.backbone": (config.network.backbone, self.backbone),
            "network.width": (config.network.width, 1.0),
            "training.batch_size": (config.training.batch_size, self.batch_size),
            "training.epochs": (config.training.epochs, 100),
            "training.patience": (config.training.patience, 5),
        }
        for name, (ours, theirs) in settings.items():
            if ours != theirs:
                return f"{name} is {ours} here and {theirs} there"
        return None


@cache
def methods() -> tuple[Method, ...]:
    """The methods of Table 1, in its order."""
    return tuple(
        Method(row["strategy"], row["method"], row["al"] == "1", row["ssl"] == "1") for row in _read("methods.csv")
    )


@cache
def protocols() -> Mapping[str, Protocol]:
    """The protocols of the paper, by the name of the dataset in albench."""
    return {
        row["dataset"]: Protocol(
            row["dataset"],
            row["title"],
            int(row["interval"]),
            int(row["budget"]),
            row["backbone"],
            int(row["batch_size"]),
            row["supervised"],
        )
        for row in _read("protocols.csv")
    }


def table1(dataset: str) -> dict[str, Printed]:
    """{name of the method in the paper: its row} for BraTS or Spleen."""
    return {row["method"]: _printed(row, sd_decimals=2) for row in _read("table1.csv") if row["dataset"] == dataset}


def table2() -> dict[tuple[str, str], Printed]:
    """{(aggregation, query): its row} of the ablation on BraTS."""
    return {(row["aggregation"], row["query"]): _printed(row, sd_decimals=3) for row in _read("table2.csv")}


def _read(name: str) -> Iterator[dict[str, str]]:
    text = (files("albench.reports") / "published" / name).read_text()
    yield from csv.DictReader(text.splitlines())


def _printed(row: Mapping[str, str], *, sd_decimals: int) -> Printed:
    columns = ("p15", "p20", "p25", "p30", "max_p")
    values = tuple((float(row[name]), float(row[f"{name}_sd"])) for name in columns)
    slices = row.get("s_slices")
    share = float(row["s_percent"]) / 100 if row["s_percent"] else None
    return Printed(values, sd_decimals, share, int(slices) if slices else None)
