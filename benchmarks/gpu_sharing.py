"""How many runs share a GPU: the decision, from what was measured with 1, 2, 4, 8 and 16 processes."""

from __future__ import annotations

from dataclasses import dataclass

from albench.console import size_in_words

COUNTS = (1, 2, 4, 8, 16)
"""Numbers of processes that are measured, one after the other."""

_GROWTH = 0.1  # share by which training must get faster to be worth more processes
_MEMORY = 0.9  # share of the free memory that all processes together may need


@dataclass(frozen=True)
class Speed:
    """The speed of some processes that train at the same time on one GPU.

    Attributes:
        processes: their number.
        steps: optimizer steps per second of all together; 0 if they cannot train at the same time.
    """

    processes: int
    steps: float


@dataclass(frozen=True)
class GpuSharing:
    """What was measured on one GPU.

    Attributes:
        speeds: for the first of `COUNTS`, at least for one process.
        memory: bytes that one process needs at its peak.
        free: bytes that were free before.
    """

    speeds: tuple[Speed, ...]
    memory: int
    free: int

    def runs_at_once(self, most: int) -> int:
        """How many of at most `most` runs share a GPU: more only as long as each increase is worth it."""
        chosen = self.speeds[0]
        for speed in self.speeds[1:]:
            if speed.processes > self._fitting(most) or speed.steps < chosen.steps * (1 + _GROWTH):
                break
            chosen = speed
        return chosen.processes

    def next_count(self, most: int) -> int | None:
        """The number of processes to measure next; None if more cannot be worth it, do not fit, or exceed `most`."""
        if self.runs_at_once(most) < self.speeds[-1].processes:
            return None
        following = COUNTS[len(self.speeds) :]
        return following[0] if following and following[0] <= self._fitting(most) else None

    def speedup(self, runs: int) -> float:
        """How much faster this number of processes trains than one; the number was measured."""
        return next(speed.steps for speed in self.speeds if speed.processes == runs) / self.speeds[0].steps

    def in_words(self, runs: int) -> str:
        """The decision for this number of runs and its reasons, in one line."""
        first, *others = self.speeds
        parts = [f"1 process trains {_rounded(first.steps)} steps/s"]
        for speed in others:
            words = f"train {_rounded(speed.steps)}" if speed.steps else "cannot train at the same time"
            parts.append(f"{speed.processes} {words}")
        decision = "1 run at a time" if runs == 1 else f"{runs} runs at once"
        memory = f"{size_in_words(self.memory)} of the {size_in_words(self.free)} that are free"
        return f"{decision} on each GPU: {', '.join(parts)}; each needs {memory}"

    def _fitting(self, most: int) -> int:
        """The largest of `COUNTS` that is at most `most` and fits into the memory; at least 1."""
        return max(n for n in COUNTS if n == 1 or (n <= most and n * self.memory <= _MEMORY * self.free))


def _rounded(steps: float) -> str:
    """A number of steps without needless digits."""
    return f"{steps:.0f}" if steps >= 10 else f"{steps:.2g}"
