"""What is imported with the interface of strategies, which the command line needs before it knows what to run."""

import subprocess
import sys

import pytest
from support.slow import slow_but

LATE = {"monai", "pandas", "scipy", "sklearn", "matplotlib", "nibabel", "rich", "typer", "ray", "yaml"}
MODULES = ["albench.strategy", "albench.training.learner", "albench.training.evaluation", "albench.strategies.star"]


def imported(code: str) -> set[str]:
    """Top-level packages that are imported after some code."""
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("module", slow_but(["albench.training.evaluation"], MODULES))
def test_a_strategy_is_imported_without_packages_that_only_a_run_needs(module):
    loaded = imported(f"import {module}")
    assert "torch" in loaded
    assert not loaded & LATE


@pytest.mark.slow
def test_building_a_network_imports_monai():
    code = "from albench.network import Task; from albench.networks.residual import Residual"
    assert "monai" in imported(f"{code}; Task(1, (16, 16), Residual()).build()")


def test_the_records_of_a_run_are_read_without_torch():
    assert "torch" not in imported("import albench.runs.records")
