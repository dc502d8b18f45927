"""How long does albench take to start, before it does anything?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.record import Row, main

_HELP = "from albench.cli.main import main; main()"
_REPEATS = 7


def measure() -> Iterator[Row]:
    """The help page, and the import of the module that every strategy imports, each in a new process.

    torch is most of that import, so it is also given relative to `import torch`.
    """
    variants = {
        "help": _process(_HELP, "--help"),
        "strategy": _process("import albench.strategy"),
        "torch": _process("import torch"),
    }
    seconds = interleaved(variants, _REPEATS)
    yield Row("albench --help", Spread.of(seconds["help"]), "<= 0.3", "s")
    yield Row("import albench.strategy", Spread.of(seconds["strategy"]), unit="s")
    yield Row("import torch", Spread.of(seconds["torch"]), unit="s")
    yield Row("import albench.strategy, relative to torch", ratio(seconds["strategy"], seconds["torch"]), "<= 1.3")


def _process(code: str, *arguments: str) -> Callable[[], object]:
    command = [sys.executable, "-c", code, *arguments]
    return lambda: subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main("start_time", measure)
