"""The records of a run, as dataclasses: every field that is written to disk, its meaning and its unit.

They are written as JSON and read back through pydantic (`albench.runs.documents`). Where the files lie is told by
`albench.runs.layout`. A value that does not exist is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config

from albench.config import RunConfig

FORMAT = 4
"""Version of everything below; another format is rejected."""

Count = Annotated[int, Field(ge=0)]
Verdict = Literal["passed", "looked", "unrepeatable"]
Share = Annotated[float, Field(ge=0, le=1 + 1e-9)]  # a mean of ones may be off by rounding
Seconds = Annotated[float, Field(ge=0)]

_closed = with_config(ConfigDict(extra="forbid", allow_inf_nan=False))


@_closed
@dataclass(frozen=True, slots=True)
class SliceName:
    """A slice, named so that it can be found without the data set.

    Attributes:
        case: name of its case.
        position: index within the case from the bottom of the volume, from 0.
    """

    case: str
    position: Count


@_closed
@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of one case, or of a set of cases; see `albench.metrics`, also for several classes.

    Attributes:
        dice_slice: mean Dice over slices; two empty masks score 1.
        dice_foreground: mean Dice over the slices with foreground in the truth.
        dice_volume: Dice of the 3D masks; of a set the mean over cases.
        hd95: 95th percentile of the Hausdorff distance, millimeters; of a set the mean over cases.
        nsd: surface Dice at `protocol.nsd_tolerance`; of a set the mean over cases.
        empty_slice_fpr: share of the empty slices in which something was predicted.
        empty_slice_share: share of slices that are empty in the truth: the `dice_slice` of predicting nothing.
    """

    dice_slice: Share | None
    dice_foreground: Share | None
    dice_volume: Share | None
    hd95: Annotated[float, Field(ge=0)] | None
    nsd: Share | None
    empty_slice_fpr: Share | None
    empty_slice_share: Share | None


@_closed
@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of one of several classes, as if it were the only one.

    Attributes:
        test: of the test cases.
        val: of the validation cases; None without any.
        cases: of every test case, by name.
    """

    test: Metrics
    val: Metrics | None
    cases: Mapping[str, Metrics]


@_closed
@dataclass(frozen=True, slots=True)
class MaskQuality:
    """How good masks of unlabeled slices are, by the hidden truth; no strategy sees it.

    Attributes:
        count: number of masks.
        empty_share: share of the masks without foreground.
        foreground_share: mean share of foreground in the valid area.
        dice: mean slice Dice, of several classes that of those that occur in a slice.
        dice_foreground: mean slice Dice over the slices with foreground in the truth.
    """

    count: Count
    empty_share: Share | None
    foreground_share: Share | None
    dice: Share | None
    dice_foreground: Share | None


@_closed
@dataclass(frozen=True, slots=True)
class AnnotationCost:
    """What all labels so far cost an annotator, initial ones included.

    With `protocol.validation=charged` the labels of the validation cases are included too.

    Attributes:
        slices: labeled slices.
        nonempty_slices: labeled slices with foreground.
        foreground_pixels: pixels inside the masks, on the working grid.
        contour_length: length of the contours, in pixels of the working grid.
        cases: cases with a labeled slice.
    """

    slices: Count
    nonempty_slices: Count
    foreground_pixels: Count
    contour_length: Annotated[float, Field(ge=0)]
    cases: Count


@_closed
@dataclass(frozen=True, slots=True)
class FitSummary:
    """What one training did.

    Attributes:
        purpose: what was trained.
        epochs: passes begun.
        best_epoch: the pass whose weights were kept, from 1; 0 for the weights that the training started from.
        steps: optimizer steps.
        best_step: the step after which the kept weights were taken.
        slices: slices that were read for these steps, each time counted; unlabeled ones included.
        val_loss: validation loss of the kept weights; None without validation.
        val_dice: mean volume Dice of the validation cases with the kept weights; None without validation.
        notes: numbers that the strategy keeps about this training, such as the weight of a loss.
    """

    purpose: str
    epochs: Annotated[int, Field(ge=1)]
    best_epoch: Count
    steps: Annotated[int, Field(ge=1)]
    best_step: Count
    slices: Count
    val_loss: float | None
    val_dice: Share | None
    notes: Mapping[str, float] = field(default_factory=dict)


@_closed
@dataclass(frozen=True, slots=True)
class Confidence:
    """How confident the network is: an underconfident network is not a bad one, see `docs/how-it-works.md`.

    Attributes:
        highest: highest foreground probability of any pixel of the test cases; several classes are one foreground. None
            without test cases, which only a project of people lacks.
        threshold: the threshold in 0.01, ..., 0.99 with the highest mean volume Dice on the validation cases, of equal
            ones the nearest to 0.5; None without validation cases.
        val_dice: that Dice.
        test_dice: mean volume Dice of the test cases at that threshold; compare `dice_volume`, which is at 0.5.
    """

    highest: Share | None
    threshold: Share | None
    val_dice: Share | None
    test_dice: Share | None


@_closed
@dataclass(frozen=True, slots=True)
class PhaseSeconds:
    """Seconds of the phases of a round; those of `query` include a training within it, such as STAR's second."""

    fit: Seconds
    evaluate: Seconds
    query: Seconds

    @property
    def total(self) -> float:
        """All phases together."""
        return self.fit + self.evaluate + self.query


