"""A machine that fails once a round is finished: a function of albench or torch then raises what a machine does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from albench.runs import RunReader, find_runs
from albench.runs.store import RunStore

OUT_OF_MEMORY = (  # as torch 2.13 says it
    "CUDA out of memory. Tried to allocate 876.00 MiB. GPU 0 has a total capacity of 23.68 GiB of which 251.06 MiB is "
    "free. Process 2612 has 458.00 MiB memory in use. Process 2613 has 1.20 GiB memory in use. Including non-PyTorch "
    "memory, this process has 22.98 GiB memory in use. Of the allocated memory 22.65 GiB is allocated by PyTorch, and "
    "77.68 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management "
    " (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
)
DETAILS = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\nDevice-side assertions were explicitly omitted "
    "for this error check; the error probably arose while initializing the DSA handlers."
)


def out_of_memory() -> Exception:
    """What torch raises if the memory of a GPU does not suffice."""
    return torch.cuda.OutOfMemoryError(OUT_OF_MEMORY)


def stopped(reason: str = "uncorrectable ECC error encountered") -> Exception:
    """What torch raises if a GPU stops; a RuntimeError before torch 2.8."""
    return getattr(torch, "AcceleratorError", RuntimeError)(f"CUDA error: {reason}{DETAILS}")


def break_after_round_0(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, error: Exception) -> None:
    """Let a function raise an error as soon as a round is finished."""
    append, usual = RunStore.append, getattr(owner, name)
    finished = []

    def watched(store: RunStore, *arguments: Any) -> None:
        append(store, *arguments)
        finished.append(len(store.records))

    def broken(*arguments: Any, **options: Any) -> object:
        if finished:
            raise error
        return usual(*arguments, **options)

    monkeypatch.setattr(RunStore, "append", watched)
    monkeypatch.setattr(owner, name, broken)


def left_by(root: Path) -> tuple[dict[str, bytes], list[dict[str, object]]]:
    """What the only run below `root` leaves and a repetition must equal: its files but for times, and its records."""
    (run,) = find_runs(root)
    return files_of(run), [record.results() for record in run.records]


def files_of(run: RunReader) -> dict[str, bytes]:
    """{path in the folder of a run: content} of settings, split, scores, and of all rounds without weights."""
    files = [run.layout.config, run.layout.split, run.layout.scores, *(run.folder / "rounds").rglob("*.json")]
    files += (run.folder / "rounds").rglob("*.npz")
    return {str(file.relative_to(run.folder)): file.read_bytes() for file in files}
