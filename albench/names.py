"""Names that are printed, written and made folders of."""

from __future__ import annotations

from albench.errors import ConfigError


def check_name(what: str, name: str) -> None:
    """Reject a name that a terminal, a table or a file cannot show as it is.

    Args:
        what: is named.

    Raises:
        ConfigError: the name contains a control character, a line break or another one that is not printed.
    """
    if not name.isprintable():
        raise ConfigError(f"{what} must have a name of characters that are printed, got {name!r}: rename it")
