"""What would not fit into memory is rejected before it is allocated."""

from __future__ import annotations

from albench.errors import DataError
from albench.machine import total_memory


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Reject what cannot fit into the memory of this machine.

    Args:
        needed: bytes, at least.
        what: takes them.
        remedy: what to change.

    Raises:
        DataError: it does not fit; the sentence says how much it takes.
    """
    have = total_memory()
    if needed > have:
        raise DataError(
            f"{what} must fit into the memory of this machine, it takes at least {needed / 1e9:,.1f} GB and there are "
            f"{have / 1e9:,.1f} GB: {remedy}"
        )
