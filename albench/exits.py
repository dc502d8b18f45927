"""A plugin that ends the process is an error of the plugin; Ctrl-C and albench's own signals are not."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from albench.errors import PluginError

_ALBENCH = Path(__file__).parent


@contextmanager
def rejecting_exits(what: str) -> Iterator[None]:
    """Turn `sys.exit`, and whatever else in Python is no `Exception`, into an error that names its place.

    Args:
        what: whose code the block calls, such as `strategy 'mine'`.

    Raises:
        PluginError: the block tried to end the process.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        if Path(frame.filename).is_relative_to(_ALBENCH):  # a handler of a signal
            raise
        raise PluginError(
            f"{what} must raise an error instead of ending the process, it raises {error!r} in '{frame.filename}', "
            f"line {frame.lineno}: leave that out"
        ) from error
