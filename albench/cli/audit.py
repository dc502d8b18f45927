"""`albench audit`: whether the queries of a stored run depend on masks that were not bought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from albench.cli.options import Device


def audit(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with --keep-weights.")],
    rounds: Annotated[
        list[int] | None, typer.Option("--round", help="Audit this round only. May be repeated.", show_default="all")
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Train each round again, so that its training is audited.")
    ] = False,
    device: Device = "auto",
    graphs: Annotated[bool, typer.Option(help="Replay training passes as CUDA graphs, as the run did.")] = True,
) -> None:
    """Ask a run's queries again, without masks not bought.

    The exit code is 1 if one depends on them.
    """
    from albench.console import messages, say, starting, terminal, waiting

    console = terminal()
    with starting(messages(console)):
        from albench.audit.auditor import audit_rounds
        from albench.errors import ConfigError
        from albench.runs import RunReader
        from albench.training.device import choose_device

    run = RunReader(folder)
    if not run.started:
        raise ConfigError(f"RUN must be the folder of a run, '{folder}' has no config.json: see albench status")
    looked = 0
    with waiting(messages(console), "reading the run") as tell:
        verdicts = audit_rounds(run, choose_device(device, None), rounds, fit=fit, graphs=graphs, on_step=tell)
        for verdict in verdicts:
            say(console, f"{verdict.verdict:12} {verdict.sentence}")
            looked += verdict.verdict == "looked"
    if looked:
        raise typer.Exit(1)
