import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest
import torch
from support.samples import tiny_arguments

from albench import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
FOLDERS = {"albench": "albench"} | {
    name: f"albench/{name}" for name in ("strategies", "datasets", "benchmarks", "reports")
}


def run(*command, **options):
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=500, check=False, **options
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source distribution, built from a copy so that nothing left in the checkout gets in."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    for name in run("git", "ls-files", cwd=ROOT).splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", source)
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return source, wheel, sdist


def package_files(source):
    """What must be packed, by its name in the checkout and its name when installed."""
    return {
        str(path.relative_to(source)): f"{package}/{path.relative_to(source / folder)}"
        for folder, package in FOLDERS.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(built):
    source, wheel, _ = built
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == set(package_files(source).values())
    assert "albench/py.typed" in packed


def test_the_source_distribution_holds_every_file_that_is_needed_to_build_the_wheel(built):
    source, _, sdist = built
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {*package_files(source), "setup.cfg", "pyproject.toml", "README.md", "LICENSE"} <= packed


def test_twine_finds_nothing_in_what_is_to_be_published(built):
    _, wheel, sdist = built
    out = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", wheel, sdist)
    assert re.findall(r"[A-Z]{4,}", re.sub(r"\S*/", "", out)) == ["PASSED", "PASSED"]


def test_the_metadata_tell_version_requirements_license_and_command(built):
    source, wheel, _ = built
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.rpartition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(inside["METADATA"]).decode())
        entry_points = ConfigParser()
        entry_points.read_string(archive.read(inside["entry_points.txt"]).decode())
    setup = ConfigParser()
    setup.read(source / "setup.cfg")
    declared = {line.replace(" ", "") for line in setup["options"]["install_requires"].split("\n") if line}
    required = {line.replace(" ", "") for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert required == declared
    assert (metadata["Name"], metadata["Version"]) == ("albench", __version__)
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License"] == "Apache-2.0"
    assert "licenses/LICENSE" in inside
    assert dict(entry_points["console_scripts"]) == {"albench": "albench.__main__:main"}


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The wheel in an environment of its own, that borrows the dependencies of this one but not its albench.

    A folder named in a .pth file is searched, but the .pth files in it, by which an editable install works, are not
    read.
    """
    _, wheel, _ = built
    home = tmp_path_factory.mktemp("outside") / "environment"
    venv.create(home, with_pip=False)
    run(sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def test_the_installed_wheel_lists_and_runs_from_another_folder(built, installed, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["ALBENCH_CACHE"] = str(tmp_path / "cache")
    options = {"cwd": tmp_path, "env": environment}
    where = run(installed / "bin" / "python", "-c", "import albench.strategies as s; print(s.__file__)", **options)
    assert Path(where.strip()).is_relative_to(installed)

    command = installed / "bin" / "albench"
    assert run(command, "--version", **options) == f"albench {__version__}\n"
    listed = run(command, "list", "strategies", **options)
    source = built[0] / "strategies"
    names = {name for path in source.glob("*.py") for name in re.findall(r'@register\("(.+)"\)', path.read_text())}
    assert {"random", "entropy", "margin", "full"} <= names
    assert all(re.search(rf"^ *{name} ", listed, re.MULTILINE) for name in names)
    assert "phantom" in run(command, "list", "datasets", **options)
    out = run(command, "run", "--strategy", "entropy", "--dataset", "phantom", *tiny_arguments(), **options)
    assert "records: runs/phantom/entropy/seed-0-" in out
    assert list(tmp_path.glob("runs/phantom/entropy/*/rounds.jsonl"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_installed_wheel_needs_no_folder_to_say_that_there_is_no_gpu(installed, tmp_path):
    tmp_path.chmod(0o555)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [installed / "bin" / "python", "-m", "albench.benchmarks.speed", "--gpu-only"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr == "--gpu-only needs a CUDA device, this machine has none: leave it out\n"
    assert not list(tmp_path.iterdir())
