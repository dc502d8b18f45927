"""A simulated GPU for tests on machines without one, as a plugin of pytest: `make test-gpu`.

Its tensors report the device `cuda:0` and store their values on the CPU. As on a GPU, operations that mix them with CPU
tensors and conversions to arrays fail, autocast applies, and backward passes run. Rounding is that of the CPU, speed is
lower, and memory is unlimited. On a machine with a GPU, the tests use the GPU.
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

_PROBE = "import torch; print(torch.cuda.is_available(), torch.__path__[0])"


def _driver(torch: Path) -> None:
    """Build and load the hooks that torch's engine needs of a device, before torch itself, which is in a folder."""
    assert "torch" not in sys.modules
    compiler, source, libraries = os.environ.get("CXX", "c++"), Path(__file__).with_name("driver.cpp"), torch / "lib"
    flags = ["-std=c++20", "-shared", "-fPIC", f"-I{torch}/include"]
    links = [f"-L{libraries}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{libraries}"]
    with tempfile.TemporaryDirectory() as folder:
        built = f"{folder}/driver.so"
        subprocess.run([compiler, *flags, str(source), "-o", built, *links], check=True)
        ctypes.CDLL(built, mode=ctypes.RTLD_GLOBAL)


_available, _torch = subprocess.check_output([sys.executable, "-c", _PROBE], text=True).split(maxsplit=1)
_REAL = _available == "True"
if not _REAL:
    _driver(Path(_torch.strip()))


@pytest.fixture
def gpu() -> Iterator[object]:
    """A CUDA device, simulated on a machine without one."""
    import torch

    from support.simulated_gpu.device import simulated

    if _REAL:
        yield torch.device("cuda")
    else:
        with simulated() as device:
            yield device
