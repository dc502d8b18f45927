import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from albench.registry import DATASETS, STRATEGIES, available

ROOT = Path(__file__).parents[1]
FOLDERS = {"albench": "albench"} | {
    f"albench.{name}": name.replace(".", "/")
    for name in ("strategies", "datasets", "benchmarks", "benchmarks.speed", "reports")
}
SIBLINGS = {package for package in FOLDERS if package != "albench"}
PROVIDED_BY = {"yaml": "pyyaml", "ray": "ray[tune]", "skactiveml": "scikit-activeml"}
MODULES = [(package, path) for package, folder in FOLDERS.items() for path in sorted((ROOT / folder).glob("*.py"))]
COMMANDS = {
    "cli_bench": "albench.benchmarks",
    "cli_tune": "albench.benchmarks",
    "cli_report": "albench.reports",
}  # a command calls what it is named for
MAY_IMPORT = {
    "albench.strategies": {
        "strategy",
        "acquisition",
        "networks",
        "losses",
        "augment",
        "learner",
        "pool",
        "masks",
        "errors",
        "device",
    },
    "albench.datasets": {"data", "errors", "masks", "registry"},
    "albench.benchmarks": {  # runs and where they are kept, nothing of methods
        *("config", "loop", "resolve", "registry", "store", "manifest", "round_zero", "errors"),
        *("__version__", "cache", "data", "pool", "device", "display", "files", "places"),
    },
    "albench.benchmarks.speed": {  # all that it times
        *("config", "loop", "resolve", "registry", "store", "cache", "data", "files"),
        *("acquisition", "learner", "networks", "pool", "strategy", "streams"),
        *("memory", "cost"),
    },
    "albench.reports": {"store", "manifest", "errors"},
}


def imports(path, package):
    """Full names of all that a file imports, wherever in the file: `a.b` for `from a import b` of a package `a`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package if node.level else ""
            source = ".".join(part for part in (parent, node.module) if part)
            is_package = source in FOLDERS
            names |= {f"{source}.{alias.name}" for alias in node.names} if is_package else {source}
    return names


def ids(values):
    return [f"{package}.{path.stem}" for package, path in values]


SIDE = [(package, path) for package, path in MODULES if package in SIBLINGS]
CORE = [(package, path) for package, path in MODULES if package == "albench"]


@pytest.mark.parametrize(("package", "path"), SIDE, ids=ids(SIDE))
def test_a_strategy_a_dataset_a_suite_and_a_report_import_only_what_they_are_meant_to(package, path):
    allowed = {f"albench.{name}" for name in MAY_IMPORT[package]}
    for name in imports(path, package):
        if name.partition(".")[0] == "albench":
            same_folder = name.startswith(f"{package}.")
            assert same_folder or name in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize(("package", "path"), CORE, ids=ids(CORE))
def test_the_core_imports_no_strategy_dataset_suite_or_report(package, path):
    forbidden = SIBLINGS - {COMMANDS.get(path.stem)}
    for name in imports(path, package):
        assert not any(name == sibling or name.startswith(f"{sibling}.") for sibling in forbidden), name


@pytest.mark.parametrize(("package", "path"), CORE, ids=ids(CORE))
def test_the_core_decides_nothing_by_the_name_of_a_strategy_or_a_dataset(package, path):
    names = {entry.name for group in (STRATEGIES, DATASETS) for entry in available(group)}
    compared = [
        constant.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare | ast.match_case)
        for constant in ast.walk(node.pattern if isinstance(node, ast.match_case) else node)
        if isinstance(constant, ast.Constant)
    ]
    assert not names.intersection(value for value in compared if isinstance(value, str))


def test_reports_never_import_torch_and_only_what_runs_on_ray_imports_it():
    for package, path in MODULES:
        tops = {name.partition(".")[0] for name in imports(path, package)}
        assert package != "albench.reports" or "torch" not in tops, path
        assert "ray" not in tops or path.stem in ("schedule", "search"), path


def test_all_that_is_imported_is_declared():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split("\n")
    for extra in setup["options.extras_require"].values():
        lines += extra.split("\n")
    declared = {re.split(r"[<>=~! ]", line)[0] for line in lines if line}
    tops = {name.partition(".")[0] for package, path in MODULES for name in imports(path, package)}
    third_party = tops - set(sys.stdlib_module_names) - {"albench"}
    assert {PROVIDED_BY.get(top, top) for top in third_party} <= declared


def test_importing_albench_or_its_command_line_imports_nothing_heavy():
    code = "import sys, albench, albench.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in loaded
    assert not {"torch", "monai", "numpy", "scipy", "pandas", "nibabel", "ray", "pydantic"}.intersection(loaded)
    assert imports(ROOT / "albench" / "__init__.py", "albench") == set()


def test_no_module_has_a_name_that_says_nothing_or_shadows_the_standard_library():
    for path in [path for _, path in MODULES] + list((ROOT / "tests").glob("*.py")):
        assert path.stem not in {"utils", "misc", "base", "common", "helpers"}, path
        assert path.stem.startswith("__") or path.stem not in sys.stdlib_module_names, path


def test_every_module_begins_with_a_sentence_and_every_public_name_has_one():
    for _, path in MODULES:
        module = ast.parse(path.read_text())
        assert (ast.get_docstring(module) or "").partition("\n")[0].strip(), path
        for node in module.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_top_level_is_the_menu_of_the_project():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.partition("/")[0] for line in tracked.splitlines()} == {
        *("setup.cfg", "pyproject.toml", "Makefile", "constraints.txt"),
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"),
        *(".ci", ".gitignore", ".pre-commit-config.yaml"),
        *("albench", "strategies", "datasets", "benchmarks", "reports", "tests", "docs"),
    }
