"""The commands `albench annotate ...`: which slices of one's own volumes people should draw, round by round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albench.cli.options import Device, Network, Seed, Settings, Strategy, Threads
from albench.registry import DEFAULT_NETWORK

if TYPE_CHECKING:
    from rich.console import Console

    from albench.annotation.project import Project
    from albench.annotation.returned import Rules
    from albench.annotation.rounds import Computing, Worklist

annotate = typer.Typer(
    name="annotate",
    help="Ask people to draw slices of your own volumes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Raters(str, Enum):
    """How the masks of several annotators become one."""

    majority = "majority"
    any = "any"
    all = "all"
    first = "first"


class MaskGrid(str, Enum):
    """Where the voxels of a label file are."""

    own = "own"
    image = "image"


_Project = Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")]
_Budget = Annotated[int | None, typer.Option(min=1, help="Slices of a worklist; short for --set protocol.budget=...")]
_Prefill = Annotated[bool, typer.Option("--prefill", help="Hand out slices with the prediction of the network.")]
_From = Annotated[
    Path | None, typer.Option("--from", help="Folder where the files were saved, if they were not edited in place.")
]
_EmptyIsDone = Annotated[
    bool, typer.Option("--empty-is-done", help="Slices that come back as they were handed out are done.")
]
_MaskGrid = Annotated[
    MaskGrid, typer.Option(help="own: voxels lie where the header says; image: in the order of the image's.")
]
_Raters = Annotated[Raters | None, typer.Option(help="How the files of several annotators of a volume become one.")]


@annotate.command("new")
def new_project(
    project: _Project,
    images: Annotated[Path, typer.Option(help="Folder of the volumes, NIfTI.")],
    strategy: Strategy,
    labels: Annotated[Path | None, typer.Option(help="Folder of masks, named as their volumes.")] = None,
    network: Network = DEFAULT_NETWORK,
    budget: _Budget = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="A volume with a whole mask, for validation. May be repeated.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="A volume with a whole mask, for the test metrics. May be repeated.")
    ] = None,
    seed: Seed = 0,
    name: Annotated[
        str | None, typer.Option(help="Of the volumes; random draws depend on it. By default the folder's.")
    ] = None,
    assignments: Settings = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Make a project and its first worklist."""
    with _computing(device, threads) as (computing, console):
        from albench.annotation import rounds

        settings = _settings(assignments, budget)
        made = rounds.new(
            project,
            images,
            computing,
            strategy=strategy,
            labels=labels,
            network=network,
            seed=seed,
            settings=settings,
            name=name,
            validation=validation or (),
            test=test or (),
        )
    _tell(project, made, console, begun=False)


@annotate.command("next")
def next_worklist(
    project: _Project,
    returned: _From = None,
    empty_is_done: _EmptyIsDone = False,
    leave_open: Annotated[
        bool, typer.Option("--leave-open", help="Go on though some slices are not drawn; others may be asked for.")
    ] = False,
    raters: _Raters = None,
    mask_grid: _MaskGrid = MaskGrid.own,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Minutes that drawing this worklist took; see albench annotate status.")
    ] = None,
    prefill: _Prefill = False,
    strategy: Annotated[str | None, typer.Option(help="Another strategy from now on.")] = None,
    network: Annotated[str | None, typer.Option(help="Another network from now on.")] = None,
    budget: _Budget = None,
    assignments: Settings = None,
    device: Device = "auto",
    threads: Threads = None,
    accept_code_change: Annotated[
        bool, typer.Option("--accept-code-change", help="Go on with a project that other code has written.")
    ] = False,
) -> None:
    """Read what was drawn, train, and write the next worklist.

    The exit code is 1 if there is more to draw or to mend first.
    """
    from albench.annotation.project import Project

    rules, before = _Reading(empty_is_done, mask_grid, raters), Project.open(project).rounds
    with _computing(device, threads, rules, before, accept_code_change=accept_code_change) as (computing, console):
        from albench.annotation import rounds

        worklist = rounds.next_round(
            project,
            computing,
            strategy=strategy,
            network=network,
            settings=_settings(assignments, budget),
            returned=returned,
            leave_open=leave_open,
            prefill=prefill,
            minutes=minutes,
        )
    stays = worklist.round == before and not worklist.finished
    _tell(project, worklist, console, begun=stays)
    if stays:
        raise typer.Exit(1)


@annotate.command("status")
def project_status(
    project: _Project,
    returned: _From = None,
    empty_is_done: _EmptyIsDone = False,
    raters: _Raters = None,
    mask_grid: _MaskGrid = MaskGrid.own,
) -> None:
    """Print the rounds of a project, and what is left to draw. Nothing is trained."""
    with _computing("cpu", None, _Reading(empty_is_done, mask_grid, raters)) as (computing, console):
        from albench.annotation import rounds
        from albench.annotation.project import Project

        opened = Project.open(project)
        _print_rounds(opened, console)
        worklist = rounds.status(project, computing, returned)
    _tell(project, worklist, console, begun=bool(worklist.drawn))


