"""How long training steps take under several rules of waiting, on an idle machine and on a busy one.

    python docs/studies/waiting_threads.py > waiting-threads.csv

Every process trains the phantom's network with two threads. The rules take turns, on an idle machine and beside as many
busy processes as the machine has cores. About five minutes on two cores.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from contextlib import ExitStack

from albench.machine import WAITING, usable_cores

RULES = {
    "default": {},
    "active": {"OMP_WAIT_POLICY": "ACTIVE"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "passive, 1,000 spins": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"},
    "passive, 10,000 spins": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"},
    "passive, 100,000 spins": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "100000"},
}
REPEATS = 3
STEPS = 12

_STEPS = """
import os, sys, time
import torch
from albench.network import Task
from albench.resolve import resolve
torch.set_num_threads(2)
resolved = resolve("random", "phantom")
images = torch.randn(16, 1, 96, 96)
network = Task(1, (96, 96), resolved.network).build()
adam = torch.optim.Adam(network.parameters())
def step():
    adam.zero_grad()
    network(images).square().mean().backward()
    adam.step()
step()
start, before = time.perf_counter(), sum(os.times()[:2])
for _ in range(int(sys.argv[1])):
    step()
print(time.perf_counter() - start, sum(os.times()[:2]) - before)
"""


def main() -> None:
    """Print a row per measurement."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["busy processes", "rule", "repetition", "seconds per step", "cpu seconds per step"])
    clean = {name: value for name, value in os.environ.items() if name not in WAITING}
    for busy in (0, usable_cores()):
        with ExitStack() as stack:
            for _ in range(busy):
                process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                stack.callback(process.kill)
            for repetition in range(REPEATS):
                for rule, variables in RULES.items():
                    command = [sys.executable, "-c", _STEPS, str(STEPS)]
                    out = subprocess.run(command, env=clean | variables, capture_output=True, text=True, check=True)
                    wall, cpu = (float(value) / STEPS for value in out.stdout.split()[-2:])
                    writer.writerow([busy, rule, repetition, f"{wall:.4f}", f"{cpu:.4f}"])
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
