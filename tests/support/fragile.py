"""A strategy whose process is killed at a chosen moment, to test that a run goes on as if nothing had happened.

The moment is named by the variable FRAGILE: "batch 7" and "score 3" count what the strategy does; "open NAME 2" is the
second time that a file of that name is about to be written, "half NAME 2" when some bytes of it are on the disk,
"rename NAME 2" when all are and it has not yet taken its place, "remove NAME 1" before a file is deleted.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from albench.acquisition import binary_entropy
from albench.strategy import Query, Round, Strategy

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
    """Entropy with noise from both random streams and pseudo-labels, so that nothing of a run's state goes untested."""

    def loss(self, model, batch, unlabeled, epoch):
        _happens("batch")
        next(unlabeled)
        return super().loss(model, batch, unlabeled, epoch)

    def query(self, ctx: Round) -> Query:
        _happens("query")

        def noisy(probs: torch.Tensor) -> torch.Tensor:
            _happens("score")
            return binary_entropy(probs) + torch.rand(())

        scores = ctx.score(noisy) + ctx.rng.random(len(ctx.pool.unlabeled))
        pseudo = {}
        for ids, probs, _ in ctx.learner.predict(ctx.pool.slices, ctx.pool.unlabeled[:4]):
            pseudo |= {int(i): p.numpy().astype(np.uint8) for i, p in zip(ids, probs > 0.5, strict=True)}
        asked = Query.highest(scores, ctx)
        return Query(asked.ids, pseudo, scores)
