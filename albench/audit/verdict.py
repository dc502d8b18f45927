"""The verdict on a query, from what a strategy answers in equal states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from albench.masks import Mask
from albench.query import Query
from albench.runs.records import AuditRecord, QueryRecord


@dataclass(frozen=True)
class Answer:
    """What is compared of a query, and what an error was if there is none.

    Attributes:
        ids: queried slices in order.
        pseudo: {id: (h, w) mask} of the slices that are not queried.
        scores: of all unlabeled slices; None without any.
        notes: numbers by name.
        error: one sentence; empty if the strategy answered.
        hidden: files and actions that were denied.
    """

    ids: tuple[int, ...] = ()
    pseudo: Mapping[int, Mask] | None = None
    scores: tuple[float, ...] | None = None
    notes: Mapping[str, float | list[float]] | None = None
    error: str = ""
    hidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: Query, hidden: tuple[str, ...] = ()) -> Answer:
        """That of a valid query."""
        ids = tuple(int(i) for i in query.ids)
        pseudo = {int(i): np.asarray(mask) for i, mask in query.pseudo.items() if i not in ids}
        scores = None if query.scores is None else tuple(float(score) for score in query.scores)
        notes = {name: np.asarray(value, dtype=np.float64).tolist() for name, value in query.notes.items()}
        return cls(ids, pseudo, scores, notes, hidden=hidden)

    @classmethod
    def stored(cls, query: QueryRecord, pseudo: Mapping[int, Mask], notes: Mapping[str, float | list[float]]) -> Answer:
        """That of a finished round."""
        scores = None if query.scores is None else tuple(query.scores.values())
        return cls(query.ids, dict(pseudo), scores, dict(notes))

    def differences(self, other: Answer) -> list[str]:
        """What is not equal in another answer, in words."""
        if self.error or other.error:
            return [] if self.error == other.error else ["its answers"]
        equal = {
            "the queried slices": self.ids == other.ids,
            "the pseudo-labels": _equal_masks(self.pseudo or {}, other.pseudo or {}),
            "the scores": self.scores == other.scores,
            "the notes": self.notes == other.notes,
        }
        return [name for name, same in equal.items() if not same]


def judge(index: int, given: Answer, ask: Callable[[bool], Answer], *, exact: bool) -> AuditRecord:
    """Compare the answer of a run with that of a fresh process without the masks that were not bought.

    One ask suffices if both are the same. If not, a second one with the true masks, and a third one if that differs
    too, tell a strategy that looks from one that does not repeat itself.

    Args:
        index: of the round.
        given: the answer in the run.
        ask: asks in a fresh process, with the true masks or without.
        exact: whether equal states give equal answers to the last bit, as on the same CPU.
    """
    blind = ask(False)
    changed = given.differences(blind)
    if not changed:
        return AuditRecord("passed", f"the query of round {index} is the same without the masks that were not bought")
    seeing = ask(True)
    if seeing.error:
        return _unrepeatable(index, f"it cannot be asked in a fresh process ({seeing.error})")
    changed_by_masks = seeing.differences(blind)
    if changed_by_masks:
        again = seeing.differences(ask(True))
        if again:
            return _unrepeatable(index, f"{_list(again)} differ between two processes in the same state")
        return _looked(index, f"{_list(changed_by_masks)} change without the masks that were not bought", blind)
    if not exact:
        return _unrepeatable(
            index, f"{_list(changed)} are others than in the run, on a device where rounding may differ"
        )
    if seeing.differences(ask(True)):
        return _unrepeatable(index, f"{_list(changed)} differ between two processes in the same state")
    return _looked(index, f"{_list(changed)} were others in the run than in fresh processes in the same state", blind)


def _looked(index: int, what: str, blind: Answer) -> AuditRecord:
    reasons = [f"without them it fails with '{blind.error}'"] if blind.error else []
    reasons += [f"it asked for what was hidden, '{blind.hidden[0]}'"] if blind.hidden else []
    why = f" ({' and '.join(reasons)})" if reasons else ""
    return AuditRecord(
        "looked",
        f"the query of round {index} must depend on nothing but its context, {what}{why}: use pool.mask of labeled "
        "slices, and name files that it reads in `files`",
    )


def _unrepeatable(index: int, what: str) -> AuditRecord:
    return AuditRecord(
        "unrepeatable",
        f"the query of round {index} must be the same in the same state to be audited, {what}: nothing can be said",
    )


def _list(names: list[str]) -> str:
    return " and ".join(names)


def _equal_masks(one: Mapping[int, Mask], other: Mapping[int, Mask]) -> bool:
    return set(one) == set(other) and all(np.array_equal(mask, other[i]) for i, mask in one.items())
