"""When a training ends, and which of its weights are kept."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from albench.config import Stop, Training
from albench.runs.records import FitSummary


@dataclass(frozen=True)
class Validation:
    """How well the validation slices are segmented at some point of a training.

    Attributes:
        loss: the supervised loss.
        dice: mean volume Dice over the cases.
    """

    loss: float
    dice: float


@dataclass(frozen=True)
class Point:
    """A point of a training, from which weights can be kept.

    Attributes:
        epoch: passes so far.
        step: optimizer steps so far.
        validation: None if it was not measured.
    """

    epoch: int
    step: int
    validation: Validation | None = None

    def better_than(self, other: Point | None, stop: Stop) -> bool:
        """Whether its weights are kept rather than those of an earlier point; None stands for no point."""
        if stop == "steps":
            return True
        if self.validation is None or not math.isfinite(self.validation.loss):
            return False
        if other is None or other.validation is None:
            return True
        if stop == "val_loss":
            return self.validation.loss < other.validation.loss
        return (self.validation.dice, -self.validation.loss) > (other.validation.dice, -other.validation.loss)


@dataclass(frozen=True)
class StopRule:
    """The rule of a training.

    Attributes:
        stop: which weights are kept, see `albench.config.Training`.
        epochs: the most passes.
        patience: passes without progress.
        patience_steps: optimizer steps without progress.
        min_steps: the fewest optimizer steps.
        val_steps: optimizer steps between two validations.
        steps: a fixed number of optimizer steps, which nothing else changes; None stops by the other numbers.
    """

    stop: Stop
    epochs: int
    patience: int
    patience_steps: int
    min_steps: int
    val_steps: int
    steps: int | None

    @classmethod
    def of(cls, training: Training, *, patience: int | None, steps: int | None) -> StopRule:
        """The rule of the settings.

        Args:
            patience: replaces that of the settings unless it is None.
            steps: fixes the number of steps; None fixes it with `stop=steps` only, to that of the settings.
        """
        fixed = training.steps if steps is None and training.stop == "steps" else steps
        return cls(
            training.stop,
            training.epochs,
            patience or training.patience,
            training.patience_steps,
            training.min_steps,
            training.val_steps,
            fixed,
        )

    @property
    def keeps_start(self) -> bool:
        """Whether the starting weights can be kept. In the STAR paper, the first pass always replaces them."""
        return self.stop == "val_dice"

    @property
    def keeps_last(self) -> bool:
        """Whether the last weights are kept, whatever they are."""
        return self.stop == "steps"

    def validates(self, epoch: int, step: int, last: Point) -> bool:
        """Whether to validate after a pass; `last` is the point of the validation before."""
        if self.keeps_last:
            return False
        return step - last.step >= self.val_steps or self._must_end(epoch, step)

    def keeps(self, now: Point, best: Point | None) -> bool:
        """Whether the weights after a pass are kept rather than the best ones before."""
        return now.better_than(best, self.stop)

    def ends(self, now: Point, best: Point | None) -> bool:
        """Whether the training ends after a pass."""
        if self.steps is not None or now.step < self.min_steps:
            return self._must_end(now.epoch, now.step)
        since = best or Point(0, 0)
        no_progress = now.epoch - since.epoch >= self.patience and now.step - since.step >= self.patience_steps
        return no_progress or self._must_end(now.epoch, now.step)

    def _must_end(self, epoch: int, step: int) -> bool:
        if self.steps is not None:
            return step >= self.steps
        return epoch >= self.epochs and step >= self.min_steps

    def bounds(self, batches: int) -> tuple[int, int]:
        """The fewest and the most optimizer steps of a training with this many batches per pass."""
        if self.steps is not None:
            return self.steps, self.steps
        fewest = max(batches + max(self.patience * batches, self.patience_steps), self.min_steps)
        most = self.passes(batches) * batches
        return min(fewest, most), most

    def passes(self, batches: int) -> int:
        """The most passes over this many batches."""
        if self.steps is not None:
            return -(-self.steps // batches)
        return max(self.epochs, -(-self.min_steps // batches))


@dataclass(frozen=True)
class RepeatedStop(StopRule):
    """The end of a training that was recorded, taken again whatever the validation says.

    Attributes:
        recorded: the training.
    """

    recorded: FitSummary

    @classmethod
    def after(cls, rule: StopRule, recorded: FitSummary) -> RepeatedStop:
        """The end that a training under `rule` had."""
        return cls(**asdict(rule), recorded=recorded)

    def keeps(self, now: Point, best: Point | None) -> bool:
        """Whether the recorded training kept the weights after this pass."""
        return now.epoch == self.recorded.best_epoch

    def ends(self, now: Point, best: Point | None) -> bool:
        """Whether the recorded training ended after this pass."""
        return now.epoch >= self.recorded.epochs
