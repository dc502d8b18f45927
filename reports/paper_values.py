"""What the STAR paper [1] printed, to rebuild its tables and to show it beside our results, and with which settings.

[1] Ma et al. Spatial Aggregation for Semi-supervised Active Learning in 3D Medical Image Segmentation. MICCAI 2025.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from albench.config import RunConfig

METRIC = "dice_slice"
"""The metric of its tables, as its code computes it: two empty masks score 1."""

SHARES = (0.15, 0.20, 0.25, 0.30)
"""Labeled shares of the columns of Tables 1 and 2."""

_SETTINGS: Mapping[str, object] = {
    "network.name": "residual",
    "data.context": 0,
    "protocol.start": "interval",
    "protocol.rounds": 16,
    "protocol.warm_start": True,
    "protocol.validation": "free",
    "protocol.compute": "own",
    "training.stop": "val_loss",
    "training.epochs": 100,
    "training.patience": 5,
    "training.patience_steps": 0,
    "training.min_steps": 0,
    "training.val_steps": 0,
    "training.lr": 1e-4,
    "training.lr_incremental": 1e-5,
    "network.backbone": "resnet50",
    "network.width": 1.0,
}
"""Settings of Sec. 3.1 that both datasets have. The constants of the focal loss and augmentation are not printed."""

_INFERRED = ("protocol.rounds", "protocol.split")
"""Settings that are not printed: rounds are those of the authors' code, the split follows from numbers of slices."""

_DATA: Mapping[str, Mapping[str, object]] = {"brats": {"data.sequences": ["flair"], "data.grade": "LGG"}}


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
    """The protocol of the paper on a dataset.

    Attributes:
        dataset: its name in albench.
        title: its name in the paper.
        settings: stated or inferred ones by name, such as `protocol.budget`; data options begin with `data.`.
        supervised: Dice of the supervised reference, as printed.
        note: what it leaves open; empty if nothing.
    """

    dataset: str
    title: str
    settings: Mapping[str, object]
    supervised: str
    note: str = ""

    def differences(self, config: RunConfig) -> list[str]:
        """Every setting of a run that differs from the paper's, such as `training.epochs is 5 here and 100 there`.

        Those that are inferred are marked. The paper has one class.
        """
        classes = [f"there are {len(config.classes)} classes here and one there"] * (len(config.classes) > 1)
        ours = {name: _plain(_setting(config, name)) for name in self.settings}
        settings = [
            f"{name} is {ours[name]} here and {theirs} there{' (inferred)' * (name in _INFERRED)}"
            for name, theirs in self.settings.items()
            if ours[name] != theirs
        ]
        return [*classes, *settings]


@cache
def methods() -> tuple[Method, ...]:
    """The methods of Table 1, in its order."""
    return tuple(
        Method(row["strategy"], row["method"], row["al"] == "1", row["ssl"] == "1") for row in _read("methods.csv")
    )


@cache
def protocols() -> Mapping[str, Protocol]:
    """The protocols of the paper, by the name of the dataset in albench."""
    return {row["dataset"]: _protocol(row) for row in _read("protocols.csv")}


def table1(dataset: str) -> dict[str, Printed]:
    """{name of the method in the paper: its row} for BraTS or Spleen."""
    return {row["method"]: _printed(row, sd_decimals=2) for row in _read("table1.csv") if row["dataset"] == dataset}


def table2() -> dict[tuple[str, str], Printed]:
    """{(aggregation, query): its row} of the ablation on BraTS."""
    return {(row["aggregation"], row["query"]): _printed(row, sd_decimals=3) for row in _read("table2.csv")}


def _read(name: str) -> Iterator[dict[str, str]]:
    text = (files("albench.reports") / "published" / name).read_text()
    yield from csv.DictReader(text.splitlines())


def _protocol(row: Mapping[str, str]) -> Protocol:
    own: dict[str, object] = {
        "protocol.interval": int(row["interval"]),
        "protocol.budget": int(row["budget"]),
        "training.batch_size": int(row["batch_size"]),
    }
    if row["split"]:
        own["protocol.split"] = [int(number) for number in row["split"].split()]
    settings = {**_DATA.get(row["dataset"], {}), **own, **_SETTINGS}
    return Protocol(row["dataset"], row["title"], settings, row["supervised"], row["note"])


def _setting(config: RunConfig, name: str) -> object:
    section, _, key = name.partition(".")
    choices = {"data": config.dataset, "network": config.network}
    if section not in choices:
        return getattr(getattr(config, section), key)
    return choices[section].name if key == "name" else choices[section].options.get(key)


def _plain(value: object) -> object:
    """A value as it would be read from JSON."""
    return list(value) if isinstance(value, tuple) else value


def _printed(row: Mapping[str, str], *, sd_decimals: int) -> Printed:
    columns = ("p15", "p20", "p25", "p30", "max_p")
    values = tuple((float(row[name]), float(row[f"{name}_sd"])) for name in columns)
    slices = row.get("s_slices")
    share = float(row["s_percent"]) / 100 if row["s_percent"] else None
    return Printed(values, sd_decimals, share, int(slices) if slices else None)
