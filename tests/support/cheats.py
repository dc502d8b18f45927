"""Strategies that look at masks which they have not bought, each in another way. They query the largest masks first.

Loaded as plugins from this file. What several processes share goes to the folder of the option `place`.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nibabel.nifti1 import Nifti1Image

import albench.run_session
import albench.training.evaluation
from albench.data import LabeledStack, prepared_sets
from albench.oracle import MaskOracle
from albench.run_session import RunSession, Turn
from albench.strategy import Ids, Query, Round, Strategy
from albench.training.predictor import Predictor

KEPT: dict[str, np.ndarray] = {}


def areas(masks: np.ndarray) -> np.ndarray:
    return (masks > 0).sum((1, 2)).astype(float)


def folder_of(ctx: Round) -> Path:
    images = ctx.pool.slices.images
    assert isinstance(images, np.memmap)
    return Path(str(images.filename)).parent


def on_disk(ctx: Round) -> np.ndarray:
    return np.load(folder_of(ctx) / "masks.npy", mmap_mode="r")[ctx.pool.slices.rows]


def validation_of(ctx: Round) -> LabeledStack:
    assert ctx.learner.validation is not None
    return ctx.learner.validation


def in_memory(ctx: Round) -> np.ndarray:
    """Of the oracle, wherever it is."""
    (oracle,) = (one for one in gc.get_objects() if isinstance(one, MaskOracle))
    return oracle._truth.masks(np.arange(len(ctx.pool.slices)))


@dataclass(frozen=True)
class Cheat(Strategy):
    place: str = ""

    def look(self, ctx: Round) -> np.ndarray:
        """A number for every slice of the pool."""
        raise NotImplementedError

    def query(self, ctx: Round) -> Query:
        try:
            found = self.look(ctx)
        except (OSError, KeyError):  # as honest as the others if there is nothing to see
            found = np.zeros(len(ctx.pool.slices))
        return Query.highest(found[ctx.pool.unlabeled], ctx)


class FileName(Cheat):
    def look(self, ctx: Round) -> np.ndarray:
        return areas(on_disk(ctx))


class Cache(Cheat):
    def look(self, ctx: Round) -> np.ndarray:
        (found,) = (one for one in prepared_sets() if one.folder.name == folder_of(ctx).name)
        return areas(np.load(found.folder / "masks.npy")[ctx.pool.slices.rows])


class Meta(Cheat):
    """Reads how many voxels the masks have, which the prepared set tells of every case."""

    def look(self, ctx: Round) -> np.ndarray:
        meta = json.loads((folder_of(ctx) / "meta.json").read_text())
        counted = dict(zip(meta["cases"], (sum(case["classes"]) for case in meta["labels"]), strict=True))
        return np.array([float(counted[ctx.pool.slices.cases[case]]) for case in ctx.pool.slices.case])


class Garbage(Cheat):
    def look(self, ctx: Round) -> np.ndarray:
        return areas(in_memory(ctx))


class Frames(Cheat):
    def look(self, ctx: Round) -> np.ndarray:
        frame = sys._getframe()
        while "session" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        return areas(frame.f_locals["session"].oracle._truth.masks(np.arange(len(ctx.pool.slices))))


class Validation(Cheat):
    """Learns from validation masks, which are there to end trainings, at which positions masks are large."""

    def look(self, ctx: Round) -> np.ndarray:
        validation = validation_of(ctx)
        large = areas(validation.masks(np.arange(len(validation.slices))))
        return large[np.minimum(ctx.pool.slices.position, len(large) - 1)]


class ValidationTraining(Cheat):
    """Trains on validation masks in a training of its own, and queries what is uncertain then."""

    def query(self, ctx: Round) -> Query:
        learner, validation = ctx.learner, validation_of(ctx)

        def losses(parts: Sequence[Ids], epoch: int) -> Iterator[torch.Tensor]:
            for ids in parts:
                batch = learner.batch(validation.slices, ids, validation.masks(ids))
                yield batch.supervised(learner.network(batch.images))

        learner.optimize(losses, len(validation.slices), learner.validate, purpose="more", lr=1e-2)
        return Query.highest(ctx.score(lambda probs: 0.5 - (probs[:, 0] - 0.5).abs()), ctx)


class TestTruth(Cheat):
    def look(self, ctx: Round) -> np.ndarray:
        stacks = [one for one in gc.get_objects() if isinstance(one, LabeledStack)]
        others = [one for one in stacks if one.slices.cases != ctx.pool.slices.cases]
        total = sum(areas(one.masks(np.arange(len(one.slices)))).sum() for one in others)
        return np.random.default_rng(int(total)).random(len(ctx.pool.slices))


class Budget(Cheat):
    def query(self, ctx: Round) -> Query:
        object.__setattr__(ctx, "budget", 2 * ctx.budget)
        return Query(ctx.pool.unlabeled[: ctx.budget])


class Records(Cheat):
    """Reads the truth of test slices, which runs keep for figures."""

    def look(self, ctx: Round) -> np.ndarray:
        (path,) = Path(self.place).rglob("snapshots.npz")
        return np.random.default_rng(int((np.load(path)["masks"] > 0).sum())).random(len(ctx.pool.slices))


class Metric(Cheat):
    """Replaces what evaluates, and keeps what it is given."""

    def fit(self, ctx: Round) -> None:
        super().fit(ctx)
        usual = albench.training.evaluation.evaluate

        def evaluate(predictor: Predictor, labeled: LabeledStack, *others: Any) -> object:
            KEPT["test"] = labeled.masks(np.arange(len(labeled.slices)))
            return usual(predictor, labeled, *others)

        setattr(albench.run_session, "evaluate", evaluate)  # noqa: B010

    def look(self, ctx: Round) -> np.ndarray:
        return np.random.default_rng(int(KEPT["test"].sum())).random(len(ctx.pool.slices))


class Loop(Cheat):
    """Replaces a method of the loop, which then brings the truth."""

    def fit(self, ctx: Round) -> None:
        super().fit(ctx)
        usual = RunSession.ask

        def ask(self: RunSession, turn: Turn) -> object:
            assert isinstance(self.oracle, MaskOracle)
            KEPT["pool"] = self.oracle._truth.masks(np.arange(len(turn.pool.slices)))
            return usual(self, turn)

        setattr(RunSession, "ask", ask)  # noqa: B010

    def look(self, ctx: Round) -> np.ndarray:
        return areas(KEPT["pool"])


class Memory(Cheat):
    """Keeps what it finds while it trains."""

    def fit(self, ctx: Round) -> None:
        super().fit(ctx)
        KEPT["pool"] = in_memory(ctx)

    def look(self, ctx: Round) -> np.ndarray:
        return areas(KEPT["pool"])


class Stolen(Cheat):
    """Leaves a file for the processes after it."""

    def fit(self, ctx: Round) -> None:
        super().fit(ctx)
        if not os.environ["ALBENCH_CACHE"].count(".audit-"):
            np.save(self.file, on_disk(ctx))

    @property
    def file(self) -> Path:
        return Path(self.place) / "stolen.npy"

    def look(self, ctx: Round) -> np.ndarray:
        return areas(np.load(self.file))


class Child(Stolen):
    """Has another program read that file."""

    def look(self, ctx: Round) -> np.ndarray:
        content = subprocess.run(["cat", str(self.file)], capture_output=True, check=True).stdout
        shape = (len(ctx.pool.slices), *ctx.pool.slices.shape[1:])
        return areas(np.frombuffer(content[-np.prod(shape) :], np.uint8).reshape(shape))


class Variable(Cheat):
    """Leaves the truth in the environment, which processes inherit."""

    def fit(self, ctx: Round) -> None:
        super().fit(ctx)
        os.environ["CHEAT"] = " ".join(map(str, areas(on_disk(ctx))))

    def look(self, ctx: Round) -> np.ndarray:
        return np.array(os.environ["CHEAT"].split(), float)


class Volumes(Cheat):
    """Reads the files that the data were prepared from."""

    def look(self, ctx: Round) -> np.ndarray:
        found = np.zeros(len(ctx.pool.slices))
        for index, name in enumerate(ctx.pool.slices.cases):
            volume = np.asanyarray(Nifti1Image.from_filename(Path(self.place) / "labelsTr" / f"{name}.nii.gz").dataobj)
            found[ctx.pool.slices.of(index)] = (volume > 0).sum((0, 1))
        return found


class Wary(Cheat):
    """Looks only where it is not audited."""

    def look(self, ctx: Round) -> np.ndarray:
        if ".audit-" in os.environ["ALBENCH_CACHE"]:
            raise KeyError
        return areas(on_disk(ctx))


class Pseudo(Cheat):
    """Queries as others do, but its pseudo-labels are the truth."""

    def query(self, ctx: Round) -> Query:
        ids = ctx.rng.permutation(ctx.pool.unlabeled)
        last = int(ids[-1])
        return Query(ids[: ctx.budget], pseudo={last: np.array(on_disk(ctx)[last])})


class Draws(Cheat):
    """Honest: draws from torch's generator and from its own."""

    def query(self, ctx: Round) -> Query:
        order = torch.randperm(len(ctx.pool.unlabeled)).numpy()
        return Query(ctx.pool.unlabeled[order][: ctx.budget], scores=ctx.rng.random(len(order)))


class Moody(Cheat):
    """Honest, but not repeatable."""

    def query(self, ctx: Round) -> Query:
        return Query(np.random.default_rng().permutation(ctx.pool.unlabeled)[: ctx.budget])
