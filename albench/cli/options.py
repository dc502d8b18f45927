"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Strategy = Annotated[str, typer.Option(help="A name (albench list strategies), FILE.py:Class or module:Class.")]
Dataset = Annotated[str, typer.Option(help="A name (albench list datasets), FILE.py:Class or module:Class.")]
Network = Annotated[str, typer.Option(help="A name (albench list networks), FILE.py:Class or module:Class.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights, batches and queries.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of the data; short for --set data.root=...")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, such as training.epochs=30. May be repeated.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads; all cores by default.")]
