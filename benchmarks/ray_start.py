"""The start of Ray, on this machine for one suite, or by a connection to a cluster."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import ray
from ray._private import ray_constants

from albench.data import cache_folder
from albench.errors import ConfigError
from albench.interruption import keeping_sigterm
from albench.machine import WAITING, usable_cores
from albench.runs.command_line import told_to_workers
from albench.temporary import temporary_folder, temporary_place

_SOCKET = "/albench-12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = (103 if sys.platform == "darwin" else 107) - len(_SOCKET)  # bytes of a path before this one, for the system


@contextmanager
def ray_started(address: str | None) -> Iterator[str | None]:
    """Ray for the duration of the block. Yields the address of its dashboard, if that is installed.

    On this machine, Ray listens to this machine only, and its files are in a temporary folder, unless `RAY_TMPDIR`
    names another one. It is started in an empty folder. Its workers import modules from the folder in which it is
    started first, and in the parent folder of a checkout named `albench` the checkout would be taken for the package.

    Args:
        address: of a cluster; None is `RAY_ADDRESS`, or this machine.

    Raises:
        ConfigError: there is no cluster at the address, or Ray cannot start on this machine.
        StoreError: there is no folder for temporary files.
    """
    os.environ["ALBENCH_CACHE"] = str(cache_folder().absolute())
    os.environ.update(told_to_workers())
    address = address or os.environ.get("RAY_ADDRESS", "local")
    here = address == "local"
    with temporary_folder(_short_place() if here else None) as folder, _on_loopback() if here else nullcontext():
        (folder / "empty").mkdir()
        try:
            _reach(address)
            with _working_in(folder / "empty"), keeping_sigterm():
                context = ray.init(
                    address,
                    num_cpus=usable_cores() if here else None,
                    _temp_dir=str(folder) if here and "RAY_TMPDIR" not in os.environ else None,
                    runtime_env=None if here else {"env_vars": _waiting() | told_to_workers()},
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(_why_not_here(error) if here else _why_not_at(address)) from error
        try:
            yield context.dashboard_url
        finally:
            ray.shutdown()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Ray without clusters, as it is on macOS: all its processes listen on 127.0.0.1, and not to other machines."""
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before, enabled = os.environ.get(name), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _short_place() -> Path:
    """A folder for temporary files in which the paths of Ray's sockets are not too long for the system."""
    usual = temporary_place()
    for place in (usual, Path("/tmp")):
        if len(os.fsencode(place)) <= _LONGEST and os.access(place, os.W_OK | os.X_OK):
            return place
    raise ConfigError(
        f"the path of the folder for temporary files must have at most {_LONGEST} bytes for Ray, '{usual}' has "
        f"{len(os.fsencode(usual))} and /tmp is not writable: set TMPDIR to a shorter one, or run with --no-ray"
    )


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _reach(address: str) -> None:
    """Raise OSError if there is no server at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _waiting() -> dict[str, str]:
    """How threads wait, which the nodes of a cluster do not inherit."""
    return {name: os.environ[name] for name in WAITING if name in os.environ}


def _why_not_here(error: Exception) -> str:
    return f"Ray must be able to start on this machine, it says '{error}': mend that, or run with --no-ray"


def _why_not_at(address: str) -> str:
    return (
        f"--address must be that of a running Ray cluster that accepts connections, got '{address}': start one "
        "with 'ray start --head', set RAY_AUTH_MODE as on its nodes (docs/cluster.md), or leave --address out"
    )
