"""A strategy whose process is killed at a chosen moment, to test that the run continues as if it was not interrupted.

The environment variable FRAGILE gives the moment. "batch 7", "query 1" and "score 3" count calls in the strategy.
"open NAME 2" is before the second time that a file of that name is written, "half NAME 2" after its first bytes are
written, "rename NAME 2" after it is written and before it is renamed, and "remove NAME 1" before a file is deleted.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from albench.acquisition import entropy
from albench.masks import Mask
from albench.probabilities import predicted
from albench.strategy import Query, Round, Strategy
from albench.training.batches import Batch, Images

_seen: Counter[str] = Counter()
_moment = os.environ.get("FRAGILE", "never")


def _happens(event: str) -> None:
    _seen[event] += 1
    if _moment == f"{event} {_seen[event]}":
        os.kill(os.getpid(), signal.SIGKILL)
    if _moment == f"{event.replace('open', 'half')} {_seen[event]}":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))


def _watch(event: str, args: tuple[object, ...]) -> None:
    path = Path(os.fsdecode(args[0])) if args and isinstance(args[0], str | bytes | os.PathLike) else Path()
    name = path.name.removeprefix(".").split(f".{os.getpid()}")[0]
    if event == "open" and args[1] == "w":
        _happens(f"open {name}")
    elif event in ("os.rename", "os.remove"):
        _happens(f"{event[3:]} {name}")


sys.addaudithook(_watch)


@dataclass(frozen=True)
class Fragile(Strategy):
    """Entropy with noise from both random streams, and pseudo-labels: it uses every part of the state of a run."""

    def loss(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> torch.Tensor:
        _happens("batch")
        next(unlabeled)
        return super().loss(model, batch, unlabeled, epoch)

    def query(self, ctx: Round) -> Query:
        _happens("query")

        def noisy(probs: torch.Tensor) -> torch.Tensor:
            _happens("score")
            return entropy(probs) + torch.rand(())

        scores = ctx.score(noisy) + ctx.rng.random(len(ctx.pool.unlabeled))
        pseudo: dict[int, Mask] = {}
        for found in ctx.learner.predict(ctx.pool.slices, ctx.pool.unlabeled[:4]):
            masks = predicted(found.probs).numpy()
            pseudo |= {int(i): mask for i, mask in zip(found.ids, masks, strict=True)}
        return Query(Query.highest(scores, ctx).ids, pseudo, scores)
