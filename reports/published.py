"""What the STAR paper printed [1], to rebuild its tables and to stand beside ours.

[1] Ma et al. Spatial Aggregation for Semi-supervised Active Learning in 3D Medical Image Segmentation. MICCAI 2025.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from albench.runs.store import Record

SHARES = (0.15, 0.20, 0.25, 0.30)
"""Labeled shares of the columns of Tables 1 and 2."""


@dataclass(frozen=True)
class Method:
    """A method of Table 1.

    Attributes:
        strategy: its name here.
        name: its name there.
        al: whether it asks for labels.
        ssl: whether it learns from unlabeled slices too.
    """

    strategy: str
    name: str
    al: bool
    ssl: bool


@dataclass(frozen=True)
class Printed:
    """A row of Table 1 or 2.

    Attributes:
        values: (mean, standard deviation) as printed, at 15, 20, 25 and 30 %, and of max(p).
        s_percent: as printed; empty for a dash.
        s_slices: the same as a number of slices, which only Table 2 prints.
    """

    values: tuple[tuple[str, str], ...]
    s_percent: str
    s_slices: str = ""


@dataclass(frozen=True)
class Protocol:
    """How the paper's runs on a dataset were made, as far as it says.

    Attributes:
        dataset: its name here.
        title: its name there.
        supervised: Dice of the supervised reference, as printed.
    """

    dataset: str
    title: str
    interval: int
    budget: int
    backbone: str
    batch_size: int
    supervised: str

    def difference(self, config: Record) -> str | None:
        """The first setting of a run that differs from the paper's, in words; None if none does."""
        ours = {
            "protocol.interval": (config["protocol"]["interval"], self.interval),
            "protocol.budget": (config["protocol"]["budget"], self.budget),
            "network.backbone": (config["network"]["backbone"], self.backbone),
            "network.width": (config["network"]["width"], 1.0),
            "training.batch_size": (config["training"]["batch_size"], self.batch_size),
            "training.epochs": (config["training"]["epochs"], 100),
            "training.patience": (config["training"]["patience"], 5),
        }
        found = [f"{name} is {own} here and {theirs} there" for name, (own, theirs) in ours.items() if own != theirs]
        return found[0] if found else None


@cache
def methods() -> tuple[Method, ...]:
    """The methods of Table 1, in its order."""
    return tuple(
        Method(row["strategy"], row["method"], row["al"] == "1", row["ssl"] == "1") for row in _read("methods.csv")
    )


@cache
def protocols() -> Mapping[str, Protocol]:
    """The paper's protocols, by our name of the dataset."""
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
    """{the paper's name of the method: what it printed} for BraTS or Spleen."""
    return {row["method"]: _printed(row) for row in _read("table1.csv") if row["dataset"] == dataset}


def table2() -> dict[tuple[str, str], Printed]:
    """{(aggregation, query): what it printed} of the ablation on BraTS."""
    return {(row["aggregation"], row["query"]): _printed(row) for row in _read("table2.csv")}


def _read(name: str) -> Iterator[dict[str, str]]:
    text = (files("albench.reports") / "published" / name).read_text()
    yield from csv.DictReader(text.splitlines())


def _printed(row: Mapping[str, str]) -> Printed:
    columns = ("p15", "p20", "p25", "p30", "max_p")
    return Printed(tuple((row[name], row[f"{name}_sd"]) for name in columns), row["s_percent"], row.get("s_slices", ""))
