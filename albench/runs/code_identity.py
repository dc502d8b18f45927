"""Which code wrote a run: that of albench, and that of its strategy and network if they are plugins."""

from __future__ import annotations

from albench.errors import StoreError
from albench.plugin_source import PluginFiles
from albench.runs.reader import RunReader
from albench.runs.records import EnvironmentRecord, ProcessRecord
from albench.source import own_source

_REMEDY = "use that code, another --out, or --accept-code-change, which writes the change down"


def process_record(first: int, environment: EnvironmentRecord, plugins: PluginFiles) -> ProcessRecord:
    """What is written of this process, whose first round is `first`, with the code that it runs."""
    digests = {kind: {name: file.digest for name, file in files.items()} for kind, files in plugins.items()}
    return ProcessRecord(first, own_source(), environment, digests)


def check_code(run: RunReader, plugins: PluginFiles) -> None:
    """Check that the code that runs now wrote the last finished round of a run.

    A finished run is read by any code of albench, but other code of a plugin would have other results.

    Args:
        run: on disk.
        plugins: source of its strategy and network now, if they are plugins.

    Raises:
        StoreError: other code wrote it.
    """
    last = _last_process(run)
    if last is None:
        return
    if _other_albench(run, last):
        raise StoreError(
            f"a run must be continued by the code that wrote it, '{run.folder}' was written by albench's source "
            f"{last.code or 'unknown'} and this is {own_source()}: {_REMEDY}"
        )
    changed = _changed_files(last, plugins)
    if changed:
        raise StoreError(
            f"a run must be continued by the code that wrote it, the rounds up to {len(run.records) - 1} of "
            f"'{run.folder}' were made under other code of {', '.join(changed)}: {_REMEDY}"
        )


def changed_code(run: RunReader, plugins: PluginFiles) -> list[str]:
    """What of the code that wrote the last finished round of a run is another one now, as `check_code` finds it.

    Returns:
        `albench`, and the quoted files of plugins; empty if nothing is, or if no round is finished.

    Raises:
        StoreError: the run cannot be read.
    """
    last = _last_process(run)
    if last is None:
        return []
    return [*["albench"] * _other_albench(run, last), *_changed_files(last, plugins)]


def _last_process(run: RunReader) -> ProcessRecord | None:
    """The process that wrote the last finished round; None without one."""
    done = run.progress.done
    return [process for process in run.processes if process.round < done][-1] if done else None


def _other_albench(run: RunReader, last: ProcessRecord) -> bool:
    return last.code != own_source() and not run.finished


def _changed_files(process: ProcessRecord, plugins: PluginFiles) -> list[str]:
    """The files of plugins that differ from those of a process; by their names if they are there no more.

    Runs of albench up to 0.4.0 have digests of their texts, by which an edit of a comment is a change.
    """
    now = {(kind, name): file for kind, files in plugins.items() for name, file in files.items()}
    then = {(kind, name): digest for kind, files in process.plugins.items() for name, digest in files.items()}
    changed = [
        key
        for key in dict.fromkeys((*now, *then))
        if key not in now or then.get(key) not in (now[key].digest, now[key].text)
    ]
    return [f"'{now[key].path if key in now else key[1]}'" for key in changed]
