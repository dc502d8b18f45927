"""The command `albench results`: published results, listed or one of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from albench.bundles.manifest import BundleManifest
    from albench.config import RunConfig
    from albench.reports import Results


def results(
    name: Annotated[
        str | None, typer.Argument(help="Name of published results, or the folder of a bundle; lists all if not given.")
    ] = None,
) -> None:
    """List published results, or show one of them.

    They come with albench. albench report NAME writes their tables and figures, albench report --compare NAME sets them
    beside runs.
    """
    from rich.markup import escape

    from albench.bundles import is_bundle, published_results, with_published
    from albench.console import say, terminal, waiting
    from albench.errors import ConfigError, suggestion

    console = terminal()
    if name is None:
        console.print(_listed(published_results()))
        return
    folder = with_published(Path(name))
    if not is_bundle(folder):
        hint = suggestion(name, published_results())
        raise ConfigError(f"results must be published ones or the folder of a bundle, got '{name}': {hint}")
    with waiting(console, f"reading {folder}"):
        from albench.bundles.reader import read_manifest_of
        from albench.reports import load

        manifest, found = read_manifest_of(folder), load(folder)
    for line in _described(manifest):
        say(console, line)
    for group in found.groups:
        console.print()
        console.print(_methods(found, group.name, escape(f"{group.name}: {found.metric.title}")))
        say(console, f"under the same protocol: {_command(group.some_run.reader.config)}")
    say(console, "")
    say(console, f"albench report {name} writes tables and figures; --compare {name} sets these methods beside yours")


def verified_bundle(folder: Path) -> tuple[str, bool]:
    """A sentence about whether a bundle is unchanged since it was written, and whether it is."""
    from albench.bundles import read_bundle
    from albench.errors import StoreError, counted

    try:
        runs = read_bundle(folder).runs
    except StoreError as error:
        return str(error), False
    return f"a bundle of {counted(len(runs), 'run')}, as albench wrote it", True


def _listed(published: dict[str, Path]) -> Table:
    """A row for each of the published results. Raises StoreError if one is damaged."""
    from rich.markup import escape

    from albench.bundles.reader import read_manifest_of
    from albench.console import new_table

    table = new_table("name", "dataset", "methods", "seeds", "date", "hardware", "commit", numbers=("methods", "seeds"))
    for name, folder in published.items():
        manifest = read_manifest_of(folder)
        seeds = {run.seed for _, run in manifest.runs}
        cells = (
            name,
            ", ".join(dict.fromkeys(method.dataset for method in manifest.methods)),
            str(len({method.label for method in manifest.methods})),
            str(len(seeds)),
            manifest.made,
            ", ".join(manifest.hardware),
            ", ".join(commit[:8] for commit in manifest.commits) or "unknown",
        )
        table.add_row(*map(escape, cells))
    return table


def _described(manifest: BundleManifest) -> list[str]:
    """What a bundle tells of itself, line by line."""
    from albench.errors import counted, few
    from albench.settings import as_setting

    runs = [run for _, run in manifest.runs]
    versions = {f"albench {run.albench}": None for run in runs}
    versions |= {
        f"torch {process.environment.packages['torch']}": None
        for processes in manifest.environments
        for process in processes
        if "torch" in process.environment.packages
    }
    facts = {
        "Suite": f"{manifest.suite} ({manifest.digest})" if manifest.suite else "",
        "The suite says of itself": manifest.about,  # its runs may be fewer
        "Date": manifest.made,
        "Command": few(manifest.commands),
        "Commit": ", ".join(manifest.commits) or "unknown",
        "Hardware": ", ".join(manifest.hardware),
        "Versions": ", ".join(versions),
        "Seeds": ", ".join(map(str, sorted({run.seed for run in runs}))),
        "Runs": f"{counted(len(runs), 'run')}, {len(manifest.left_out)} left out",
        "License": f"numbers: {manifest.license}; data: {manifest.data_license}",
    }
    lines = [manifest.name, ""]
    lines += [f"{title}: {value}" for title, value in facts.items() if value]
    for number, settings in enumerate(manifest.settings, 1):
        which = f" {number}" if len(manifest.settings) > 1 else ""
        for section in ("protocol", "training"):
            own = settings[section]
            assert isinstance(own, dict)
            shown = ", ".join(f"{key}={as_setting(value)}" for key, value in own.items() if value is not None)
            lines.append(f"{section.capitalize()}{which}: {shown}")
    return lines


def _methods(found: Results, group: str, title: str) -> Table:
    """A row per method of a group: options, seeds, and what it reached."""
    import pandas as pd
    from rich.markup import escape

    from albench.changed_options import changed_options
    from albench.console import new_table
    from albench.settings import as_setting

    of_group = found.group(group)
    efficiency = found.efficiency().query("group == @group").set_index("label")
    table = new_table("method", "changed options", "runs", "AUBC", "last round", title=title, numbers=("runs",))
    for label in of_group.best_first:
        numbers, runs = efficiency.loc[label], of_group.methods[label]
        values = [
            found.metric.text(numbers[column]) + ("" if pd.isna(sd := numbers[f"{column}_sd"]) else f" ± {sd:.3f}")
            for column in ("aubc", "final")
        ]
        options = ", ".join(
            f"{key.partition('.')[2]}={as_setting(value)}"
            for key, value in changed_options(runs[0].reader.config).items()
            if key.startswith("strategy.")
        )
        table.add_row(*map(escape, (label, options, str(len(runs)), *values)))
    return table


def _command(config: RunConfig) -> str:
    """The command line that runs another strategy with the settings of a run."""
    from albench.changed_options import changed_options
    from albench.registry import DEFAULT_NETWORK
    from albench.settings import as_setting

    words = ["albench", "run", "--strategy", "STRATEGY", "--dataset", config.dataset.name, "--seed", "SEED"]
    if config.network.name != DEFAULT_NETWORK:
        words += ["--network", config.network.name]
    for name, value in changed_options(config).items():
        if not name.startswith("strategy."):
            words += ["--set", f"{name}={as_setting(value)}"]
    return shlex.join(words)
