"""Public names as they are read from source, and what has no docstring."""

import pytest

pytest.importorskip("griffe", reason="the site takes the extra `docs`")

from public_names import addresses, assemble, load, rooms, undocumented

SETUP = """
[options]
package_dir =
    albench = albench
    albench.runs = albench/runs
    albench.strategies = strategies
"""
FILES = {
    "setup.cfg": SETUP,
    "albench/__init__.py": '"""Root."""\n\n\ndef run():\n    """Run."""\n',
    "albench/__main__.py": '"""Start."""\n',
    "albench/runs/__init__.py": '"""Runs."""\n\nfrom albench.runs.reader import Reader\n\n__all__ = ["Reader"]\n',
    "albench/runs/reader.py": '''"""Reader."""


class Reader:
    """Reads."""

    def read(self):
        """What is read."""

    def _open(self): ...


class Other(Reader):
    """Reads otherwise."""

    def read(self): ...
''',
    "albench/runs/_private.py": "def hidden(): ...\n",
    "strategies/__init__.py": '"""Strategies."""\n',
    "strategies/star.py": '"""Star."""\n\nimport albench.runs.reader\n',
}


@pytest.fixture
def checkout(tmp_path):
    """A small checkout, and a function that loads it, also after a change."""
    for name, text in FILES.items():
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def loaded(**changes):
        for name, text in changes.items():
            (tmp_path / "repository" / "albench" / "runs" / f"{name}.py").write_text(text)
        assemble(tmp_path / "repository", tmp_path / "together")
        return load(tmp_path / "together")

    return loaded


def test_rooms_are_the_packages_as_they_are_installed_with_their_public_modules(checkout):
    assert rooms(checkout()) == {
        "albench": [],
        "albench.runs": ["albench.runs.reader"],
        "albench.strategies": ["albench.strategies.star"],
    }


def test_a_name_that_a_package_hands_on_is_explained_where_it_is_defined(checkout):
    found = addresses(checkout())
    assert found["albench.runs.Reader"] == "albench.runs.reader.Reader"
    assert found["albench.runs.Reader.read"] == "albench.runs.reader.Reader.read"
    assert found["albench.run"] == "albench.run"
    assert "albench.runs.reader.Reader._open" not in found
    assert "albench.runs.reader.Other.read" not in found  # without a docstring it is not shown


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x = 1\n", "albench.runs.new"),
        ('"""New."""\n\n\ndef f(): ...\n', "albench.runs.new.f"),
        ('"""New."""\n\n\nclass C: ...\n', "albench.runs.new.C"),
        ('"""New."""\n\n\nclass C:\n    """C."""\n\n    def method(self): ...\n', "albench.runs.new.C.method"),
        ('"""New."""\n\n\nclass C:\n    """C."""\n\n    @property\n    def p(self): ...\n', "albench.runs.new.C.p"),
    ],
)
def test_what_is_public_and_has_no_docstring_is_named(checkout, text, name):
    assert undocumented(checkout()) == []  # what overrides a documented method has its docstring
    assert undocumented(checkout(new=text)) == [name]
