"""Captions on the page: what is true everywhere stands there once, and what a kind of table needs at the first one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from albench.reports.audits import audited
from albench.reports.captions import floors, left_out, measured, not_ranked, provenance, warnings
from albench.reports.group import Group
from albench.reports.results import Results

Place = tuple[str, str]
"""Id and title of a table or figure on the page."""


@dataclass(frozen=True)
class ShortCaption:
    """What is left of a caption.

    Attributes:
        text: sentences that the page has not had before.
        earlier: where the others stand, if they are of an earlier table or figure of this kind.
    """

    text: str
    earlier: Place | None = None


def about_groups(results: Results) -> tuple[list[str], dict[str, list[str]]]:
    """What values and shares are of and where the runs come from: in all groups, and {group: what else} in each."""
    of_groups = {group.name: list(_about(results, group)) for group in results.groups}
    common = [said for said in next(iter(of_groups.values())) if all(said in own for own in of_groups.values())]
    return common, {name: [said for said in own if said not in common] for name, own in of_groups.items()}


def said_before(results: Results) -> set[str]:
    """Sentences of captions that stand above all tables and figures."""
    said = set(left_out(results.collection))
    for group in results.groups:
        said |= {*_about(results, group), *_in_summary(group), *warnings(group)}
        said |= set(left_out(results.collection, group.name))
    return said


def shortened(caption: Sequence[str], place: Place, said: set[str], seen: dict[tuple[str, str], Place]) -> ShortCaption:
    """A caption without what the page has had before.

    Args:
        caption: its sentences.
        place: of the table or figure; what stands before `on` in its title is its kind.
        said: sentences that stand above all tables and figures.
        seen: {(kind, sentence): where it stands}; what is new is added.
    """
    kind = place[1].partition(" on ")[0]
    left = [sentence for sentence in caption if sentence not in said]
    new = [sentence for sentence in left if (kind, sentence) not in seen]
    places = Counter(seen[kind, sentence] for sentence in left if (kind, sentence) in seen)
    seen.update({(kind, sentence): place for sentence in new})
    return ShortCaption(" ".join(new), places.most_common(1)[0][0] if places else None)


def _about(results: Results, group: Group) -> Iterator[str]:
    in_summary = _in_summary(group)
    yield from (said for said in measured(results, group) if said not in in_summary)
    yield provenance(results, group)[0]
    yield from audited(group)


def _in_summary(group: Group) -> list[str]:
    return [*not_ranked(group), floors(group)]
