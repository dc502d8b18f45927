"""A pretended GPU, for testing on machines that have none: `make test-gpu`.

Its tensors say that they are on `cuda:0` and hold their values on the CPU. As on a GPU, they refuse to meet tensors of
the CPU and to become arrays, autocast applies, and backward passes run. It rounds as a CPU does, is slower than one,
and never runs out of memory. Where there is a GPU, this plugin of pytest gives the tests that one.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_ASK = "import torch; print(torch.cuda.is_available(), torch.__path__[0])"


def _driver(torch: Path) -> None:
    """Build and load what torch's engine asks of a device. torch, installed in a folder, must not be loaded before."""
    assert "torch" not in sys.modules
    compiler, source, libraries = os.environ.get("CXX", "c++"), Path(__file__).with_name("driver.cpp"), torch / "lib"
    flags = ["-std=c++20", "-shared", "-fPIC", f"-I{torch}/include"]
    links = [f"-L{libraries}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{libraries}"]
    with tempfile.TemporaryDirectory() as folder:
        built = f"{folder}/driver.so"
        subprocess.run([compiler, *flags, str(source), "-o", built, *links], check=True)
        ctypes.CDLL(built, mode=ctypes.RTLD_GLOBAL)


_there_is_one, _torch = subprocess.check_output([sys.executable, "-c", _ASK], text=True).split(maxsplit=1)
_REAL = _there_is_one == "True"
if not _REAL:
    _driver(Path(_torch.strip()))


@pytest.fixture
def gpu() -> Iterator[object]:
    """A CUDA device, pretended if there is none."""
    import torch

    from support.pretended_gpu.device import pretending

    if _REAL:
        yield torch.device("cuda")
    else:
        with pretending() as device:
            yield device