@annotate.command("segment")
def segment_volumes(
    project: _Project,
    out: Annotated[Path, typer.Option(help="Folder for the segmentations, of which none is overwritten.")],
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Segment all volumes with the network of the last round. A map of uncertainty is written beside each."""
    with _computing(device, threads) as (computing, console):
        from albench.annotation import rounds
        from albench.console import say
        from albench.errors import counted

        done = 0
        for certainty in rounds.segment(project, out, computing):
            done += 1
            say(console, f"segmented {certainty.case}")
    for line in (
        f"wrote {counted(done, 'segmentation')} to {out / 'segmentations'}, each with a map in {out / 'uncertainty'}",
        f"look first at the volumes on top of {out / 'least-certain.csv'}",
    ):
        say(console, line)


@dataclass(frozen=True)
class _Reading:
    """What the command line says about reading label files."""

    empty_is_done: bool = False
    mask_grid: MaskGrid = MaskGrid.own
    raters: Raters | None = None

    def rules(self, classes: tuple[str, ...]) -> Rules:
        """As rules for the classes of a dataset."""
        from albench.annotation.returned import Rules

        rules = Rules(classes, self.empty_is_done, self.mask_grid.value)
        return rules if self.raters is None else replace(rules, raters=self.raters.value)


def _settings(assignments: Sequence[str] | None, budget: int | None) -> dict[str, object]:
    from albench.settings import parse_settings

    short = [] if budget is None else [f"protocol.budget={budget}"]
    return parse_settings([*short, *(assignments or [])])


@contextmanager
def _computing(
    device: str,
    threads: int | None,
    reading: _Reading | None = None,
    before: int = 0,
    *,
    accept_code_change: bool = False,
) -> Iterator[tuple[Computing, Console]]:
    """How a project with so many finished rounds is computed, and where its progress is told."""
    from albench.console import starting, terminal

    console = terminal()
    with starting(console):
        from albench.annotation.label_drawings import LabelDrawings
        from albench.annotation.rounds import Computing
        from albench.cli.project_progress import ProjectProgress
        from albench.loop import Execution
        from albench.training.device import choose_device, default_threads

    told = reading or _Reading()
    execution = Execution(choose_device(device, threads or default_threads()), accept_code_change=accept_code_change)
    with ProjectProgress(console, before) as progress:
        yield (
            Computing(
                execution,
                lambda dataset, prepared: LabelDrawings(dataset, prepared, told.rules(dataset.class_names)),
                progress,
                progress.on_volume,
                workers=None,
            ),
            console,
        )


def _tell(project: Path, worklist: Worklist, console: Console, *, begun: bool) -> None:
    """Print what is wrong, and what is to be done next.

    Args:
        begun: whether somebody may have begun to draw the worklist.
    """
    from albench.console import say
    from albench.errors import counted, few

    for sentence in worklist.told():
        say(console, sentence)
    segment = f"albench annotate segment {project} --out FOLDER"
    if worklist.finished:
        say(console, f"every slice is drawn: {segment}")
        return
    left = Counter(name.case for name in worklist.missing)
    volumes = few([f"{case} ({count})" for case, count in sorted(left.items())])
    if worklist.missing:
        done = len(worklist.asked) - len(worklist.missing)
        share = f" of {len(worklist.asked)}, {done} are done" if done else ""
        say(
            console,
            f"to draw: {counted(len(worklist.missing), 'slice')}{share}, in {counted(len(left), 'volume')}: {volumes}",
        )
        say(console, f"label files and list: {worklist.folder / 'worklist.html'}")
        if begun:
            say(
                console,
                "say --empty-is-done if slices as they were handed out are done, --leave-open to go on without them",
            )
    then = "when errors are mended" if worklist.faulty else "when they are drawn" if worklist.missing else "next"
    say(console, f"{then}: albench annotate next {project}")


def _print_rounds(project: Project, console: Console) -> None:
    """A table of the finished rounds, and what was changed between them."""
    from albench.console import decimal, new_table, say

    heads = ("round", "strategy", "labeled", "slice\nDice", "volume\nDice", "drawn in\nminutes")
    table, minutes, index = new_table(*heads, title="", numbers=[heads[0], *heads[2:]]), project.minutes, 0
    for stage, run in zip(project.record.stages, project.runs, strict=True):
        for record in run.records if run else ():
            metrics = record.val or record.test
            dice = map(decimal, (metrics.dice_slice, metrics.dice_volume))
            table.add_row(str(index), stage.strategy, str(record.labeled), *dice, decimal(minutes.get(index), 0))
            index += 1
    if index:
        console.print(table)
    if minutes:
        console.print(f"drawn in {sum(minutes.values()) / 60:.1f} hours", highlight=False)
    for change in project.changes():
        say(console, change)
