"""A plugin's source is its file and all that it imports, apart from what is installed."""

import hashlib
import importlib
import sys

import pytest

from albench.plugin_source import SourceFile, plugin_files, plugin_source
from albench.registry import STRATEGIES, find, former_source_digest, source_digest, source_files
from albench.resolve import resolve

PLUGIN = """
import json
from dataclasses import dataclass

import numpy as np

from albench.strategy import Query, Strategy
from rules_of_mine import most
from parts_of_mine import scores


@dataclass(frozen=True)
class Mine(Strategy):
    def query(self, ctx):
        import late_of_mine

        return Query(most(ctx.pool.unlabeled, ctx.budget))
"""
FILES = {
    "mine.py": PLUGIN,
    "rules_of_mine.py": "def most(ids, count):\n    return ids[:count]\n",
    "parts_of_mine/__init__.py": "from . import scores\n",
    "parts_of_mine/scores.py": "from .deep import VALUE\n",
    "parts_of_mine/deep.py": "VALUE = 1\n",
    "late_of_mine.py": "VALUE = 2\n",
}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A plugin with neighbors that it imports, and one that it does not."""
    for name, text in (FILES | {"other_of_mine.py": "VALUE = 3\n"}).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield find(STRATEGIES, f"{tmp_path / 'mine.py'}:Mine")
    for name in [name for name in sys.modules if "_of_mine" in name]:
        del sys.modules[name]


@pytest.mark.parametrize("edited", FILES)
def test_every_module_that_a_plugin_imports_is_part_of_its_source(mine, tmp_path, edited):
    before = source_digest(mine)
    path = tmp_path / edited
    path.write_text(f"{path.read_text()}EDITED = True\n")
    assert source_digest(mine) != before


def test_what_a_plugin_does_not_import_is_no_part_of_its_source(mine, tmp_path):
    before = source_digest(mine)
    (tmp_path / "other_of_mine.py").write_text("VALUE = 4\n")
    assert source_digest(mine) == before


def test_a_module_that_is_imported_later_changes_nothing(mine):
    before = source_digest(mine)
    importlib.import_module("late_of_mine")
    assert source_digest(mine) == before
    assert "late_of_mine" in sys.modules


def test_finding_the_source_imports_nothing(mine):
    plugin_source(mine)
    assert "late_of_mine" not in sys.modules


def test_a_module_that_cannot_be_imported_is_part_of_the_source(mine, tmp_path):
    (tmp_path / "late_of_mine.py").write_text("this is no Python")
    before = source_digest(mine)
    (tmp_path / "late_of_mine.py").write_text("nor is this")
    assert source_digest(mine) != before


EDITS_WITHOUT_EFFECT = {
    "a comment": ("VALUE = 1\n", "VALUE = 1  # one\n"),
    "empty lines": ("a = 1\nb = 2\n", "\n\na = 1\n\nb = 2"),
    "spaces": ("def f(a,b):\n  return(a+b)\n", "def f(a, b):\n    return a + b\n"),
    "quotes": ("TEXT = u'a' 'b'\n", 'TEXT = "ab"\n'),
    "a trailing comma": ("f(1, 2)\n", "f(\n    1,\n    2,\n)\n"),
    "notation": ("a = 0x10, 1_000\n", "a = (16, 1000)\n"),
}
EDITS = {
    "a value": ("VALUE = 1\n", "VALUE = 2\n"),
    "its type": ("VALUE = 1\n", "VALUE = 1.0\n"),
    "a truth": ("VALUE = 1\n", "VALUE = True\n"),
    "a text that looks like one": ("VALUE = None\n", "VALUE = 'None'\n"),
    "a docstring": ('def f():\n    """One."""\n', 'def f():\n    """Two."""\n'),
    "the order": ("a = 1\nb = 2\n", "b = 2\na = 1\n"),
    "an operator": ("a = b + c\n", "a = b - c\n"),
    "a level": ("if a:\n    b = 1\n    c = 1\n", "if a:\n    b = 1\nc = 1\n"),
    "a branch": ("if a:\n    b = 1\n", "if a:\n    pass\nelse:\n    b = 1\n"),
    "an unpacked mapping": ("a = {**b, c: d}\n", "a = {c: d, **b}\n"),
    "a star": ("def f(a, *, b): ...\n", "def f(a, b): ...\n"),
}


def digest_of(path, text):
    path.write_text(text)
    return SourceFile.of(path).digest


@pytest.mark.parametrize("edit", EDITS_WITHOUT_EFFECT)
def test_comments_and_formatting_are_no_part_of_the_source(tmp_path, edit):
    before, after = EDITS_WITHOUT_EFFECT[edit]
    assert digest_of(tmp_path / "mine.py", before) == digest_of(tmp_path / "mine.py", after)


@pytest.mark.parametrize("edit", EDITS)
def test_what_changes_the_syntax_is_part_of_the_source(tmp_path, edit):
    before, after = EDITS[edit]
    assert digest_of(tmp_path / "mine.py", before) != digest_of(tmp_path / "mine.py", after)


def test_the_digest_does_not_depend_on_the_version_of_python(tmp_path):
    text = "async def f(a: int = 1, /, *b) -> str:\n    return f'{a!r:>{b}} é' if a else None\n"
    known = "5d82c9ec10f592ba9d3e0f372835bd35cd6bb15ef2feac935521dd5290893de3"  # with Python 3.10, 3.11, 3.12 and 3.13
    assert digest_of(tmp_path / "mine.py", text) == known


def test_a_syntax_of_any_depth_has_a_digest(tmp_path):
    text = "a = " + " + ".join(map(str, range(1500))) + "\n"
    assert digest_of(tmp_path / "mine.py", text) != digest_of(tmp_path / "mine.py", text.replace("7", "8"))


@pytest.mark.parametrize("content", [b"this is no Python", b"a = 1\0", b"\xff\xfe"])
def test_what_is_no_python_has_the_digest_of_its_content(tmp_path, content):
    (tmp_path / "mine.py").write_bytes(content)
    assert SourceFile.of(tmp_path / "mine.py").digest == hashlib.sha256(content).hexdigest()


def test_a_plugin_of_one_file_has_the_hash_of_that_file(tmp_path):
    path = tmp_path / "alone.py"
    path.write_text(
        PLUGIN.replace("from rules_of_mine import most\nfrom parts_of_mine import scores\n", "most = None\n")
    )
    cls = find(STRATEGIES, f"{path}:Mine")
    assert source_digest(cls) == SourceFile.of(path).digest[:16]
    assert former_source_digest(cls) == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_the_files_of_a_plugin_have_names_that_do_not_depend_on_where_they_lie(mine, tmp_path):
    files = plugin_files(mine)
    names = ["late_of_mine", "parts_of_mine", "parts_of_mine.deep", "parts_of_mine.scores", "rules_of_mine"]
    assert list(files) == ["mine.py", *names]
    for name, file in files.items():
        assert file.path.is_relative_to(tmp_path.resolve()), name
        assert file == SourceFile.of(file.path)
        assert file.text == hashlib.sha256(file.path.read_bytes()).hexdigest()


DATASET = """
from dataclasses import dataclass

