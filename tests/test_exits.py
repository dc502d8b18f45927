"""A plugin that calls `sys.exit` is an error of the plugin, wherever it does; Ctrl-C stays what it is."""

from pathlib import Path

import pytest
from support.samples import invoke, tiny_arguments

from albench.errors import PluginError
from albench.exits import rejecting_exits

STRATEGY = """
import sys
from dataclasses import dataclass

import numpy as np
from albench.strategy import Query, Strategy
{top}

@dataclass(frozen=True)
class Leaves(Strategy):
    def __post_init__(self):
        {init}

    def network(self, task):
        {network}
        return task.build()

    def fit(self, ctx):
        {fit}
        super().fit(ctx)

    def query(self, ctx):
        {query}
        return Query(ctx.pool.unlabeled[: ctx.budget])
"""
DATASET = """
import sys
from dataclasses import dataclass

from albench.datasets.phantom import Phantom


@dataclass(frozen=True, kw_only=True)
class Leaves(Phantom):
    name = "leaves"

    def cases(self):
        {cases}
        return super().cases()

    def load(self, case):
        {load}
        return super().load(case)
"""


@pytest.fixture
def plugin(tmp_path: Path):
    def write(text: str, place: str, code: str) -> str:
        places = dict.fromkeys(("top", "init", "network", "fit", "query", "cases", "load"), "pass")
        path = tmp_path / "leaves.py"
        path.write_text(text.format(**places | {place: code}))
        return f"{path}:Leaves"

    return write


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("top", "'{path}'"),
        ("init", "Leaves of strategy"),
        ("network", "strategy 'leaves' with network 'residual'"),
        ("fit", "strategy 'leaves' with network 'residual'"),
        ("query", "strategy 'leaves' with network 'residual'"),
    ],
)
@pytest.mark.parametrize("code", ["sys.exit(0)", "raise BaseException('end')"])
def test_a_strategy_that_ends_the_process_is_one_sentence(plugin, tmp_path, place, what, code):
    spec = plugin(STRATEGY, place, code)
    path = spec.rpartition(":")[0]
    line = 1 + next(n for n, text in enumerate(Path(path).read_text().splitlines()) if code in text)
    raised = "SystemExit(0)" if "exit" in code else "BaseException('end')"
    ended = invoke("run", "--strategy", spec, "--dataset", "phantom", "--out", tmp_path / "runs", *tiny_arguments())
    assert ended[0] == 2
    assert (
        f"albench: {what.format(path=path)} must raise an error instead of ending the process, it raises {raised} in "
        f"'{path}', line {line}: leave that out"
    ) in ended[1]


@pytest.mark.parametrize("place", ["cases", "load"])
def test_a_dataset_that_ends_the_process_is_one_sentence(plugin, tmp_path, place):
    spec = plugin(DATASET, place, "sys.exit()")
    code, said = invoke("run", "--strategy", "random", "--dataset", spec, "--out", tmp_path, *tiny_arguments())
    assert code == 2
    assert "albench: dataset 'leaves' must raise an error instead of ending the process, it raises SystemExit" in said
    code, said = invoke("check-dataset", spec)
    assert code == 1
    assert "a plugin must raise an error instead of ending the process, it raises SystemExit" in said


def test_ctrl_c_in_a_plugin_stays_what_it_is(plugin, tmp_path):
    spec = plugin(STRATEGY, "query", "raise KeyboardInterrupt")
    code, said = invoke("run", "--strategy", spec, "--dataset", "phantom", "--out", tmp_path, *tiny_arguments())
    assert code == 130
    assert "albench: stopped; the same command continues after the last finished round" in said


@pytest.mark.parametrize("error", [ValueError("a"), KeyboardInterrupt(), GeneratorExit()])
def test_every_other_error_is_passed_on(error):
    with pytest.raises(type(error)) as raised, rejecting_exits("a plugin"):
        raise error
    assert raised.value is error


def test_an_error_is_one_that_a_user_can_fix():
    with (
        pytest.raises(
            PluginError, match=r"^a plugin must raise an error .* SystemExit\(3\) in '.*test_exits.py', line"
        ),
        rejecting_exits("a plugin"),
    ):
        raise SystemExit(3)
