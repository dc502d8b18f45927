import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.samples import tiny_arguments

from albench.machine import peak_memory, usable_cores
from albench.runs import find_runs
from albench.training.device import default_threads

_POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_PEAK = """
from albench.machine import peak_memory, usable_cores
from albench.runs import find_runs
from albench.training.device import default_threads
taken = bytearray(100 << 20)
del taken
print(peak_memory())
"""


@pytest.mark.slow
def test_the_peak_memory_is_that_of_the_process_and_not_of_the_one_that_started_it():
    ballast = np.ones(125_000_000)  # more than a process with torch for a GPU, whose libraries take 650 MB
    assert peak_memory() > ballast.nbytes
    found = int(subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True).stdout)
    assert 100 << 20 < found < ballast.nbytes - (50 << 20)


_POLICY = """
import os, sys
from albench.cli.main import main
try:
    main()
finally:
    print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "PASSIVE 10000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "1000"}, "None 1000"),
        ({"KMP_BLOCKTIME": "0"}, "None None"),
    ],
)
def test_waiting_threads_of_the_command_line_sleep_soon_unless_the_user_decides_otherwise(given, found):
    clean = {name: value for name, value in os.environ.items() if name not in _POLICIES}
    command = [sys.executable, "-c", _POLICY, "--version"]
    out = subprocess.run(command, env=clean | given, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == f"{found} False"  # set before torch is imported, which reads it once


_FROM_PYTHON = """
import os
import albench
from albench.errors import AlbenchError
{before}
try:
    {call}
except AlbenchError:
    pass
print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["albench.run('random', 'missing')", "albench.bench('missing')"])
@pytest.mark.parametrize(("before", "found"), [("", "PASSIVE 10000"), ("import torch", "None None")])
def test_waiting_threads_of_a_notebook_sleep_soon_unless_torch_has_read_how_they_wait(call, before, found):
    clean = {name: value for name, value in os.environ.items() if name not in _POLICIES}
    command = [sys.executable, "-c", _FROM_PYTHON.format(call=call, before=before)]
    assert subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout == f"{found}\n"


@pytest.fixture
def of_8_cores(tmp_path, monkeypatch):
    """Usable cores of a process that may run on 8, with these files and variables."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)

    def call(files, **environment):
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)
        return usable_cores(tmp_path, environment)

    return call


V2, V1 = "0::/job/step\n", "3:cpuset:/\n2:cpu,cpuacct:/job/step\n1:name=systemd:/\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        (V2, {}, 8),
        (V2, {"job/step/cpu.max": "max 100000\n"}, 8),
        (V2, {"job/step/cpu.max": "300000 100000\n"}, 3),
        (V2, {"job/step/cpu.max": "350000 100000\n", "cpu.max": "max 100000"}, 3),
        (V2, {"job/step/cpu.max": "400000 100000\n", "job/cpu.max": "100000 50000\n"}, 2),
        (V2, {"cpu.max": "50000 100000\n"}, 1),  # a container that does not see the groups outside
        (V2, {"job/step/cpu.max": "6400000 100000\n"}, 8),
        (V2, {"job/step/cpu.max": "nonsense"}, 8),
        (V1, {}, 8),
        (V1, {"cpu/job/step/cpu.cfs_quota_us": "-1\n", "cpu/job/step/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu/job/step/cpu.cfs_quota_us": "300000\n", "cpu/job/step/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/job/cpu.cfs_quota_us": "200000\n"}, 8),
        (V1, {"cpu/job/cpu.cfs_quota_us": "200000\n", "cpu/job/cpu.cfs_period_us": "0\n"}, 8),
    ],
)
def test_quotas_of_control_groups_limit_the_usable_cores(of_8_cores, groups, files, cores):
    assert (
        of_8_cores({"proc/self/cgroup": groups} | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
        == cores
    )


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({}, 8),
        ({"SLURM_CPUS_PER_TASK": "4"}, 4),
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "6"}, 4),
        ({"SLURM_CPUS_ON_NODE": "6"}, 6),
        ({"SLURM_CPUS_PER_TASK": "64"}, 8),
        ({"SLURM_CPUS_PER_TASK": "0"}, 1),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "2(x2)"}, 8),
    ],
)
def test_a_slurm_job_limits_the_usable_cores(of_8_cores, environment, cores):
    assert of_8_cores({}, **environment) == cores


def test_the_smallest_limit_counts(of_8_cores):
    files = {"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "500000 100000"}
    assert of_8_cores(files, SLURM_CPUS_ON_NODE="3") == 3
    assert of_8_cores(files, SLURM_CPUS_ON_NODE="7") == 5


@pytest.mark.parametrize(("default", "threads"), [(4, 3), (2, 2)])
def test_a_run_of_the_command_line_takes_at_most_the_usable_cores(default, threads, monkeypatch):
    monkeypatch.setattr("albench.training.device.usable_cores", lambda: 3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(default)
        assert default_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_a_run_in_a_slurm_job_takes_the_cores_of_the_job(tmp_path):
    words = ("--strategy", "random", "--dataset", "phantom", "--out", str(tmp_path), "--set", "protocol.rounds=0")
    arguments = tiny_arguments(*words)
    at = arguments.index("--threads")
    command = [sys.executable, "-m", "albench", "run", *arguments[:at], *arguments[at + 2 :]]
    subprocess.run(command, env=os.environ | {"SLURM_CPUS_PER_TASK": "1"}, capture_output=True, check=True)
    (run,) = find_runs(tmp_path)
    assert {record.cost.threads for record in run.records} == {1}
