"""The optimizer steps that a strategy may and must take between two evaluations, if their number is fixed."""

from __future__ import annotations

from albench.errors import StrategyError


class StepAllowance:
    """A number of optimizer steps that trainings take from.

    Args:
        total: steps, of all trainings together.
    """

    def __init__(self, total: int) -> None:
        self._total = self._left = total

    def take(self, share: float) -> int:
        """The steps of the next training: a share of the total, rounded down, or what is left if that is less.

        Raises:
            StrategyError: nothing is left.
        """
        taken = min(self._left, int(self._total * share))
        if taken < 1:
            raise StrategyError(
                f"with protocol.compute=matched a training must take at least one of the {self._total} optimizer "
                f"steps of its round, {self._left} are left for a share of {share:g}: give every training a share, "
                "learner.fit(..., share=0.5)"
            )
        self._left -= taken
        return taken

    def check_spent(self) -> None:
        """Check that all steps were taken. Raises StrategyError."""
        if self._left:
            raise StrategyError(
                f"with protocol.compute=matched fit must take all {self._total} optimizer steps that are left for it, "
                f"{self._left} were not taken: leave out the share of its last training"
            )
