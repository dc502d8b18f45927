"""The options of a run that are not the defaults of albench."""

from dataclasses import replace

from support.samples import TINY

from albench.changed_options import changed_options
from albench.resolve import resolve


def changed(strategy="random", dataset="phantom", network="residual", **settings):
    given = {name.replace("__", "."): value for name, value in settings.items()}
    return changed_options(resolve(strategy, dataset, network=network, settings=given).config)


def test_what_is_set_and_is_not_the_default_is_changed():
    suited = changed()  # what the phantom makes of the defaults
    assert suited["training.lr"] == 0.002
    given = {name.replace(".", "__"): value for name, value in TINY.items()}
    assert changed(**given) == suited | TINY
    usual = changed(**given, training__lr=1e-4)  # which is the default
    assert usual == {name: value for name, value in (suited | TINY).items() if name != "training.lr"}


def test_a_plugin_among_the_options_is_its_name_and_has_options_of_its_own():
    small = {"data__count": 6, "data__side": 32, "data__depth": 8}
    found = changed("stochastic-batches", strategy__inner={"name": "mc-dropout", "passes": 3}, **small)
    assert {name: value for name, value in found.items() if name not in changed(**small)} == {
        "strategy.inner": "mc-dropout",
        "strategy.inner.passes": 3,
    }


def test_a_file_is_its_path_and_a_plugin_in_a_file_its_name():
    files = {"strategy.embeddings": "v.npz", "network.weights": None, "strategy.inner.name": "mine.py:Mine"}
    config = resolve("random", "phantom", settings={"data.count": 6, "data.side": 32, "data.depth": 8}).config
    usual = changed_options(config)
    assert changed_options(replace(config, files=files)) == usual | {"strategy.embeddings": "v.npz"}


def test_of_a_plugin_that_is_gone_all_options_are_changed(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from albench.strategy import Query, Strategy\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Strategy):\n"
        "    power: float = 2.0\n"
        "    label: str = 'a'\n"
        "    def query(self, ctx):\n"
        "        return Query(ctx.pool.unlabeled[: ctx.budget])\n"
    )
    settings = {"data.count": 6, "data.side": 32, "data.depth": 8, "strategy.power": 3}
    config = resolve(f"{plugin}:Mine", "phantom", settings=settings).config
    own = {name: value for name, value in changed_options(config).items() if name.startswith("strategy.")}
    assert own == {"strategy.power": 3}
    plugin.unlink()
    own = {name: value for name, value in changed_options(config).items() if name.startswith("strategy.")}
    assert own == {"strategy.power": 3, "strategy.label": "a"}


def test_where_the_data_are_is_left_out(decathlon):
    found = changed(dataset="folder", data__root=str(decathlon), data__size=[32, 32])
    assert found["data.size"] == [32, 32]
    assert "data.root" not in found
