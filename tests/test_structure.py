"""The house: which room may import which, what a room's import costs, and how modules look."""

import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from albench.registry import DATASETS, NETWORKS, STRATEGIES, available

ROOT = Path(__file__).parents[1]
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PACKAGES = dict(
    line.replace(" ", "").split("=") for line in SETUP["options"]["package_dir"].strip().splitlines()
)  # {albench.runs: albench/runs}
FILES = {
    package if path.stem == "__init__" else f"{package}.{path.stem}": path
    for package, folder in PACKAGES.items()
    for path in sorted((ROOT / folder).glob("*.py"))
}  # {albench.runs.reader: albench/runs/reader.py}
GUESTS = ("albench.strategies", "albench.datasets", "albench.networks", "albench.benchmarks", "albench.reports")
PROVIDED_BY = {"yaml": "pyyaml", "ray": "ray[tune]", "skactiveml": "scikit-activeml", "sklearn": "scikit-learn"}

# What each room may import beside itself. Rooms further down may import those above them, never the other way round.
MAY_IMPORT = {
    "data": {"config", "errors", "files", "machine", "masks", "names", "registry"},
    "runs": {
        *("changed_options", "config", "data", "errors", "files", "machine", "machine_errors", "masks"),
        *("plugin_source", "settings", "source", "spreadsheet", "suite_file"),
    },
    "bundles": {"config", "errors", "files", "masks", "names", "runs", "spreadsheet"},
    "training": {
        *("acquisition", "config", "data", "encoder_decoder", "errors", "files", "machine", "machine_errors", "masks"),
        *("metrics", "probabilities", "runs", "source", "streams"),
    },
    "audit": {
        *("annotator", "callback", "config", "data", "errors", "files", "masks", "oracle", "pool", "query", "registry"),
        *("resolve", "run_session", "runs", "stored_data", "temporary", "training"),
    },
    "annotation": {
        *("acquisition", "callback", "config", "data", "errors", "files", "loop", "masks", "names", "oracle"),
        *("probabilities", "registry", "resolve", "run_session", "runs", "spreadsheet", "training"),
    },
    "testing": {
        *("callback", "config", "data", "encoder_decoder", "errors", "exits", "loop", "masks", "network", "oracle"),
        *("pool", "query", "registry", "resolve", "run_session", "runs", "settings", "start", "strategy", "streams"),
        *("temporary", "training"),
    },
    "networks": {"config", "encoder_decoder", "errors", "network"},
    "strategies": {
        *("acquisition", "clustering", "covering", "data", "encoder_decoder", "errors", "masks", "mutual_information"),
        *("network", "pool", "probabilities", "strategy", "training", "wrapper"),
    },
    "datasets": {"config", "data", "errors", "files", "masks", "registry", "spreadsheet", "temporary", "yaml_loader"},
    "benchmarks": {  # runs and where they are kept; of methods only their contract, to know what they cost
        *("callback", "combinations", "config", "console", "data", "errors", "files", "interruption", "loop"),
        *("machine", "names", "network", "plugin_source", "registry", "resolve", "run_session", "runs"),
        *("settings", "strategy", "suite_file", "temporary", "training.device"),
        *("training.stopping", "tuned_options", "yaml_loader"),
    },
    "benchmarks.speed": {  # all that it times
        *(
            "audit",
            "benchmarks",
            "callback",
            "config",
            "covering",
            "data",
            "encoder_decoder",
            "errors",
            "files",
            "loop",
        ),
        *("machine", "mutual_information", "network", "networks", "pool", "registry", "resolve", "run_session", "runs"),
        *("strategy", "streams", "temporary", "training", "wrapper"),
    },
    "reports": {"bundles", "config", "errors", "files", "masks", "runs", "spreadsheet"},
}
COMMANDS = {
    "albench": "benchmarks",  # its function `bench`
    "cli.bench": "benchmarks",
    "cli.plan": "benchmarks",
    "cli.suites": "benchmarks",
    "cli.tune": "benchmarks",
    "cli.report": "reports",
    "cli.results": "reports",
}  # what each is named for


