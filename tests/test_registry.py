import importlib.metadata
import sys
from pathlib import Path

import pytest

from albench import registry, strategies
from albench.errors import ConfigError
from albench.registry import DATASETS, STRATEGIES, available, find, register, source_digest
from albench.resolve import resolve
from albench.strategy import Query, Strategy

PLUGIN = '''
"""First: query the slices with the lowest ids."""
from __future__ import annotations
from dataclasses import dataclass
from albench.strategy import Query, Round, Strategy, register

{decorator}
@dataclass(frozen=True)
class First(Strategy):
    share: float = 0.5

    def query(self, ctx: Round) -> Query:
        return Query(ctx.pool.unlabeled[: ctx.budget])

{more}
'''


def write_plugin(path: Path, decorator: str = "", more: str = "") -> Path:
    path.write_text(PLUGIN.format(decorator=decorator, more=more))
    return path


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """Undo all registrations and imports of a test."""
    for group in registry.KINDS:  # what is registered now is there after the test, too
        available(group)
    known = {group: dict(classes) for group, classes in registry._registered.items()}
    monkeypatch.setattr(registry, "_registered", known)
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith(("albench_plugin_", "plugin_", f"{STRATEGIES}.plugin_")):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A second folder that is searched for strategies."""
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    return tmp_path


@pytest.fixture
def entry_point(monkeypatch):
    """Add an entry point, as an installed package does."""
    points = []
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda *, group: [point for point in points if point.group == group]
    )

    def add(name: str, value: str, group: str = STRATEGIES) -> None:
        points.append(importlib.metadata.EntryPoint(name, value, group))

    return add


def entries(group: str = STRATEGIES) -> dict[str, registry.Entry]:
    return {entry.name: entry for entry in available(group)}


def test_all_strategies_and_datasets_are_available_and_sorted():
    names = [entry.name for entry in available(STRATEGIES)]
    assert names == sorted(set(names))
    assert {"random", "entropy", "margin", "full"} <= set(names)
    assert [entry.problem for entry in available(STRATEGIES)] == [""] * len(names)
    assert {"phantom", "folder"} <= set(entries(DATASETS))


def test_every_class_is_found_by_its_name():
    for group in (STRATEGIES, DATASETS):
        for entry in available(group):
            assert find(group, entry.name) is entry.cls
            assert entry.cls.name == entry.name


@pytest.mark.parametrize(
    ("group", "name", "sentence"),
    [
        (STRATEGIES, "entrpy", r"strategy must be a known name or FILE.py:Class, got 'entrpy': did you mean 'entropy'"),
        (STRATEGIES, "Margin", "did you mean 'margin'"),
        (STRATEGIES, "random_choice", "did you mean 'random"),
        (STRATEGIES, "", r"got '': choose one of .*entropy, .*random"),
        (STRATEGIES, "phantom", "got 'phantom': "),
        (DATASETS, "fantom", "dataset must be a known name or FILE.py:Class, got 'fantom': did you mean 'phantom'"),
    ],
)
def test_the_error_for_an_unknown_name_suggests_the_nearest(group, name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        find(group, name)


def test_a_class_in_a_file_is_a_plugin_without_registration(tmp_path):
    cls = find(STRATEGIES, f"{write_plugin(tmp_path / 'mine.py')}:First")
    assert issubclass(cls, Strategy)
    assert cls.name == "first"
    assert cls(share=0.1).share == 0.1
    assert "first" not in entries()


def test_a_class_that_nobody_registers_has_a_name_of_its_own():
    class LowestIds(find(STRATEGIES, "random")):
        pass

    class Named(LowestIds):
        name = "lowest"

    assert (LowestIds.name, Named.name, find(STRATEGIES, "random").name) == ("lowestids", "lowest", "random")


def test_a_plugin_in_a_file_may_choose_its_name(tmp_path):
    path = write_plugin(tmp_path / "mine.py", '@register("lowest-ids")')
    assert find(STRATEGIES, f"{path}:First").name == "lowest-ids"
    assert find(STRATEGIES, f"{path}:First") is find(STRATEGIES, f"{path}:First")


def test_files_with_the_same_name_in_two_folders_are_two_plugins(tmp_path):
    classes = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = write_plugin(tmp_path / name / "mine.py", more=f"{name} = 1")
        classes.append(find(STRATEGIES, f"{path}:First"))
    assert classes[0] is not classes[1]
    assert classes[0].__module__ != classes[1].__module__


def test_a_class_in_an_importable_module_is_a_plugin(tmp_path, monkeypatch):
    write_plugin(tmp_path / "plugin_module.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert find(STRATEGIES, "plugin_module:First").name == "first"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("{tmp}/none.py:First", "a plugin file must exist, '.*none.py' does not: check the path before the colon"),
        ("{tmp}:First", "cannot be imported: "),
        ("{tmp}/mine.py:Second", "'.*mine.py' must define the class named after the colon, it has no 'Second': check"),
        ("{tmp}/mine.py:Query", "must be a subclass of albench.strategy.Strategy, got <class 'albench.query.Query'"),
        ("{tmp}/mine.py:register", "must be a subclass of albench.strategy.Strategy, got <function register"),
        ("{tmp}/mine.py:Strategy", "a plugin must define every abstract method, 'Strategy' lacks query"),
        ("albench.datasets.phantom:Phantom", "must be a subclass of albench.strategy.Strategy, got <class 'albench.da"),
        ("no_such_module:First", "'no_such_module' cannot be imported: ModuleNotFoundError: No module named"),
        (":First", "'' cannot be imported"),
        ("{tmp}/broken.py:First", "'.*broken.py' cannot be imported: SyntaxError"),
        ("{tmp}/needs.py:First", "'.*needs.py' cannot be imported: ModuleNotFoundError: No module named 'no_such_thi"),
    ],
)
def test_an_import_path_that_cannot_be_resolved_is_one_sentence(tmp_path, spec, sentence):
    write_plugin(tmp_path / "mine.py")
    (tmp_path / "broken.py").write_text("class First(:")
    (tmp_path / "needs.py").write_text("import no_such_thing")
    for _ in range(2):
        with pytest.raises(ConfigError, match=sentence):
            find(STRATEGIES, spec.format(tmp=tmp_path))


def test_a_file_can_be_loaded_after_its_error_is_fixed(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import no_such_thing")
    with pytest.raises(ConfigError, match="no_such_thing"):
        find(STRATEGIES, f"{path}:First")
    write_plugin(path)
    assert find(STRATEGIES, f"{path}:First").name == "first"


def test_a_new_file_in_the_folder_is_found_and_private_modules_are_ignored(folder):
    write_plugin(folder / "plugin_dropped.py", '@register("plugin-dropped")')
    (folder / "_plugin_helper.py").write_text("1 / 0")
    assert entries()["plugin-dropped"].problem == ""
    assert find(STRATEGIES, "plugin-dropped").name == "plugin-dropped"
    assert not any("helper" in name for name in entries())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError: "),
        ("import no_such_thing", "it needs the missing module 'no_such_thing'"),
        (PLUGIN.format(decorator='@register("plugin-broken")', more="1 / 0"), "ZeroDivisionError: division by zero"),
        (
            PLUGIN.format(decorator='@register("entropy")', more=""),
            "a strategy name must be unique, 'entropy' is",
        ),
        (
            PLUGIN.format(decorator='@register("plugin-broken")', more="").replace("def query", "def choose"),
            "ConfigError: a plugin must define every abstract method, 'First' lacks query",
        ),
    ],
)
def test_a_broken_file_is_listed_with_the_reason_and_does_not_affect_others(folder, text, reason):
    before = set(entries())
    (folder / "plugin_broken.py").write_text(text)
    after = entries()
    assert set(after) == before | {"plugin-broken"}
    broken = after["plugin-broken"]
    assert broken.cls is None
    assert reason in broken.problem
    assert [entry.name for entry in after.values() if entry.cls is None] == ["plugin-broken"]
    with pytest.raises(ConfigError, match="strategy 'plugin-broken' cannot be loaded: "):
        find(STRATEGIES, "plugin-broken")
    assert find(STRATEGIES, "entropy").__module__ == f"{STRATEGIES}.entropy"


def test_an_entry_point_is_available_under_its_name(tmp_path, monkeypatch, entry_point):
    write_plugin(tmp_path / "plugin_installed.py")
    monkeypatch.syspath_prepend(tmp_path)
    entry_point("installed", "plugin_installed:First")
    assert find(STRATEGIES, "installed").name == "installed"
    assert entries()["installed"].problem == ""
    assert "installed" not in entries(DATASETS)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:First", "ModuleNotFoundError"),
        ("plugin_installed:Second", "AttributeError"),
        ("albench.datasets.phantom:Phantom", "must be a subclass of albench.strategy.Strategy"),
    ],
)
def test_a_broken_entry_point_is_listed_with_the_reason_and_does_not_affect_others(
    tmp_path, monkeypatch, entry_point, value, reason
):
    write_plugin(tmp_path / "plugin_installed.py")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(entries())
    entry_point("installed", value)
    entry_point("sound", "plugin_installed:First")
    after = entries()
    assert set(after) == before | {"installed", "sound"}
    assert reason in after["installed"].problem
    assert after["sound"].cls is not None
    with pytest.raises(ConfigError, match="strategy 'installed' cannot be loaded: "):
        find(STRATEGIES, "installed")


def test_a_name_belongs_to_one_class_only():
    class Another(Strategy):
        def query(self, ctx):
            return Query.empty()

    with pytest.raises(ConfigError, match=r"a strategy name must be unique, 'random' is taken by .*Random: choose an"):
        register("random")(Another)
    assert find(STRATEGIES, "random").__name__ == "Random"
    assert register("another")(Another) is register("another")(Another) is Another


def test_an_edited_plugin_has_another_digest_which_is_written_with_its_runs(tmp_path):
    path = write_plugin(tmp_path / "mine.py")
    spec = f"{path}:First"
    first = source_digest(find(STRATEGIES, spec))
    config = resolve(spec, "phantom", settings={"data.count": 7, "data.depth": 4, "data.side": 16}).config
    assert config.strategy.code == first
    write_plugin(path, more="EDITED = True")
    second = source_digest(find(STRATEGIES, spec))
    edited = resolve(spec, "phantom", settings={"data.count": 7, "data.depth": 4, "data.side": 16}).config
    assert edited.strategy.code == second != first
    assert edited.digest() == config.digest()


def test_the_classes_of_albench_have_no_digest():
    assert source_digest(find(STRATEGIES, "entropy")) is None
    assert source_digest(find(DATASETS, "phantom")) is None


def test_a_plugin_cannot_take_a_name_of_albench(tmp_path):
    path = tmp_path / "impostor.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "from albench.strategy import Query, Strategy, register\n"
        "@register('strided')\n@dataclass(frozen=True)\nclass Impostor(Strategy):\n"
        "    def query(self, ctx):\n        return Query(ctx.pool.unlabeled[: ctx.budget])\n"
    )
    with pytest.raises(ConfigError, match=r"a strategy name must be unique, 'strided' is taken by albench.strategies"):
        find(STRATEGIES, f"{path}:Impostor")