from albench.datasets.phantom import Phantom


@dataclass(frozen=True)
class Noisy(Phantom):
    noise: float = 0.6
"""


def test_a_dataset_whose_comments_were_edited_has_the_same_data_and_runs(tmp_path):
    def config(text):
        path = tmp_path / "noisy.py"
        path.write_text(text)
        settings = {"data.count": 7, "data.depth": 4, "data.side": 16}
        return resolve("random", f"{path}:Noisy", settings=settings).config

    made = config(DATASET)
    commented = config(f"# a comment\n{DATASET}")
    assert (commented.data_key, commented.digest()) == (made.data_key, made.digest())
    edited = config(f"{DATASET}    more: int = 0\n")
    assert edited.data_key != made.data_key
    assert edited.digest() != made.digest()


def test_albench_itself_is_no_plugin():
    assert source_files(find(STRATEGIES, "entropy")) == {}


def test_the_module_of_a_base_class_is_part_of_the_source(mine, tmp_path):
    (tmp_path / "derived.py").write_text(
        "import sys\n\nbase = sys.modules['derived_from_of_mine'].Mine\n\n\nclass Derived(base):\n    pass\n"
    )
    sys.modules["derived_from_of_mine"] = sys.modules[mine.__module__]
    derived = find(STRATEGIES, f"{tmp_path / 'derived.py'}:Derived")
    before = source_digest(derived)
    (tmp_path / "mine.py").write_text(PLUGIN + "EDITED = True\n")
    assert source_digest(derived) != before
