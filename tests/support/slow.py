"""Parameters of tests of which most take too long for the default tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def slow_but(quick: Sequence[Any], values: Iterable[Any]) -> list[Any]:
    """All values; those that are not `quick` are slow. The quick ones must be among them."""
    values = list(values)
    assert all(value in values for value in quick), quick
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]
