"""How Ray is started. Every test that does so has its own Ray processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from albench.benchmarks import ray_start
from albench.errors import ConfigError

_PROBE = """
import json, os, socket, sys, time
from pathlib import Path
from albench.machine import wait_passively
wait_passively()
from albench.benchmarks.ray_start import ray_started
import ray

def listening():
    sockets, found = {}, set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                sockets[f"socket:[{fields[9]}]"] = fields[1].split(":")[0]
    for process in Path("/proc").iterdir():
        try:
            if f"ALBENCH_PROBE={os.environ['ALBENCH_PROBE']}" in (process / "environ").read_text():
                for descriptor in (process / "fd").iterdir():
                    found.add(sockets.get(os.readlink(descriptor)))
        except (OSError, UnicodeDecodeError):
            continue
    return sorted(found - {None})

@ray.remote
def worker():
    return os.environ.get("OMP_WAIT_POLICY"), os.getcwd(), os.listdir(".")

with ray_started(None):
    policy, cwd, files = ray.get(worker.remote())
    print(json.dumps({
        "addresses": listening(), "policy": policy, "cwd": cwd, "files": files,
        "cpus": ray.nodes()[0]["Resources"]["CPU"],
        "logs": [str(path) for path in Path(cwd).parent.glob("session_*/logs") if not path.parent.is_symlink()],
    }), flush=True)
    if sys.argv[1:] == ["hang"]:
        time.sleep(100)
"""
# IPv4 and IPv6 addresses of /proc/net for 127.0.0.1, ::ffff:127.0.0.1 and ::1
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture
def probe(tmp_path):
    """Start Ray in another process and return what it says of itself, and the process."""
    started = []

    def call(*arguments, before=(), **environment):
        environment = os.environ | {"ALBENCH_PROBE": str(tmp_path), "TMPDIR": str(tmp_path)} | environment
        command = [*before, sys.executable, "-c", _PROBE, *arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(process)
        assert process.stdout is not None
        return json.loads(process.stdout.readline()), process

    yield call
    for process in started:
        process.kill()
        process.wait(timeout=30)


@pytest.fixture
def short(monkeypatch):
    """A folder whose path is short."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the sockets of Linux")
def test_without_a_cluster_ray_listens_to_this_machine_only_and_leaves_no_files(probe, short):
    found, process = probe(TMPDIR=str(short))
    assert found["addresses"]
    assert set(found["addresses"]) <= LOOPBACK
    assert Path(found["cwd"]).parents[1] == short
    assert found["files"] == []
    assert found["policy"] == "PASSIVE"
    assert process.wait(timeout=60) == 0
    assert list(short.iterdir()) == []


@pytest.mark.slow
def test_what_a_killed_suite_left_of_ray_is_removed_by_the_next_one(probe, short):
    found, process = probe("hang", TMPDIR=str(short))
    assert found["logs"]
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    time.sleep(5)  # until the processes of Ray end because their driver does not exist
    assert Path(found["logs"][0]).is_dir()
    again, process = probe(TMPDIR=str(short))
    assert not Path(found["cwd"]).parent.exists()
    assert again["cwd"] != found["cwd"]
    assert process.wait(timeout=60) == 0
    assert list(short.iterdir()) == []


@pytest.mark.slow
def test_a_folder_for_temporary_files_with_a_long_path_is_no_obstacle(probe, tmp_path):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    found, process = probe(TMPDIR=str(long))
    assert Path(found["cwd"]).parents[1] == Path("/tmp")
    assert process.wait(timeout=60) == 0
    assert not Path(found["cwd"]).exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")
def test_ray_uses_the_cores_that_the_process_may_use(probe):
    found, _ = probe(before=("taskset", "-c", str(min(os.sched_getaffinity(0)))), SLURM_CPUS_PER_TASK="7")
    assert found["cpus"] == 1


def test_the_place_for_ray_is_the_usual_one_unless_its_path_is_too_long(tmp_path, monkeypatch):
    for length, place in ((ray_start._LONGEST, None), (ray_start._LONGEST + 1, "/tmp")):
        usual = Path("/" + "x" * (length - 1))
        monkeypatch.setattr(ray_start, "temporary_place", lambda usual=usual: usual)
        with monkeypatch.context() as patch:
            patch.setattr(os, "access", lambda *_: True)
            assert ray_start._short_place() == (Path(place) if place else usual)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError) as refused:
        ray_start._short_place()
    assert str(refused.value) == (
        f"the path of the folder for temporary files must have at most {ray_start._LONGEST} bytes for Ray, '{usual}' "
        f"has {ray_start._LONGEST + 1} and /tmp is not writable: set TMPDIR to a shorter one, or run with --no-ray"
    )


def test_a_start_that_fails_is_one_sentence(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no ports are left")

    monkeypatch.setattr(ray_start.ray, "init", fail)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError) as refused, ray_start.ray_started(None):
        pass
    assert str(refused.value) == (
        "Ray must be able to start on this machine, it says 'no ports are left': mend that, or run with --no-ray"
    )
    assert ray_start.ray_constants.ENABLE_RAY_CLUSTER
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    refusal = pytest.raises(ConfigError, match=r"that accepts connections, got '127\.0\.0\.1:1': start one ")
    with refusal, ray_start.ray_started(None):
        pass