@_closed
@dataclass(frozen=True, slots=True)
class ComputeCost:
    """What a round cost to compute, and on what. The only part of a record that differs between two equal runs.

    Attributes:
        seconds: by phase.
        fit_epoch_seconds: of every epoch trained in `fit`; empty if round 0 was taken from another run.
        query_epoch_seconds: of every epoch trained in `query`.
        steps: optimizer steps that were made; 0 for a training that was taken from another run.
        peak_memory: bytes of main memory, of the process so far.
        peak_device_memory: bytes of GPU memory; None on a CPU.
        device: name of the GPU, or `cpu` with its architecture.
        threads: of the CPU.
        albench: version.
        torch: version.
        cpu_seconds: by phase, of this process with all its threads, which other processes hardly prolong; None in
            records of earlier versions.
    """

    seconds: PhaseSeconds
    fit_epoch_seconds: tuple[Seconds, ...]
    query_epoch_seconds: tuple[Seconds, ...]
    steps: Count
    peak_memory: Count
    peak_device_memory: Count | None
    device: str
    threads: Annotated[int, Field(ge=1)]
    albench: str
    torch: str
    cpu_seconds: PhaseSeconds | None = None


@_closed
@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One finished round.

    Attributes:
        round: from 0.
        labeled: labeled slices that the round trained on.
        unlabeled: slices of the pool that can still be labeled.
        share: labeled slices as a share of those that can be labeled, because any label of theirs is known.
        annotation_cost: of these labels.
        pseudo: quality of the pseudo-labels that the round trained on.
        notes: numbers that the strategy keeps about its query.
        predictions: quality of masks that the strategy names, by their name.
        test: metrics of the test cases; all None without any.
        val: metrics of the validation cases; None without any.
        confidence: of the predictions that were evaluated.
        cases: metrics of every test case, by name.
        classes: metrics of every class, by name; empty with one class.
        fit_trainings: trainings of `fit`, in order.
        query_trainings: trainings of `query`, in order.
        cost: what computing it cost.
        files: SHA-256 of every file in the round's folder, by name.
        previous: SHA-256 of the record before; in round 0 that of the run's settings, split and snapshots together. In
            the first round of a process, its entry in the list of processes is hashed with it.
    """

    round: Count
    labeled: Annotated[int, Field(ge=1)]
    unlabeled: Count
    share: Share
    annotation_cost: AnnotationCost
    pseudo: MaskQuality
    notes: Mapping[str, float | list[float]]
    predictions: Mapping[str, MaskQuality]
    test: Metrics
    val: Metrics | None
    confidence: Confidence
    cases: Mapping[str, Metrics]
    classes: Mapping[str, ClassMetrics]
    fit_trainings: tuple[FitSummary, ...]
    query_trainings: tuple[FitSummary, ...]
    cost: ComputeCost
    files: Mapping[str, str] = field(default_factory=dict)
    previous: str = ""

    def results(self) -> dict[str, object]:
        """Everything that two equal runs have in common: no times, no hardware, no hashes."""
        left_out = ("cost", "files", "previous")
        return {name: value for name, value in asdict(self).items() if name not in left_out}


@_closed
@dataclass(frozen=True, slots=True)
class SplitRecord:
    """Who is in which part, and what is labeled before round 0.

    Attributes:
        train: names of the training cases.
        val: names of the validation cases.
        test: names of the test cases.
        slices: number of slices of every training case, by name.
        val_slices: number of slices of the validation cases, all of which are labeled.
        undrawn: number of training slices without any known label, which are never queried.
        initial: slices labeled before round 0.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    slices: Mapping[str, Count]
    val_slices: Count
    undrawn: Count
    initial: tuple[SliceName, ...]


