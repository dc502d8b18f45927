"""Errors of the machine, not of the code: memory that does not suffice, and a GPU that stops.

torch, the libraries of a GPU, its driver and the operating system report them in types and words of their own, a GPU
often later and elsewhere than where it stopped. Here they become one sentence. Every other error stays what it is.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from albench.errors import MachineError

_CONTINUES = "run the same command again, which continues after the last finished round"

_DRIVER = "(?:CUDA|HIP)(?: driver)? error: "
_GPU_MEMORY = re.compile(rf"(?:{_DRIVER}|CUDA |HIP )out of memory|\w+_ALLOC_FAILED|DEVICE_ALLOCATION_FAILED")
_MEMORY = re.compile(r"DefaultCPUAllocator|Cannot allocate memory")
_STOPS = (  # what a driver says after which a process cannot use the GPU any more, and not of a call that is wrong
    *("unspecified launch failure", "unknown error", "device-side assert", "the launch timed out"),
    *("uncorrectable (?:ECC|NVLink) error", "hardware stack error", "an illegal memory access"),
    *("an illegal instruction", "misaligned address", "invalid program counter", "context is destroyed"),
    *("driver shutting down", "initialization error", "system not yet initialized", "no (?:CUDA|ROCm)-capable device"),
    r"(?:all )?CUDA-capable device(?:s |\(s\) is/)are busy or unavailable",
)
_STATUS = r"CU(?:BLAS|DNN|SOLVER|SPARSE)_STATUS_(?:NOT_INITIALIZED|EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR)"
_ABSENT = "CUDA unknown error|CUDA driver initialization failed|No (?:CUDA|HIP) GPUs are available"
_STOPPED = re.compile(rf"(?:{_DRIVER}(?:{'|'.join(_STOPS)})|{_STATUS}|{_ABSENT})\w*(?: (?!when)\w+)*")
_NUMBERS = {  # in torch's message, which lists them only as far as the driver tells
    r"Tried to allocate ([\d.]+ \w+)": "it asked for {}",
    r"total capaci?ty of ([\d.]+ \w+) of which ([\d.]+ \w+) is free": "{1} of {0} are free",
    r"this process has ([\d.]+ \w+) memory in use": "this process holds {}",
    r"Process (\d+) has ([\d.]+ \w+) memory in use": "process {} holds {}",
}


@contextmanager
def translate_machine_errors(where: str = "") -> Iterator[None]:
    """Turn errors of the machine into a MachineError.

    Args:
        where: what the block does, such as `in query of round 3`.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        sentence = _sentence(error, f"{where} it".lstrip())
        if sentence is None:
            raise
        raise MachineError(sentence) from error


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether a GPU had no memory left, which it reports to torch or to one of its libraries."""
    return type(error).__name__ == "OutOfMemoryError" or bool(_GPU_MEMORY.search(str(error)))


def has_stopped(error: BaseException) -> bool:
    """Whether the error says that a GPU has stopped."""
    return bool(_STOPPED.search(str(error)))


def _sentence(error: BaseException, it: str) -> str | None:
    """What happened and what to do; None if the machine is not the cause."""
    text = str(error)
    if is_out_of_gpu_memory(error):
        return (
            f"a run must fit into the memory of the GPU, {it} does not ({_numbers(text)}): end other processes on the "
            f"GPU, or let fewer runs share it (--gpus-per-run), and {_CONTINUES}; a smaller training.batch_size needs "
            "less memory, but is another run with other results"
        )
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or _MEMORY.search(text):
        told = _first_line(text).rpartition("DefaultCPUAllocator: ")[2]
        return (
            f"a run must fit into the memory of the machine, {it} does not ({told or 'MemoryError'}): end "
            f"other processes, or do fewer runs at once (--jobs), and {_CONTINUES}"
        )
    found = _STOPPED.search(text)
    if found:
        return (
            f"a GPU must work until a run ends, {it} stopped with '{found[0]}': {_CONTINUES}; if it stops again, check "
            "the GPU with nvidia-smi, and the code of the strategy and the network with --device cpu in another --out"
        )
    return None


def _numbers(text: str) -> str:
    """What torch says about the memory of a GPU, in short; its first line if there are no numbers."""
    found = [said.format(*match.groups()) for how, said in _NUMBERS.items() for match in re.finditer(how, text)]
    return ", ".join(found) or _first_line(text)


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip(" .")
