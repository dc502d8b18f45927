import subprocess
import sys

import numpy as np

from albench.machine import peak_memory

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
