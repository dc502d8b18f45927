"""The study of docs/fair-comparison.md, "When a training ends": round 0 of 12 seeds under every rule.

    python docs/studies/when_training_ends.py FOLDER_OF_THE_HIPPOCAMPUS > docs/studies/when-training-ends.csv

One training of 400 optimizer steps per seed is recorded with the validation after every epoch. Every rule is applied
to it by `albench.training.stopping`, and the weights that it keeps are tested. Two minutes per seed on a CPU core.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import replace

import torch

from albench.callback import NullCallback
from albench.pool import Pool
from albench.resolve import resolve
from albench.run_session import Execution, RunSession, State
from albench.training.learner import Learner
from albench.training.stopping import Point, StopRule

STEPS = 400
FAR = 10**6
RULES = [  # stop, patience in words, in epochs, in steps, floor, steps between validations, fixed steps
    ("val_loss", "5 epochs", 5, 0, 0, 0, None),
    ("val_loss", "10 epochs", 10, 0, 0, 0, None),
    ("val_dice", "5 epochs", 5, 0, 0, 0, None),
    ("val_dice", "10 epochs", 10, 0, 0, 0, None),
    ("val_dice", "5 epochs and 50 steps", 5, 50, 200, 20, None),
    ("val_loss", "5 epochs and 100 steps", 5, 100, 200, 20, None),
    ("val_dice", "5 epochs and 100 steps", 5, 100, 200, 20, None),
    ("val_dice", "5 epochs and 100 steps", 5, 100, 300, 20, None),
    *(("steps", f"{steps} steps", FAR, 0, "", 0, steps) for steps in (200, 300, 400)),
    *(("val_dice", f"{steps} steps, matched", FAR, 0, "", 20, steps) for steps in (200, 400)),
]


def recorded(
    dataset: str, seed: int, settings: dict[str, object]
) -> tuple[Learner, list[Point], list[dict], RunSession]:
    """A learner, the points of a long training of round 0, their weights, and the session."""
    resolved = resolve("random", dataset, seed=seed, settings=settings)
    session = RunSession(resolved, Execution(torch.device("cpu")), NullCallback())
    masks = session.oracle.annotate(session.initial, len(session.initial))
    ctx = session.round(0, State(Pool(session.slices).with_masks(masks), {}, None))
    learner, weights = ctx.learner, []
    epoch = -(-len(masks) // learner.batch_size)
    validations = []

    def validate():
        weights.append(learner.weights())
        validations.append(Learner.validate(learner))
        return validations[-1]

    learner.validate = validate
    every = {"patience": FAR, "patience_steps": 0, "min_steps": STEPS, "val_steps": 0, "epochs": 1}
    learner.training = replace(learner.training, stop="val_dice", **every)
    learner.fit(ctx.examples(), resolved.strategy.loss)
    return learner, [Point(i, i * epoch, found) for i, found in enumerate(validations)], weights, session


def kept(rule: StopRule, points: list[Point]) -> tuple[Point, int]:
    """The point whose weights a rule keeps, and the steps after which it ends."""
    best = validated = points[0]
    chosen = points[0] if rule.keeps_start else None
    for point in points[1:]:
        now = point if rule.validates(point.epoch, point.step, validated) else replace(point, validation=None)
        validated = now if now.validation else validated
        chosen = now if now.better_than(chosen, rule.stop) else chosen
        if rule.ends(now, chosen):
            break
    return chosen or best, rule.steps or now.step


def main(folder: str) -> None:
    """Print a row per dataset, rule and seed."""
    torch.set_num_threads(1)
    table = csv.writer(sys.stdout, lineterminator="\n")
    columns = ["dataset", "stop", "patience", "min_steps", "seed", "kept_epoch", "steps"]
    table.writerow([*columns, "val_dice_volume", "test_dice_volume"])
    hippocampus = {"data.root": folder, "protocol.split": [30, 8, 16]}
    for dataset, settings, epochs in (("hippocampus", hippocampus, 40), ("phantom", {}, 20)):
        for seed in range(12):
            learner, points, weights, session = recorded(dataset, seed, settings)
            learner.validation = session.test
            for stop, words, patience, patience_steps, floor, val_steps, fixed in RULES:
                rule = StopRule(stop, epochs, patience, patience_steps, floor or 0, val_steps, fixed)
                point, steps = kept(rule, points)
                learner.network.load_state_dict(weights[point.epoch])
                dice = Learner.validate(learner).dice
                val = points[point.epoch].validation.dice
                table.writerow([dataset, stop, words, floor, seed, point.epoch, steps, f"{val:.4f}", f"{dice:.4f}"])


if __name__ == "__main__":
    main(sys.argv[1])
