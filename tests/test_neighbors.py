import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from albench import neighbors, registry
from albench.errors import ConfigError
from albench.registry import STRATEGIES, find, source_digest
from albench.strategy import Strategy

PLUGIN = '''
"""First: query the slices with the lowest ids."""
from dataclasses import dataclass
from albench.strategy import Query, Round, Strategy
{imports}

@dataclass(frozen=True)
class First(Strategy):
    def query(self, ctx: Round) -> Query:
        return Query(ctx.pool.unlabeled[: ctx.budget])

    def which(self):
        {later}
'''


def write(folder, imports="import rules_beside", later="return rules_beside.WHICH", which="'here'"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules_beside.py").write_text(f"WHICH = {which}\n")
    path = folder / "first.py"
    path.write_text(PLUGIN.format(imports=imports, later=later))
    return path


def load(path) -> type[Strategy]:
    return find(STRATEGIES, f"{path}:First")


@pytest.fixture(autouse=True)
def _own_modules():
    """Undo the imports of a test."""
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith(("albench_plugin_", "rules_beside", "package_beside")):
            del sys.modules[name]


def test_a_plugin_imports_a_module_and_a_package_beside_it_at_once_or_later(tmp_path):
    (tmp_path / "package_beside").mkdir()
    (tmp_path / "package_beside" / "__init__.py").write_text("")
    (tmp_path / "package_beside" / "deeper.py").write_text("WHICH = 'deeper'\n")
    assert load(write(tmp_path)).which(None) == "here"
    later = "from package_beside.deeper import WHICH; return WHICH"
    path = tmp_path / "later.py"
    path.write_text(PLUGIN.format(imports="", later=later))
    assert load(path).which(None) == "deeper"


def test_what_lies_beside_is_part_of_the_source_of_a_plugin(tmp_path):
    cls = load(write(tmp_path, imports="", later="import rules_beside"))
    before = source_digest(cls)
    (tmp_path / "rules_beside.py").write_text("WHICH = 'edited'\n")
    assert source_digest(cls) != before


@pytest.mark.slow
def test_what_is_installed_comes_first_and_a_folder_that_is_no_package_is_not_found(tmp_path):
    path = write(tmp_path)
    for name in ("albench", "not_a_package_beside"):
        (tmp_path / name).mkdir()
    (tmp_path / "json.py").write_text("raise RuntimeError\n")
    (tmp_path / "albench" / "__init__.py").write_text("raise RuntimeError\n")
    code = (
        "import sys; before = list(sys.path)\n"
        "from albench.registry import STRATEGIES, find\n"
        f"cls = find(STRATEGIES, {f'{path}:First'!r})\n"
        "sys.modules.pop('json'); import json, albench.pool\n"
        "assert sys.path == before and cls.which(None) == 'here'\n"
        "import not_a_package_beside\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'not_a_package_beside'"


def sentence(one: Path, other: Path) -> str:
    return (
        f"modules beside plugins must have different names, 'rules_beside' is in '{one}' and in '{other}': "
        "rename one of them"
    )


def test_a_plugin_never_gets_the_neighbor_of_another(tmp_path):
    one, other = write(tmp_path / "one"), write(tmp_path / "other", which="'there'")
    assert load(one).which(None) == "here"
    with pytest.raises(ConfigError) as refused:
        load(other)
    assert str(refused.value) == sentence(one.parent, other.parent)
    assert load(one).which(None) == "here"
    (other.parent / "rules_beside.py").rename(other.parent / "rules_beside_other.py")
    other.write_text(other.read_text().replace("rules_beside", "rules_beside_other"))
    assert load(other).which(None) == "there"


def test_a_neighbor_that_is_imported_later_is_that_of_one_plugin_only(tmp_path):
    later = "import rules_beside; return rules_beside.WHICH"
    one, other = (write(tmp_path / name, "", later) for name in ("one", "other"))
    classes = [load(one), load(other)]
    for cls in classes:
        with pytest.raises(ConfigError) as refused:
            cls.which(None)
        assert str(refused.value) == sentence(one.parent, other.parent)


def test_a_plugin_that_cannot_be_loaded_makes_nothing_beside_it_importable(tmp_path):
    path = write(tmp_path, imports="import rules_beside; raise RuntimeError('no')")
    with pytest.raises(ConfigError, match="RuntimeError: no"):
        load(path)
    assert neighbors._finder.folders == []
    assert registry.find(STRATEGIES, "random")


def test_a_path_is_not_the_name_of_a_module_beside_two_plugins(tmp_path):
    """As matplotlib asks for the path of a style sheet, which may have a module of the same name beside it."""
    for name in ("one", "other"):
        load(write(tmp_path / name, imports="", later="return None"))
    (tmp_path / "style.py").touch()
    assert neighbors._finder.find_spec(str(tmp_path / "style"), None) is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(str(tmp_path / "style"))
