"""The rule of intensities that suits the names of channels in dataset.json, as the Decathlon and nnU-Net write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from albench.data import Rule

_NAMES: dict[Rule, re.Pattern[str]] = {
    "ct": re.compile(r"(ct|cta|computed tomography)\b"),
    "mr": re.compile(r"(mri?|mra|t1|t1w|t1c|t1ce|t1gd|t1n|t2|t2w|t2f|t2s|flair|adc|dwi|swi|pd|magnetic resonance)\b"),
}


def rule_of(names: Sequence[str]) -> Rule | None:
    """`ct` or `mr` if every channel is one; None if they differ or a name says something else."""
    rules = {next((rule for rule, form in _NAMES.items() if form.match(name.strip().lower())), None) for name in names}
    return rules.pop() if len(rules) == 1 else None


def channel_names(content: object) -> tuple[str, ...]:
    """The names in the content of a dataset.json: `modality` of the Decathlon, `channel_names` of nnU-Net."""
    if not isinstance(content, dict):
        return ()
    names = content.get("channel_names", content.get("modality"))
    return tuple(map(str, names.values())) if isinstance(names, dict) else ()
