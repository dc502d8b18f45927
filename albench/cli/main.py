"""The command line. Commands import what they need when they are called, so that the help is fast."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from albench import __version__
from albench.cli.annotate import annotate
from albench.cli.audit import audit
from albench.cli.bench import PanelCommand, bench
from albench.cli.data import data
from albench.cli.options import DataRoot, Dataset, Device, Network, Seed, Settings, Strategy, Threads
from albench.cli.queries import queries
from albench.cli.report import report
from albench.cli.results import results
from albench.cli.tune import tune
from albench.errors import AlbenchError
from albench.exits import rejecting_exits
from albench.interruption import stop, stoppable, was_stopped
from albench.machine import wait_passively
from albench.machine_errors import translate_machine_errors
from albench.registry import DEFAULT_NETWORK

if TYPE_CHECKING:
    from rich.console import Console

    from albench.testing import Check


class _Commands(TyperGroup):
    """Report an error that a user can fix, Ctrl-C or SIGTERM in one sentence and with an exit code."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer vendors its base class
        try:
            with translate_machine_errors(), rejecting_exits("a plugin"):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(stop()) from None
        except Exception as error:
            if was_stopped():
                raise typer.Exit(stop()) from None
            if not isinstance(error, AlbenchError):
                raise
            print(f"albench: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(2) from None


app = typer.Typer(
    cls=_Commands,
    help="Which slices of 3D medical images should be annotated next? A benchmark of active learning.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes as long to import as all else together
    pretty_exceptions_enable=False,
)


class Listing(str, Enum):
    """Argument of `albench list`."""

    strategies = "strategies"
    datasets = "datasets"
    networks = "networks"
    suites = "suites"


class PluginKind(str, Enum):
    """Argument of `albench new`."""

    strategy = "strategy"
    dataset = "dataset"
    network = "network"


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Which slices of 3D medical images should be annotated next? A benchmark of active learning."""
    if show:
        print(f"albench {__version__}")
        raise typer.Exit


@app.command()
def run(
    strategy: Strategy,
    dataset: Dataset,
    network: Network = DEFAULT_NETWORK,
    seed: Seed = 0,
    data_root: DataRoot = None,
    assignments: Settings = None,
    tuned: Annotated[Path | None, typer.Option(help="File of albench tune with options of the strategy.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    device: Device = "auto",
    threads: Threads = None,
    keep_weights: Annotated[bool, typer.Option(help="Keep the weights of every round.")] = False,
    share: Annotated[bool, typer.Option(help="Reuse round 0 of another run in --out with the same training.")] = True,
    graphs: Annotated[bool, typer.Option(help="Replay training passes as CUDA graphs, on a GPU.")] = True,
    accept_code_change: Annotated[
        bool, typer.Option("--accept-code-change", help="Continue a run that other code has written.")
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Ask every query again without the masks not bought; end if it looked.")
    ] = False,
) -> None:
    """Run one strategy on one dataset with one seed. The same command continues an interrupted run."""
    from rich.markup import escape

    from albench.console import bar, say, starting

    console = _console()
    with starting(console):
        from albench.cli.changed_settings import changed_settings
        from albench.cli.run_progress import LineProgress, LiveProgress, curve
        from albench.combinations import check_one_split
        from albench.loop import Execution
        from albench.loop import run as run_loop
        from albench.resolve import Datasets, resolve
        from albench.runs.failures import noting_failure
        from albench.runs.layout import run_folder
        from albench.settings import parse_settings
        from albench.training.device import choose_device, default_threads
        from albench.tuned_options import read_tuned

    settings = parse_settings(assignments, data_root)
    found = read_tuned(tuned) if tuned else None
    chosen = choose_device(device, threads or default_threads())
    execution = Execution(chosen, keep_weights, share, graphs, accept_code_change=accept_code_change, audit=audit)
    with bar(console, "preparing the data, once", before="looking at the files of the data") as show:
        resolved = resolve(
            strategy,
            dataset,
            network=network,
            seed=seed,
            settings=settings,
            progress=show,
            workers=None,
            tuned=found,
            datasets=Datasets(lambda text: say(console, text)),
        )
    check_one_split(resolved.config.protocol)
    heading = changed_settings(resolved, settings)
    shown = LiveProgress if console.is_terminal else LineProgress
    with noting_failure(run_folder(out, resolved.config)), shown(console, heading) as progress:
        done = run_loop(resolved, out, execution, progress)
    if len(done.records) == progress.before:
        console.print("this run is already finished", highlight=False)
    console.print(curve(done.records, escape(f"{done.config.strategy.name} on {done.config.title}, seed {seed}")))
    say(console, f"records: {done.folder}")


@app.command("list")
def list_available(
    what: Annotated[Listing, typer.Argument(help="strategies, datasets, networks or suites.")],
) -> None:
    """List strategies, datasets, networks or suites. Installed plugins are included.

    Strategies are grouped by kind; predictions are those of every unlabeled slice in a query, see albench show.
    """
    from albench.console import new_table

    with _starting():
        from albench.cli.catalog import COLUMNS, PREDICTIONS, rows
        from albench.cli.suites import suite_table

        if what is Listing.suites:
            table = suite_table()
        else:
            group = f"albench.{what.value}"
            table = new_table(*COLUMNS[group], numbers=(PREDICTIONS,))
            for cells in rows(group):
                table.add_row(*cells)
    _console().print(table)


@app.command("check-strategy")
def check_strategy(
    strategy: Annotated[str, typer.Argument(help="A name, FILE.py:Class or module:Class.")],
    assignments: Annotated[list[str] | None, typer.Option("--set", help="An option: strategy.passes=5.")] = None,
) -> None:
    """Check a strategy against the rules of the benchmark. Exit code 1 if it breaks one."""
    with _starting():
        from albench.resolve import make_strategy
        from albench.settings import parse_settings
        from albench.testing import check_strategy

        made = make_strategy(strategy, parse_settings(assignments))
    _report_checks(check_strategy(made, _say))


@app.command("check-dataset")
def check_dataset(
    dataset: Annotated[str, typer.Argument(help="A name, FILE.py:Class or module:Class.")],
    assignments: Annotated[list[str] | None, typer.Option("--set", help="An option: data.root=FOLDER.")] = None,
) -> None:
    """Check a dataset against the rules of the benchmark. Exit code 1 if it breaks one."""
    with _starting():
        from albench.resolve import make_dataset
        from albench.settings import parse_settings
        from albench.testing import check_dataset

        made = make_dataset(dataset, parse_settings(assignments))
    _report_checks(check_dataset(made, _say))


@app.command("check-network")
def check_network(
    network: Annotated[str, typer.Argument(help="A name, FILE.py:Class or module:Class.")],
    assignments: Annotated[list[str] | None, typer.Option("--set", help="An option: network.dropout=0.2.")] = None,
) -> None:
    """Check a network against the rules of the benchmark. Exit code 1 if it breaks one; notes say what it lacks."""
    with _starting():
        from albench.config import build
        from albench.registry import NETWORKS, find
        from albench.settings import by_section, parse_settings
        from albench.testing import check_network, missing_parts

        made = build(find(NETWORKS, network), by_section(parse_settings(assignments))["network"], "network")
    checks = check_network(made, _say)
    for sentence in missing_parts(made) if checks[0].passed else ():
        print(f"note    {sentence}")
    _report_checks(checks)


@app.command()
def new(
    kind: Annotated[PluginKind, typer.Argument(help="strategy, dataset or network.")],
    name: Annotated[str, typer.Argument(help="Its name, such as my-idea.")],
    folder: Annotated[Path, typer.Option(help="Folder in which its folder is created.")] = Path(),
) -> None:
    """Write an installable package with a new plugin. It includes a test and a README."""
    from albench.cli.scaffold import new_package
    from albench.console import say

    with _starting():
        written = new_package(kind.value, name, folder)
    console = _console()
    for path in written:
        say(console, f"wrote {path}")
    say(console, f"next: pip install --editable {folder / name}")


@app.command()
def show(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] NAME",
            help="A strategy, a dataset, a network, a suite, protocol, training, or one option: training.epochs. "
            "strategy, dataset, network or suite before it says which of several is meant.",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Show what this dataset makes of the defaults of protocol, training or residual.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of its data; short for --set data.root=...")] = None,
    assignments: Annotated[list[str] | None, typer.Option("--set", help="An option of it: 'data.labels=[1]'.")] = None,
) -> None:
    """Describe a plugin, a suite or settings. Source, options and defaults are included."""
    from albench.errors import ConfigError
    from albench.settings import parse_settings

    *kinds, name = words
    known = [kind.value for kind in PluginKind] + ["suite"]
    if len(kinds) > 1 or not {*kinds} <= {*known}:
        raise ConfigError(f"one name must be given, after one of {', '.join(known)} or alone, got '{' '.join(words)}'")
    settings = parse_settings(assignments, data_root)
    if dataset is None and settings:
        raise ConfigError("--set and --data-root must be of a dataset, none is named: name it with --dataset")
    with _starting():
        text = _described(kinds, name, dataset, settings)
    _console().print(text, markup=False, highlight=False)


def _described(kinds: list[str], name: str, dataset: str | None, settings: dict[str, object]) -> str:
    """The description of a plugin, a suite or settings. Raises ConfigError."""
    from albench.cli.catalog import describe, is_described, suited
    from albench.cli.suites import describe_suite, is_suite
    from albench.errors import ConfigError

    if kinds == ["suite"] or (not kinds and is_suite(name) and not is_described(name)):
        if dataset is not None:
            raise ConfigError(f"a suite has its own datasets, got --dataset {dataset} for '{name}': leave it out")
        return describe_suite(name)
    text = describe(name, None if dataset is None else suited(dataset, settings), *kinds)
    if not kinds and is_suite(name):
        text += f"\n\nA suite has this name, too: albench show suite {name}"
    return text


@app.command()
def status(out: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs")) -> None:
    """List runs with their progress and last Dice.

    Those of suites are listed by group, under the names that the file of the suite gives them now. Failed and damaged
    runs say why.
    """
    from rich.markup import escape

    from albench.cli.status import UNFINISHED, run_states
    from albench.console import new_table, say, waiting
    from albench.errors import counted

    console, tables = _console(), {}
    with waiting(console, f"reading the runs in {out}"):
        states, problems, notes = run_states(out)
    for state in states:
        if state.title not in tables:
            heads = ("strategy", "run", "rounds", "state", "labeled", "slice\nDice", "volume\nDice")
            tables[state.title] = new_table(*heads, title=escape(state.title))
        tables[state.title].add_row(*map(escape, state.cells()))
    for table in tables.values():
        console.print(table)
    if any(state.unfinished for state in states):
        say(
            console,
            f"{UNFINISHED} still improving at the last allowed epoch of its last training: raise training.epochs",
        )
    for state in states:
        if state.failure:
            after = f"{state.done} of {state.rounds} rounds" if state.rounds else counted(state.done, "round")
            which = f"failed: {state.strategy}, {state.run}, after {after}"
            say(console, f"{which}: {state.failure}")
    for problem in problems:
        say(console, f"damaged: {problem}")
    for note in notes:
        say(console, note)
    if not tables:
        say(console, f"no runs in {out}")


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A run, a suite, a folder of runs or a bundle.")] = Path("runs"),
) -> None:
    """Check that runs are unchanged since they were written. Exit code 1 if one is changed or damaged."""
    from albench import runs
    from albench.bundles import is_bundle
    from albench.cli.results import verified_bundle
    from albench.cli.status import manifests_in
    from albench.console import waiting
    from albench.runs.discovery import discover

    if is_bundle(folder):
        said, sound = verified_bundle(folder)
        print(said)
        raise typer.Exit(0 if sound else 1)
    with waiting(_console(), f"reading every file of the runs in {folder}"):
        below = discover(folder)
        found = {run.folder: runs.verify(run) for run in below.runs}
    _, sentences = manifests_in(below.suites)
    sentences += [damage.sentence for damages in found.values() for damage in damages]
    for sentence in sentences:
        print(sentence)
    print(f"{sum(not damages for damages in found.values())} of {len(found)} runs are as albench wrote them")
    if sentences:
        raise typer.Exit(1)


app.command(cls=PanelCommand)(bench)
app.command()(tune)
app.command()(audit)
app.command()(queries)
app.command()(report)
app.command()(results)
app.add_typer(data)
app.add_typer(annotate)


def main() -> None:
    """Call a command: an error that a user can fix is one sentence on standard error and exit code 2."""
    wait_passively()
    with stoppable():
        app()


def _say(check: Check) -> None:
    print(f"ok      {check.rule}" if check.passed else f"FAILED  {check.rule}: {check.problem}", flush=True)


def _report_checks(checks: list[Check]) -> None:
    failed = sum(not check.passed for check in checks)
    print(f"{len(checks) - failed} of {len(checks)} checks passed")
    if failed:
        raise typer.Exit(1)


def _console() -> Console:
    from albench.console import terminal

    return terminal()


def _starting() -> AbstractContextManager[object]:
    """Say that plugins are imported, and with them torch and MONAI, if that takes long."""
    from albench.console import messages, starting

    return starting(messages(_console()))