def imports(name: str) -> set[str]:
    """Modules that a file imports, wherever in the file; of this project as they are called in FILES."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            source = str(node.module)
            submodules = {f"{source}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= submodules or {source}
    return found


def room_of(name: str) -> str:
    """The room of a module, without the first `albench.`: a package, or a module that stands at the root."""
    parts = name.split(".")[1:]
    if parts[:2] == ["benchmarks", "speed"]:
        return "benchmarks.speed"
    return parts[0] if parts else ""


def of_rooms(*rooms: str) -> list[str]:
    return [name for name in FILES if room_of(name) in rooms]


def ours(name: str) -> set[str]:
    return {other for other in imports(name) if other.partition(".")[0] == "albench"}


@pytest.mark.parametrize("name", of_rooms(*MAY_IMPORT))
def test_a_room_imports_only_what_it_is_meant_to(name):
    room = room_of(name)
    for other in ours(name) - {"albench"}:
        short = other.removeprefix("albench.")
        allowed = room_of(other) == room or room_of(other) in MAY_IMPORT[room] or short in MAY_IMPORT[room]
        assert allowed, f"{name} imports {other}"


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(GUESTS)])
def test_the_core_imports_no_strategy_dataset_suite_or_report(name):
    allowed = COMMANDS.get(name.removeprefix("albench."))
    for other in ours(name):
        assert not other.startswith(GUESTS) or room_of(other) == allowed, f"{name} imports {other}"


def test_rooms_form_a_line():
    """No room imports one that imports it, directly or around corners, not even for types."""
    graph: dict[str, set[str]] = {}
    for name in FILES:
        room = room_of(name) or "albench"
        graph.setdefault(room, set()).update({room_of(other) or "albench" for other in ours(name)} - {room, "albench"})
    del graph["albench"]  # hands on `run`, inside a function
    list(TopologicalSorter(graph).static_order())  # raises CycleError and names the cycle


def test_no_two_files_import_each_other():
    graph = {name: ours(name) & FILES.keys() for name in FILES if FILES[name].stem != "__init__"}
    list(TopologicalSorter({name: others & graph.keys() for name, others in graph.items()}).static_order())


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(GUESTS)])
def test_the_core_decides_nothing_by_the_name_of_a_strategy_a_dataset_or_a_network(name):
    names = {entry.name for group in (STRATEGIES, DATASETS, NETWORKS) for entry in available(group)}
    compared = [
        constant.value
        for node in ast.walk(ast.parse(FILES[name].read_text()))
        if isinstance(node, ast.Compare | ast.match_case)
        for constant in ast.walk(node.pattern if isinstance(node, ast.match_case) else node)
        if isinstance(constant, ast.Constant)
    ]
    assert not names.intersection(value for value in compared if isinstance(value, str))


def test_only_what_runs_on_ray_imports_it():
    for name in FILES:
        tops = {other.partition(".")[0] for other in imports(name)}
        assert "ray" not in tops or name.startswith("albench.benchmarks.ray_"), name


def test_all_that_is_imported_is_declared():
    lines = SETUP["options"]["install_requires"].split("\n")
    for extra in SETUP["options.extras_require"].values():
        lines += extra.split("\n")
    declared = {re.split(r"[<>=~! ]", line)[0] for line in lines if line}
    tops = {other.partition(".")[0] for name in FILES for other in imports(name)}
    third_party = tops - set(sys.stdlib_module_names) - {"albench"}
    assert {PROVIDED_BY.get(top, top) for top in third_party} <= declared


@pytest.mark.parametrize(
    ("module", "needs", "does_without"),
    [
        ("albench", "albench", "torch monai numpy scipy pandas nibabel ray pydantic rich typer"),
        ("albench.cli.main", "typer", "torch monai numpy scipy pandas nibabel ray pydantic"),
        ("albench.runs", "numpy", "torch monai pandas scipy nibabel ray rich typer"),
        ("albench.reports", "pandas", "torch monai nibabel ray"),
        ("albench.strategy", "torch", "monai pandas matplotlib nibabel ray rich typer"),
    ],
)
def test_importing_a_room_imports_nothing_heavy_that_it_does_not_need(module, needs, does_without):
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert needs in loaded
    assert not set(does_without.split()).intersection(loaded)


_EACH_ALONE = """
import os, sys, traceback
import numpy, pandas, torch, pydantic, monai  # once for all, to save time; nothing of albench
for name in sys.argv[1:]:
    if os.fork() == 0:
        try:
            __import__(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.wait()[1]:
        print(name)
"""


@pytest.mark.slow
def test_every_module_can_be_imported_alone():
    names = [name for name in FILES if not name.endswith("__main__")]
    told = subprocess.run([sys.executable, "-c", _EACH_ALONE, *names], capture_output=True, text=True, check=True)
    assert told.stdout == "", told.stderr


def test_no_module_has_a_name_that_says_nothing_or_shadows_the_standard_library():
    for path in [*FILES.values(), *(ROOT / "tests").rglob("*.py")]:
        assert path.stem not in {"utils", "misc", "base", "common", "helpers"}, path
        assert path.stem.startswith("__") or path.stem not in sys.stdlib_module_names, path


def test_every_module_begins_with_a_sentence_and_every_public_name_has_one():
    for path in FILES.values():
        module = ast.parse(path.read_text())
        assert (ast.get_docstring(module) or "").partition("\n")[0].strip(), path
        for node in module.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_every_package_of_the_checkout_is_declared():
    folders = {path.parent for top in ("albench", *map(room_of, GUESTS)) for path in (ROOT / top).rglob("__init__.py")}
    assert {ROOT / folder for folder in PACKAGES.values()} == folders
    assert set(SETUP["options"]["packages"].split()) == PACKAGES.keys()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_git_ignores_no_source_file():
    """A pattern such as `runs/` would leave out a room of that name."""
    paths = [str(path.relative_to(ROOT)) for path in [*FILES.values(), *(ROOT / "tests").rglob("*.py")]]
    found = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_top_level_is_the_menu_of_the_project():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.partition("/")[0] for line in tracked.splitlines()} == {
        *("setup.cfg", "pyproject.toml", "Makefile", "constraints.txt", "constraints-lowest.txt", "mkdocs.yml"),
        *("Dockerfile", ".dockerignore"),
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"),
        *(".ci", ".github", ".gitignore", ".pre-commit-config.yaml"),
        *("albench", "strategies", "datasets", "benchmarks", "reports", "examples", "tests", "docs"),
    }
