"""How long do the parts of a run take on a dataset as large as BraTS? Needs a GPU."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Finding, Row, main
from albench.config import PAPER_STOP
from albench.loop import run
from albench.resolve import resolve
from albench.run_session import Execution

_STRATEGIES = ("entropy", "star", "taal")
_PARTS = ("fit", "evaluate", "query")
_SETTINGS: Mapping[str, object] = {
    **{"data.count": 50, "data.depth": 155, "data.side": 240, "protocol.rounds": 2, "protocol.budget": 100},
    **{"network.backbone": "resnet50", "network.width": 1.0, "network.decoder_width": 256, "network.stem_stride": 4},
    **{"training.batch_size": 32, "training.lr": 1e-4, "training.lr_incremental": 1e-5, "training.epochs": 100},
    **PAPER_STOP,
}


def measure() -> Finding:
    """Three rounds each of entropy, star and taal on a phantom of 50 cases of 155 slices of 240 x 240, ResNet-50."""
    rows = [
        Row(f"{strategy}, {part} of a round", spread, unit="s")
        for strategy in _STRATEGIES
        for part, spread in parts(strategy, _SETTINGS).items()
    ]
    return Finding("How long do the parts of a run take on a dataset as large as BraTS?", rows)


def parts(strategy: str, settings: Mapping[str, object]) -> dict[str, Spread]:
    """{part: its seconds over the rounds of a run}; the last round has no query."""
    resolved = resolve(strategy, "phantom", settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        execution = Execution(synthetic.DEVICE, share=False)
        records = run(resolved, Path(folder), execution).records
    seconds = [record.cost.seconds for record in records]
    return {
        part: Spread.of([getattr(each, part) for each in (seconds[:-1] if part == "query" else seconds)])
        for part in _PARTS
    }


if __name__ == "__main__":
    if synthetic.DEVICE.type != "cuda":
        sys.exit("brats_size needs a CUDA device, this machine has none: leave it out")
    main("brats_size", measure)
