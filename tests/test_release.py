"""What a release promises: versions of dependencies and interpreters, the image, and how to cite."""

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PYTHONS = re.findall(r":: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)


def applies(one: Requirement, python: str) -> bool:
    return one.marker is None or one.marker.evaluate({"python_version": python})


def declared(python: str, *extras: str) -> list[Requirement]:
    """What setup.cfg and some of its extras require on a version of Python."""
    groups = [SETUP["options"]["install_requires"], *(SETUP["options.extras_require"][extra] for extra in extras)]
    requirements = [Requirement(line) for group in groups for line in group.splitlines() if line]
    return [one for one in requirements if applies(one, python)]


def pins(file: str, python: str) -> dict[str, Version]:
    """The versions that a file of constraints gives to a version of Python."""
    found: dict[str, Version] = {}
    for line in (ROOT / file).read_text().splitlines():
        if not line.startswith("#"):
            one = Requirement(line)
            if applies(one, python):
                (exact,) = one.specifier
                assert exact.operator == "=="
                assert one.name not in found, f"{file} pins {one.name} twice for Python {python}"
                found[canonicalize_name(one.name)] = Version(exact.version)
    return found


def lower_bounds(python: str) -> dict[str, Version]:
    """The least version of what the tests use on a version of Python, by name."""
    bounds: dict[str, set[Version]] = {}
    for one in declared(python, "formats", "tensorboard", "dev"):
        for part in one.specifier:
            assert part.operator == ">=", f"{one} has another bound than the lower one"
            bounds.setdefault(canonicalize_name(one.name), set()).add(Version(part.version))
    assert {name for name, versions in bounds.items() if len(versions) > 1} == set()
    return {name: version for name, (version,) in bounds.items()}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lowest_versions_are_the_lower_bounds_or_the_first_with_a_wheel_for_this_python(python):
    lowest, bounds = pins("constraints-lowest.txt", python), lower_bounds(python)
    assert lowest.keys() == bounds.keys()
    raised = {name for name in bounds if lowest[name] != bounds[name]}
    assert all(lowest[name] > bounds[name] for name in raised)
    assert not raised or python == "3.13"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_exact_versions_satisfy_the_ranges_on_every_python(python):
    exact = pins("constraints.txt", python)
    for one in declared(python, "formats", "dev"):
        assert one.specifier.contains(exact[canonicalize_name(one.name)]), one


def test_the_pythons_of_the_metadata_are_those_that_are_tested():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    matrix = jobs["dependencies"]["strategy"]["matrix"]
    assert matrix == {"python": PYTHONS, "versions": ["lowest", "newest"]}
    assert SETUP["options"]["python_requires"] == f">={PYTHONS[0]}"


def test_hadolint_finds_nothing_in_the_dockerfile():
    command = [Path(sys.executable).with_name("hadolint"), "--no-color", ROOT / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_image_is_given_all_that_the_wheel_is_built_from():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    needed = {folder.split("/")[0] for folder in re.findall(r"= (\S+)$", SETUP["options"]["package_dir"], re.MULTILINE)}
    needed |= {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"}
    assert copied == needed
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == needed


def test_the_citation_file_has_what_its_format_requires():
    """The required keys of the Citation File Format 1.2.0, and the types of those that albench gives."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == SETUP["metadata"]["license"]
    for work in (citation, *citation["references"]):
        assert work["type"] in ("software", "conference-paper", "article")
        assert isinstance(work["title"], str)
        assert all(author.keys() <= {"name", "family-names", "given-names"} for author in work["authors"])
