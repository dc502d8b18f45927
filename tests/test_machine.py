import os
import subprocess
import sys

import numpy as np
import pytest

from albench.machine import peak_memory

_POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_PEAK = """
from albench.machine import peak_memory
taken = bytearray(100 << 20)
del taken
print(peak_memory())
"""


def test_the_peak_memory_is_that_of_the_process_and_not_of_the_one_that_started_it():
    ballast = np.ones(50_000_000)
    assert peak_memory() > ballast.nbytes
    found = int(subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True).stdout)
    assert 100 << 20 < found < ballast.nbytes - (50 << 20)


_POLICY = """
import os, sys
from albench.cli.main import main
try:
    main()
finally:
    print(os.environ.get("OMP_WAIT_POLICY"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"), ({"GOMP_SPINCOUNT": "1000"}, "None")],
)
def test_waiting_threads_of_the_command_line_sleep_unless_the_user_decides_otherwise(given, found):
    clean = {name: value for name, value in os.environ.items() if name not in _POLICIES}
    command = [sys.executable, "-c", _POLICY, "--version"]
    out = subprocess.run(command, env=clean | given, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == f"{found} False"  # set before torch is imported, which reads it once
