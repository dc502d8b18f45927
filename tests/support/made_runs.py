"""Runs written by hand, with curves that a test has chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import albench
from albench.masks import PackedMasks

TOTAL = 100  # slices in the pool: a labeled slice is one percent

_TRAIN, _VAL = ("a", "b"), ("c",)


def write_run(
    out: Path,
    strategy: str,
    seed: int,
    dice: Sequence[float],
    *,
    labeled: Sequence[int] | None = None,
    folder: str | None = None,
    settings: Mapping[str, object] | None = None,
    options: Mapping[str, object] | None = None,
    record: Mapping[str, object] | None = None,
    rounds: int | None = None,
    cases: int = 2,
    version: str = albench.__version__,
    device: str = "cpu",
    title: str = "made",
    pictures: int = 0,
) -> Path:
    """Write a run whose slice Dice is `dice`, round by round, and give its folder.

    Args:
        labeled: slices labeled in each round; 10, 15, 20, ... if not given, and all for the strategy `full`.
        settings: of the protocol, the training and so on: {"training.epochs": 5}.
        options: of the strategy.
        record: to be added to every round's record.
        rounds: that the protocol asks for; as many as there are if not given, and 3 for the strategy `full`.
        pictures: side of the pictures in pixels; none with 0.
    """
    start = [TOTAL] if strategy == "full" else [10 + 5 * index for index in range(len(dice))]
    counts = list(labeled or start)
    asked = 3 if strategy == "full" else len(dice) - 1
    made = out / (folder or f"{title}/{strategy}/seed-{seed}-{len(dice):08x}")
    config = _config(strategy, seed, asked if rounds is None else rounds, title, version, options or {})
    for name, value in (settings or {}).items():
        section, _, key = name.partition(".")
        config[section] = {**config[section], key: value}
    _write(made / "config.json", config)
    _write(made / "environment.json", {"albench": version, "commit": "c0ffee", "strategy_kind": "other"})
    test = [f"t{index}" for index in range(cases)]
    depths = dict.fromkeys(_TRAIN, TOTAL // 2)
    named = [{"case": "a" if index % 2 == 0 else "b", "position": index // 2} for index in range(TOTAL)]
    split = {"train": _TRAIN, "val": _VAL, "test": test, "slices": depths, "initial": named[: counts[0]]}
    _write(made / "split.json", split)
    lines = []
    for index, (value, count) in enumerate(zip(dice, counts, strict=True)):
        lines.append(json.dumps(_record(index, value, count, test, device, version) | dict(record or {})))
        bought = named[count : counts[index + 1]] if index + 1 < len(counts) else []
        ids = list(range(count, count + len(bought)))
        _write(made / "rounds" / f"{index:02d}" / "query.json", {"ids": ids, "slices": bought, "scores": None})
        if pictures:
            _pictures(made, index, test, pictures, last=index + 1 == len(counts), attention=strategy == "star")
    (made / "rounds.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return made


def write_plan(out: Path, runs: Sequence[tuple[str, str, Path]], name: str = "made-suite") -> None:
    """Write suite.json for (label, group, folder of the run)."""
    planned = [
        {"label": label, "group": group, "strategy": label, "dataset": "phantom", "seed": _seed(folder)}
        | {"folder": str(folder.relative_to(out))}
        for label, group, folder in runs
    ]
    _write(out / "suite.json", {"format": 1, "name": name, "digest": "1a2b3c4d", "albench": "0", "runs": planned})


def _seed(folder: Path) -> int:
    return int(folder.name.split("-")[1])


def _config(
    strategy: str, seed: int, rounds: int, title: str, version: str, options: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    return {
        "format": 1,
        "albench": version,
        "strategy": {"name": strategy, "spec": strategy, "code": None, "options": dict(options)},
        "dataset": {"name": "phantom", "spec": "phantom", "code": None, "options": {"size": None}},
        "title": title,
        "locations": {},
        "data_key": "d",
        "seed": seed,
        "protocol": {"interval": 10, "budget": 5, "rounds": rounds, "warm_start": True},
        "training": {"epochs": 100, "patience": 5, "batch_size": 16},
        "network": {"backbone": "resnet50", "width": 1.0, "stem_stride": 2, "weights": None},
        "weights_key": None,
    }  # type: ignore[return-value]


def _record(index: int, dice: float, count: int, test: Sequence[str], device: str, version: str) -> dict[str, object]:
    metrics = {"dice_slice": dice, "dice_foreground": None, "dice_volume": dice / 2, "hd95": 10 * (1 - dice)}
    return {
        "round": index,
        "labeled": count,
        "unlabeled": TOTAL - count,
        "share": count / TOTAL,
        "effort": {"slices": count, "nonempty": count / 2, "foreground": 9 * count, "contour": 3.0 * count}
        | {"cases": 2},
        "pseudo": {"count": 0, "foreground_share": None, "dice": None, "dice_foreground": None},
        "predictions": {},
        "test": metrics,
        "val": {"dice_slice": dice + 0.01},
        "cases": dict.fromkeys(test, metrics),
        "fit": [{"purpose": "training", "epochs": 2, "best_epoch": 1, "steps": 10, "val_loss": 0.1}],
        "query": [],
        "cost": {"seconds": {"fit": 2.0, "evaluate": 1.0, "query": 0.5}, "device": device, "threads": 1}
        | {"albench": version, "torch": "2"},
    }


def _pictures(folder: Path, index: int, test: Sequence[str], side: int, *, last: bool, attention: bool) -> None:
    """Predictions, queries and attention: a disk in noise, larger from case to case."""
    rng = np.random.default_rng(index)
    y, x = np.ogrid[:side, :side]
    radii = [side / 10 * (1 + (row % 2) + 2 * (row // 2) / len(test)) for row in range(2 * len(test))]
    masks = np.array([(y - side / 2) ** 2 + (x - side / 2) ** 2 < radius**2 for radius in radii]).astype(np.uint8)
    images = (60 * masks + rng.integers(0, 120, masks.shape)).astype(np.uint8)
    shown = {
        "ids": np.arange(len(masks)),
        "cases": np.array([test[row // 2] for row in range(len(masks))]),
        "positions": np.arange(len(masks)) % 2,
        "images": images,
        "masks": masks,
        "valid": np.full((len(masks), 2), side),
        "pixel": np.ones((len(masks), 2)),
    }
    if index == 0:
        np.savez(folder / "showcase.npz", **shown)
    where = folder / "rounds" / f"{index:02d}"
    moved = PackedMasks.of(shown["ids"], np.roll(masks, 1 + side // 50, axis=2))
    np.savez_compressed(where / "showcase.npz", ids=moved.ids, masks=moved.packed, width=moved.width)
    if not last:
        step = max(1, side // 160)
        arrays = {f"asked_{name}": values[:6] for name, values in shown.items()}
        arrays |= {f"asked_{name}": shown[name][:6, ::step, ::step] for name in ("images", "masks")}
        arrays["asked_valid"] = arrays["asked_valid"] // step
        if attention:
            weights = np.zeros((2, side // 8, side // 8), dtype=np.float32)
            weights[0, 1, 2], weights[1, 0, 0] = 0.75, 0.25
            arrays |= {"attention_0_ids": np.arange(3), "attention_0_positions": np.array([4, 0, 10])}
            arrays |= {"attention_0_images": images[:3], "attention_0_masks": masks[:3]}
            arrays["attention_0_weights"] = weights
        np.savez_compressed(where / "arrays.npz", **arrays)


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