@_closed
@dataclass(frozen=True, slots=True)
class QueryRecord:
    """What was queried after a round.

    Attributes:
        ids: rows of the queried slices in the pool, most wanted first.
        slices: the same slices by name.
        scores: score of every slice that was unlabeled, by its row in the pool; None if the strategy gives none.
    """

    ids: tuple[Count, ...]
    slices: tuple[SliceName, ...]
    scores: Mapping[str, float] | None


@_closed
@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What the audit of a query found, see `albench.audit`.

    Attributes:
        verdict: `passed`: the query is the same without the masks that were not annotated; `looked`: it is not;
            `unrepeatable`: it differs between equal states too, so that nothing can be said.
        sentence: the same in words, with what differed.
    """

    verdict: Verdict
    sentence: str


@_closed
@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Why a run failed.

    Attributes:
        error: one sentence.
        round: the round in which it happened.
        attempts: how often the round was tried.
        trace: where in the code.
    """

    error: str
    round: Count
    attempts: Annotated[int, Field(ge=1)]
    trace: str


@_closed
@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """On what rounds were computed.

    Attributes:
        albench: version.
        commit: of albench's checkout; None if it is installed without one.
        python: version.
        packages: versions of the libraries that results depend on, by name.
        platform: operating system and architecture.
        device: as in `ComputeCost`.
        threads: likewise.
        command: the command line, without credentials (`albench.runs.command_line`).
        strategy_kind: what drives the strategy's choice, as it says of itself.
        uses_labels: whether its query depends on the truth of unlabeled slices.
    """

    albench: str
    commit: str | None
    python: str
    packages: Mapping[str, str]
    platform: str
    device: str
    threads: Annotated[int, Field(ge=1)]
    command: tuple[str, ...]
    strategy_kind: str
    uses_labels: bool


@_closed
@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process that wrote rounds.

    Attributes:
        round: the first one that it wrote.
        code: hash of albench's own source (`albench.source`); None where it was not kept yet.
        environment: on what it computed.
        plugins: digest of every file of the source of strategy and network, if they are plugins, by its name
            (`albench.plugin_source`); up to albench 0.4.0 that of its text, now that of its syntax.
    """

    round: Count
    code: str | None
    environment: EnvironmentRecord
    plugins: Mapping[str, Mapping[str, str]]


@_closed
@dataclass(frozen=True, slots=True)
class ProcessesRecord:
    """All processes that wrote rounds of a run.

    Attributes:
        processes: in order; the last one may have been stopped before it finished a round.
    """

    processes: Annotated[tuple[ProcessRecord, ...], Field(min_length=1)]


@_closed
@dataclass(frozen=True, slots=True)
class ManifestRun:
    """A run of a suite.

    Attributes:
        label: how tables name the method.
        group: what it is compared within.
        strategy: name or import path.
        dataset: its name in a suite of several; otherwise under which results are filed.
        seed: of the run.
        folder: of the run, relative to the suite's.
        entry: digest of what it is in the suite's file (`albench.suite_file`); empty if it is not from there, or was
            not kept yet.
    """

    label: str
    group: str
    strategy: str
    dataset: str
    seed: Count
    folder: str
    entry: str = ""


@_closed
@dataclass(frozen=True, slots=True)
class Manifest:
    """Which runs belong to a suite.

    Attributes:
        format: see FORMAT.
        name: of the suite.
        digest: eight hexadecimal digits that differ when any run differs.
        albench: version that wrote it.
        about: what the suite is for.
        runs: in the order of tables.
        file: of the suite, absolute; empty if it has none, or was not kept yet.
    """

    format: int
    name: str
    digest: str
    albench: str
    about: str
    runs: tuple[ManifestRun, ...]
    file: str = ""


@_closed
@dataclass(frozen=True, slots=True)
class StoredConfig:
    """The settings of a run as written.

    Attributes:
        format: see FORMAT.
        albench: version that wrote the run.
        run: every setting, defaults written out.
    """

    format: int
    albench: str
    run: RunConfig
