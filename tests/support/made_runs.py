"""Runs with learning curves that a test chooses, written by the same code that writes real runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import albench
from albench.config import Choice, Protocol, RunConfig, Training
from albench.masks import UNKNOWN
from albench.runs import RoundRecord
from albench.runs.array_files import Arrays
from albench.runs.manifest import write_manifest
from albench.runs.records import (
    FORMAT,
    AnnotationCost,
    AuditRecord,
    ClassMetrics,
    ComputeCost,
    Confidence,
    EnvironmentRecord,
    FitSummary,
    Manifest,
    ManifestRun,
    MaskQuality,
    Metrics,
    PhaseSeconds,
    QueryRecord,
    SliceName,
    SplitRecord,
    Verdict,
)
from albench.runs.store import RoundFiles, RunStore

TOTAL = 100  # slices in the pool: a labeled slice is one percent

_BUDGET = 5  # queried slices per round, unless a test chooses more
_POOL = tuple(SliceName("a" if index % 2 == 0 else "b", index // 2) for index in range(TOTAL))
_NO_PSEUDO_LABELS = MaskQuality(0, None, None, None, None)


def write_run(
    out: Path,
    strategy: str,
    seed: int,
    dice: Sequence[float],
    *,
    labeled: Sequence[int] | None = None,
    settings: Mapping[str, object] | None = None,
    options: Mapping[str, object] | None = None,
    slice_dice: Sequence[float] | None = None,
    offsets: Sequence[float] | None = None,
    foreground: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    best_epoch: int = 1,
    query_steps: int = 0,
    confidence: Confidence | None = None,
    pseudo: MaskQuality = _NO_PSEUDO_LABELS,
    predictions: Mapping[str, MaskQuality] | None = None,
    rounds: int | None = None,
    cases: int = 2,
    version: str = albench.__version__,
    device: str = "cpu",
    title: str = "made",
    side: int = 0,
    classes: Sequence[str] = ("foreground",),
    class_offsets: Sequence[float] | None = None,
    undrawn: int = 0,
    unknown: bool = False,
    audits: Sequence[Verdict] = (),
    measured: Mapping[str, float] | None = None,
    everything: bool = False,
    computing: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run whose volume Dice is `dice`, round by round, and give its folder.

    Args:
        out: the run lies at `out/<title>/<strategy>/seed-<seed>-<digest>`.
        strategy: its name; `full` labels all slices before round 0.
        seed: of the run.
        dice: of the test cases.
        labeled: slices labeled in each round; 10, 15, 20, ... if not given.
        settings: {"training.epochs": 5, "data_key": "e"}.
        options: of the strategy.
        slice_dice: of the test cases; `dice` if not given.
        offsets: of the volume Dice of every test case from their mean.
        foreground: annotated foreground pixels of every round; 9 per labeled slice if not given.
        steps: of the training of each round; 10 if not given.
        best_epoch: of its two epochs.
        query_steps: of a training in each query; without one if 0.
        confidence: of every round.
        pseudo: quality of the pseudo-labels of every round.
        predictions: quality of named masks of every round.
        rounds: of the protocol; as many as there are if not given, and 3 for the strategy `full`.
        cases: number of test cases.
        version: of albench that writes the run.
        device: that computes it.
        title: of the dataset.
        side: of snapshots in pixels; without snapshots if 0.
        classes: names of the classes; of several, `dice` is the mean.
        class_offsets: of the Dice of every class from this mean; evenly spaced from 0.08 down to -0.08 if not given.
        undrawn: slices of the pool that can never be labeled.
        unknown: whether the truth of the upper quarter of every snapshot is unknown.
        audits: verdicts on the first queries; the others are not audited.
        measured: {"empty_slice_share": 0.395}, other metrics of the test cases, together and each.
        everything: whether foreground is predicted in every pixel of the snapshots.
        computing: {"fit_epoch_seconds": (1.0, 2.0)}, other costs of computing every round.
    """
    start = [TOTAL - undrawn] if strategy == "full" else [10 + 5 * index for index in range(len(dice))]
    counts = list(labeled or start)
    usual = 3 if strategy == "full" else len(dice) - 1
    config = _config(strategy, seed, usual if rounds is None else rounds, counts, title, options or {})
    config = _changed(config, {"classes": tuple(classes)} | dict(settings or {}))
    shifts = np.linspace(0.08, -0.08, len(classes)) if class_offsets is None else class_offsets
    test = [f"t{index}" for index in range(cases)]
    snapshots = _snapshots(test, side, len(classes), unknown=unknown)
    with _as_version(version), RunStore.open(out, config) as store:
        if store.records:
            raise ValueError(f"'{store.folder}' must not exist: write another run of equal settings to another `out`")
        slices = {"a": TOTAL // 2, "b": TOTAL // 2}
        split = SplitRecord(("a", "b"), ("c",), tuple(test), slices, 20, undrawn, _POOL[: counts[0]])
        store.begin(split, _environment(device, strategy), snapshots)
        for index, (value, count, after) in enumerate(zip(dice, counts, [*counts[1:], counts[-1]], strict=True)):
            record = _record(index, value, count, test, device, TOTAL - undrawn)
            if measured is not None:
                metrics: Metrics = replace(record.test, **dict(measured))
                record = replace(record, test=metrics, cases=dict.fromkeys(test, metrics))
            if computing is not None:
                changed_cost: ComputeCost = replace(record.cost, **dict(computing))
                record = replace(record, cost=changed_cost)
            if slice_dice is not None:
                record = replace(record, test=replace(record.test, dice_slice=slice_dice[index]))
            if offsets is not None:
                own = {case: value + offset for case, offset in zip(test, offsets, strict=True)}
                changed = {case: replace(record.cases[case], dice_volume=own[case]) for case in test}
                record = replace(record, cases=changed)
            if foreground is not None:
                cost = replace(record.annotation_cost, foreground_pixels=foreground[index])
                record = replace(record, annotation_cost=cost)
            if steps is not None:
                record = replace(record, fit_trainings=(_training(steps[index]),))
            if query_steps and index + 1 < len(dice):
                record = replace(record, query_trainings=(_training(query_steps),))
            if len(classes) > 1:
                numbered = zip(classes, range(len(classes)), shifts, strict=True)
                record = replace(record, classes={name: _of_class(record, i, float(by)) for name, i, by in numbered})
            best = tuple(replace(training, best_epoch=best_epoch) for training in record.fit_trainings)
            record = replace(record, fit_trainings=best, confidence=confidence or record.confidence)
            files = _files(index, range(count, after), snapshots, seed, attention=strategy == "star")
            if everything:
                files = replace(files, predictions={row: np.ones_like(mask) for row, mask in files.predictions.items()})
            if index < len(audits):
                files = replace(files, audit=AuditRecord(audits[index], f"the query of round {index} is audited"))
            store.append(replace(record, pseudo=pseudo, predictions=predictions or {}), files)
    return store.folder


def write_level_runs(out: Path, values: Mapping[str, Sequence[float]]) -> None:
    """Runs of three rounds for {label: Dice from round 1 on, of seeds 0, 1, ...}."""
    for label, own in values.items():
        for seed, value in enumerate(own):
            write_run(out, label, seed, [0.5, value, value])


def write_suite(out: Path, runs: Sequence[tuple[str, str, Path]], name: str = "made-suite") -> None:
    """Write the manifest of a suite with (label, group, folder) of its runs."""
    listed = [
        ManifestRun(label, group, label, "phantom", _seed(folder), str(folder.relative_to(out)))
        for label, group, folder in runs
    ]
    write_manifest(out, Manifest(FORMAT, name, "1a2b3c4d", albench.__version__, "", tuple(listed)))


@contextmanager
def _as_version(version: str) -> Iterator[None]:
    """Write as this version of albench, without waiting for the disk."""
    with patch.object(albench, "__version__", version), patch.object(os, "fsync"):
        yield


def _seed(folder: Path) -> int:
    return int(folder.name.split("-")[1])


def _config(
    strategy: str, seed: int, rounds: int, counts: Sequence[int], title: str, options: Mapping[str, object]
) -> RunConfig:
    budget = max([_BUDGET, *(after - count for count, after in pairwise(counts))])
    return RunConfig(
        strategy=Choice(strategy, strategy, None, dict(options)),
        dataset=Choice("phantom", "phantom", None, {"size": None, "context": 0}),
        title=title,
        locations={},
        data_key="d",
        seed=seed,
        protocol=Protocol(budget=budget, rounds=rounds),
        training=Training(batch_size=16),
        network=Choice("residual", "residual", None, {"backbone": "resnet50", "width": 1.0}),
    )


def _changed(config: RunConfig, settings: Mapping[str, object]) -> RunConfig:
    for name, value in settings.items():
        section, _, key = name.partition(".")
        inner: dict[str, Any] = {key: value}
        change: dict[str, Any] = {section: replace(getattr(config, section), **inner) if key else value}
        config = replace(config, **change)
    return config


def _environment(device: str, strategy: str) -> EnvironmentRecord:
    version, command = albench.__version__, ("albench", "run")
    uses_labels = strategy == "foreground-random"
    return EnvironmentRecord(version, "c0ffee", "3", {}, "linux", device, 1, command, "other", uses_labels)


def _record(index: int, dice: float, count: int, test: Sequence[str], device: str, total: int) -> RoundRecord:
    metrics = Metrics(dice, None, dice, 10 * (1 - dice), None, None, 0.272)
    return RoundRecord(
        round=index,
        labeled=count,
        unlabeled=total - count,
        share=count / total,
        annotation_cost=AnnotationCost(count, count // 2, 9 * count, 3.0 * count, 2),
        pseudo=_NO_PSEUDO_LABELS,
        notes={},
        predictions={},
        test=metrics,
        val=Metrics(min(dice + 0.01, 1.0), None, min(dice + 0.01, 1.0), None, None, None, None),
        confidence=Confidence(0.9, 0.5, dice, dice),
        cases=dict.fromkeys(test, metrics),
        classes={},
        fit_trainings=(_training(10),),
        query_trainings=(),
        cost=ComputeCost(PhaseSeconds(2.0, 1.0, 0.5), (), (), 10, 0, None, device, 1, albench.__version__, "2"),
    )


def _of_class(record: RoundRecord, index: int, shift: float) -> ClassMetrics:
    """The metrics of a round with other Dice, distances and empty slices: no class has those of another one."""

    def shifted(metrics: Metrics) -> Metrics:
        by = {"dice_slice": shift, "dice_volume": shift, "hd95": -10 * shift, "empty_slice_share": 0.1 * (index + 1)}
        known = {name: getattr(metrics, name) for name in by if getattr(metrics, name) is not None}
        return replace(metrics, **{name: value + by[name] for name, value in known.items()})

    cases = {case: shifted(metrics) for case, metrics in record.cases.items()}
    return ClassMetrics(shifted(record.test), None if record.val is None else shifted(record.val), cases)


def _training(steps: int) -> FitSummary:
    """In batches of 16 slices."""
    return FitSummary("training", 2, 1, steps, steps // 2, 16 * steps, 0.1, 0.5)


def _files(index: int, queried: range, snapshots: Arrays, seed: int, *, attention: bool) -> RoundFiles:
    """Queries, predictions one pixel beside the truth, and pictures of what is queried."""
    ids, masks = snapshots["ids"], snapshots["masks"]
    side = masks.shape[1]
    moved = np.roll(np.where(masks == UNKNOWN, 0, masks), 1 + side // 50, axis=2).astype(np.uint8)
    arrays: Arrays = {}
    if len(ids) and len(queried):
        arrays = _pictures(snapshots, len(queried)) | (_attention(snapshots) if attention else {})
    return RoundFiles(
        query=QueryRecord(tuple(queried), tuple(_POOL[i] for i in queried), None),
        pseudo={},
        predictions=dict(zip(ids.tolist(), moved, strict=True)),
        arrays=arrays,
        weights={"layer": torch.tensor([seed, index])},
    )


def _snapshots(test: Sequence[str], side: int, classes: int, *, unknown: bool) -> Arrays:
    """Two slices of each case: disks in noise, larger from case to case; no slice if the side is 0.

    Each further class is a smaller disk inside the one before it.
    """
    rng = np.random.default_rng(0)
    count = 2 * len(test) if side else 0
    y, x = np.ogrid[:side, :side]
    radii = [side / 10 * (1 + (row % 2) + 2 * (row // 2) / len(test)) for row in range(count)]
    masks = np.zeros((count, side, side), dtype=np.uint8)
    for mask, radius in zip(masks, radii, strict=True):
        for label in range(1, classes + 1):
            own = radius * (classes + 1 - label) / classes
            mask[(y - side / 2) ** 2 + (x - side / 2) ** 2 < own**2] = label
    images = (60 * np.minimum(masks, 1) + rng.integers(0, 120, masks.shape)).astype(np.uint8)
    if unknown:
        masks[:, : side // 4] = UNKNOWN
    return {
        "ids": np.arange(count),
        "cases": np.array([test[row // 2] for row in range(count)], dtype=np.str_),
        "positions": np.arange(count) % 2,
        "images": images,
        "masks": masks,
        "valid": np.full((count, 2), side),
        "pixel": np.ones((count, 2)),
    }


def _pictures(snapshots: Arrays, queried: int) -> Arrays:
    """Of the first slices, six at most, with sides of at most 160 pixels."""
    step, shown = -(-snapshots["images"].shape[1] // 160), min(6, queried)
    arrays = {f"queried_{name}": values[:shown] for name, values in snapshots.items()}
    arrays |= {f"queried_{name}": snapshots[name][:shown, ::step, ::step] for name in ("images", "masks")}
    return arrays | {"queried_valid": np.asarray(snapshots["valid"][:shown], dtype=np.int64) // step}


def _attention(snapshots: Arrays) -> Arrays:
    """Of slice 4 to slice 0 with three quarters, and to slice 10 with a quarter."""
    cells = snapshots["images"].shape[1] // 8
    weights = np.zeros((2, cells, cells), dtype=np.float32)
    weights[0, 1, 2], weights[1, 0, 0] = 0.75, 0.25
    return {
        "attention_0_ids": np.arange(3),
        "attention_0_positions": np.array([4, 0, 10]),
        "attention_0_images": snapshots["images"][:3],
        "attention_0_masks": snapshots["masks"][:3],
        "attention_0_weights": weights,
        "attention_0_stride": np.array([8.0, 8.0]),
    }
