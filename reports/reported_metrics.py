"""The metrics that can be reported: their names, units and directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from albench.errors import ConfigError
from albench.reports.file_names import slug
from albench.runs.records import ClassMetrics, Metrics, RoundRecord


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
        over_classes: whether the value of several classes is a mean of theirs; otherwise they are one foreground.
        class_name: the class that is measured; None for all classes together.
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
    over_classes: bool = True
    class_name: str | None = None

    def of_class(self, class_name: str | None) -> Metric:
        """The metric of one class, with its name in the title; of all classes together for None."""
        return (
            self if class_name is None else replace(self, title=f"{self.title} of {class_name}", class_name=class_name)
        )

    def at_tolerance(self, tolerance: float) -> Metric:
        """The metric with the tolerance in its title, in millimeters, if it has one."""
        return replace(self, title=f"{self.title} at {tolerance:g} mm") if self.tolerance else self

    @property
    def folder(self) -> str:
        """Of a report by this metric within that of all; empty for the metric of a report that asks for no other."""
        if self.class_name is None:
            return "" if self.name == DEFAULT else self.name
        return f"{self.name}-{slug(self.class_name)}"

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
        return self._value(self.metrics(record))

    def of_case(self, record: RoundRecord, case: str) -> float:
        """The value of a test case in a round; NaN if it does not exist."""
        return self._value(self.metrics_of_case(record, case))

    def metrics_of_case(self, record: RoundRecord, case: str) -> Metrics:
        """All metrics of a test case and the same class in a round."""
        return self._measured(record).cases[case]

    def metrics(self, record: RoundRecord) -> Metrics | None:
        """All metrics of the same cases and class in a round; None without validation cases."""
        measured = self._measured(record)
        return measured.test if self.part == "test" else measured.val

    def _measured(self, record: RoundRecord) -> RoundRecord | ClassMetrics:
        """The metrics of the class. With one class the record has only those of all together, which are the same."""
        return record.classes[self.class_name] if self.class_name is not None and record.classes else record

    def _value(self, metrics: Metrics | None) -> float:
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
        Metric("empty_slice_fpr", "share of empty slices with a prediction", higher=False, over_classes=False),
    )
}


def find_metric(name: str, class_name: str | None = None) -> Metric:
    """The metric of this name, of one class or of all together.

    Raises:
        ConfigError: the name is unknown.
    """
    known = _METRICS.get(name.removeprefix("val_"))
    if known is None:
        raise ConfigError(f"--metric must be one of {', '.join(_METRICS)}, or one with val_ before it, got '{name}'")
    metric = known.of_class(class_name)
    return replace(metric, name=name, part="validation") if name.startswith("val_") else metric
