import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.samples import tiny_arguments

from albench.cli.scaffold import new_package
from albench.errors import ConfigError


@pytest.mark.parametrize("kind", ["strategy", "dataset"])
def test_a_new_package_is_complete_and_passes_the_linter(tmp_path, kind):
    written = new_package(kind, "my-idea", tmp_path)
    assert {path.name for path in written} == {"README.md", "pyproject.toml", "my_idea.py", "test_my_idea.py"}
    assert "$" not in "".join(path.read_text() for path in written)
    ruff = Path(sys.executable).parent / "ruff"
    for command in (["check", "--isolated", "--select", "E,F,I"], ["format", "--isolated", "--check"]):
        full = [ruff, *command, "--config", "line-length=120"]
        result = subprocess.run(full, cwd=tmp_path / "my-idea", capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("My Idea", "a name must be lower-case words joined by hyphens, got 'My Idea': try 'my-idea'"),
        ("entropy", "a strategy name must be unique, 'entropy' is taken: choose another name"),
        ("torch", "a name must differ from every installed package, 'torch' is installed: choose another name"),
    ],
)
def test_an_invalid_name_is_rejected(tmp_path, name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        new_package("strategy", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_not_changed(tmp_path):
    (tmp_path / "my-idea").mkdir()
    with pytest.raises(ConfigError, match=r"my-idea' must not exist, it does: choose another name or folder"):
        new_package("strategy", "my-idea", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["strategy", "dataset"])
def test_a_new_package_passes_its_own_test(tmp_path, kind):
    new_package(kind, "my-idea", tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "my-idea",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_new_packages_are_installed_in_a_fresh_environment_and_run(tmp_path, albench):
    new_package("strategy", "my-idea", tmp_path)
    new_package("dataset", "my-set", tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (here,) = {path for path in map(Path, sys.path) if path.name == "site-packages"}
    there = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (Path(there) / "parent.pth").write_text(f"import site; site.addsitedir({str(here)!r})\n")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, tmp_path / "my-idea", tmp_path / "my-set"], check=True)

    def call(*arguments: str) -> str:
        command = [python, "-c", "from albench.cli.main import main; main()", *arguments]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "my-idea" in call("list", "strategies")
    assert "my-set" in call("list", "datasets")
    assert "13 of 13 checks passed" in call("check-strategy", "my-idea")
    assert "6 of 6 checks passed" in call("check-dataset", "my-set")
    assert "round  2" in call("run", "--strategy", "my-idea", "--dataset", "phantom", *tiny_arguments())
    fast = ("--set", "training.epochs=1", "--set", "protocol.rounds=1", "--threads", "1")
    assert "round  1" in call("run", "--strategy", "my-idea", "--dataset", "my-set", *fast)
