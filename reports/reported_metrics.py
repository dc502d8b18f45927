"""The metrics that can be reported: their names, units and directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from albench.errors import ConfigError
from albench.runs.records import Metrics, RoundRecord


@dataclass(frozen=True)
class Metric:
    """One metric of the records.

    Attributes:
        name: as in `scores.csv`, where `val_...` is measured on the validation cases.
        title: as in a caption.
        unit: of the values; empty for shares.
        higher: whether a higher value is better.
        decimals: printed.
        margin: how far below the reference a value is still close to it.
        part: whose cases are measured.
        tolerance: whether the protocol sets a distance at which two surfaces agree.
        over_cases: whether the value of a set of cases is the mean of theirs; otherwise slices count equally.
    """

    name: str
    title: str
    unit: str = ""
    higher: bool = True
    decimals: int = 3
    margin: float = 0.01
    part: Literal["test", "validation"] = "test"
    tolerance: bool = False
    over_cases: bool = False

    def at_tolerance(self, tolerance: float) -> Metric:
        """The metric with the tolerance in its title, in millimeters, if it has one."""
        return replace(self, title=f"{self.title} at {tolerance:g} mm") if self.tolerance else self

    @property
    def axis(self) -> str:
        """The label of an axis, with its unit."""
        where = "" if self.part == "test" else " on validation cases"
        return f"{self.title}{where}" + (f" [{self.unit}]" if self.unit else "")

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return 1 if self.higher else -1

    def of(self, record: RoundRecord) -> float:
        """The value of a round; NaN if it does not exist."""
        return self.value(record.test if self.part == "test" else record.val)

    def value(self, metrics: Metrics | None) -> float:
        """The value among the metrics of a case or of a set of cases; NaN if it does not exist."""
        value: float | None = getattr(metrics, self.name.removeprefix("val_"), None)
        return float("nan") if value is None else value

    def text(self, value: float) -> str:
        """The value as printed in sentences and tables."""
        return f"{value:.{self.decimals}f}"


DEFAULT = "dice_volume"
"""The metric of a report unless the user chooses another one."""

_METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("dice_slice", "slice Dice"),
        Metric("dice_foreground", "Dice of slices with foreground"),
        Metric("dice_volume", "volume Dice", over_cases=True),
        Metric(
            "hd95",
            "95th percentile Hausdorff distance",
            "mm",
            higher=False,
            decimals=2,
            margin=1.0,
            over_cases=True,
        ),
        Metric("nsd", "surface Dice (NSD)", tolerance=True, over_cases=True),
        Metric("empty_slice_fpr", "share of empty slices with a prediction", higher=False),
    )
}


def find_metric(name: str) -> Metric:
    """The metric of this name.

    Raises:
        ConfigError: the name is unknown.
    """
    known = _METRICS.get(name.removeprefix("val_"))
    if known is None:
        raise ConfigError(f"--metric must be one of {', '.join(_METRICS)}, or one with val_ before it, got '{name}'")
    return replace(known, name=name, part="validation") if name.startswith("val_") else known
