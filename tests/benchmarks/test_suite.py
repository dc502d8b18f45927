import json
import pickle
import re
from dataclasses import asdict

import pytest
import torch
import yaml
from support.samples import TINY
from support.suites import FAILS, small_phantom, write_study, write_suite, write_tuned

import albench.datasets._volumes
import albench.resolve
from albench.benchmarks.estimate import probe
from albench.benchmarks.plan import plan_runs, resolve_run, with_absolute_paths, write_suite_manifest
from albench.benchmarks.storage import Folder
from albench.benchmarks.suite import load_suite, suite_names
from albench.benchmarks.trial import run_trial
from albench.callback import NullCallback
from albench.errors import ConfigError, DataError
from albench.registry import STRATEGIES, available
from albench.resolve import common_settings, make_dataset, resolve
from albench.run_session import Execution
from albench.runs import RunReader
from albench.runs.manifest import read_manifest

PAPER = [
    *("random", "margin", "entropy", "mc-dropout", "k-center", "bal"),
    *("ceal-margin", "ceal-entropy", "ceal-mc-dropout", "taal", "star"),
]


@pytest.fixture
def error_of(tmp_path):
    """Load a wrong suite and return the sentence of the error."""

    def load(strategies=("random",), **more):
        with pytest.raises(ConfigError) as caught:
            load_suite(str(write_suite(tmp_path, list(strategies), **more)))
        return str(caught.value)

    return load


def test_every_suite_of_albench_can_be_loaded():
    assert suite_names() == [
        "ablation-brats",
        "ablations",
        "budgets",
        "factorial",
        "fair-hippocampus",
        "hippocampus",
        "menu",
        "own-compute",
        "paper-brats",
        "paper-spleen",
        "regimes",
        "smoke",
        "starts",
        "warm-start",
    ]
    for name in suite_names():
        suite = load_suite(name)
        assert suite.about.endswith(".")
        assert len(suite.runs) > 10


@pytest.mark.parametrize(("name", "dataset"), [("paper-spleen", "spleen"), ("paper-brats", "brats")])
def test_the_suites_of_table_1_have_11_strategies_and_the_reference_with_5_seeds(name, dataset):
    runs = load_suite(name).runs
    assert [run.label for run in runs if run.seed == 0] == [*PAPER, "full"]
    assert {run.seed for run in runs} == {0, 1, 2, 3, 4}
    assert {run.dataset for run in runs} == {dataset}


@pytest.mark.parametrize(("name", "batch"), [("paper-spleen", 16), ("paper-brats", 32), ("ablation-brats", 32)])
def test_the_suites_of_the_paper_keep_its_rules_whatever_the_defaults_are(name, batch):
    for run in load_suite(name).runs:
        protocol, training = common_settings(make_dataset(run.dataset, run.settings), run.settings)
        assert asdict(training) == {
            **{"stop": "val_loss", "epochs": 100, "patience": 5, "patience_steps": 0, "min_steps": 0, "val_steps": 0},
            **{"steps": 500, "batch_size": batch, "lr": 1e-4, "lr_incremental": 1e-5},
            **{"focal_alpha": 0.6, "focal_gamma": 2.0, "focal_alpha_mode": "scalar", "augment": True},
        }
        assert (protocol.interval, protocol.rounds, protocol.warm_start) == (10, 16, True)
        assert (protocol.start, protocol.splits, protocol.validation) == ("interval", 1, "free")
        assert (protocol.compute, protocol.steps) == ("own", None)
        assert run.settings.get("strategy.unit") == ("none" if run.strategy == "taal" else None)


def test_the_ablation_has_the_rows_of_table_2_with_3_seeds():
    from albench.strategies.star import TABLE_2

    runs = [run for run in load_suite("ablation-brats").runs if run.label != "full"]
    rows = [{k.removeprefix("strategy."): v for k, v in r.settings.items() if k.startswith("strategy.")} for r in runs]
    assert [row for row, run in zip(rows, runs, strict=True) if run.seed == 0] == [dict(row) for row in TABLE_2]
    assert {run.seed for run in runs} == {0, 1, 2}


def test_the_smoke_suite_has_every_strategy():
    entries = [
        entry for entry in available(STRATEGIES) if entry.cls and entry.cls.__module__.startswith("albench.strategies.")
    ]
    for name in ("smoke", "menu", "own-compute"):
        assert {run.strategy for run in load_suite(name).runs} == {entry.name for entry in entries}


BASELINES = {"random", "foreground-random", "random-foreground", "stratified", "strided"}


@pytest.mark.parametrize(
    "name",
    ["budgets", "fair-hippocampus", "hippocampus", "menu", "own-compute", "regimes", "smoke", "starts", "warm-start"],
)
def test_every_suite_that_compares_methods_has_all_baselines(name):
    suite = load_suite(name)
    for group in {run.group for run in suite.runs}:
        assert {run.label for run in suite.runs if run.group == group} >= BASELINES


@pytest.mark.parametrize(
    "name", ["fair-hippocampus", "factorial", "menu", "own-compute", "ablations", "warm-start", "starts"]
)
def test_a_suite_on_a_question_says_it_and_what_it_costs(name):
    suite = load_suite(name)
    assert "?" in suite.about
    assert re.search(rf"\b{len(suite.runs)} runs", suite.about)
    assert re.search(r"\d+ minutes", suite.about)


@pytest.mark.parametrize("name", ["smoke", "budgets"])
def test_a_suite_on_generated_data_can_be_planned(name):
    runs = plan_runs(load_suite(name, seeds=[0], settings={"data.count": 12}))
    assert len({run.folder for run in runs}) == len(runs) == len(load_suite(name, seeds=[0]).runs)


def test_the_suite_of_regimes_can_be_planned_without_its_real_data():
    chosen = ["phantom", "noisy phantom", "phantom with two classes"]
    runs = plan_runs(load_suite("regimes", seeds=[0], dataset=chosen, settings={"data.count": 12}))
    assert {run.config.classes for run in runs} == {("foreground",), ("organ", "core")}
    assert len({run.spec.group for run in runs}) == 9
    assert {run.config.protocol.budget for run in runs} == {10, 25, 50}
    whole = load_suite("regimes").runs
    assert {run.dataset_name for run in whole} == {*chosen, "hippocampus"}
    assert len({run.group for run in whole}) == 12


def test_a_plan_reads_every_header_once_and_prepares_once_however_many_runs_there_are(tmp_path, decathlon, monkeypatch):
    read, prepared = [], []
    grid_of, prepare = albench.datasets._volumes.grid_of, albench.resolve.prepare
    monkeypatch.setattr(albench.datasets._volumes, "grid_of", lambda *own: read.append(own[0]) or grid_of(*own))
    monkeypatch.setattr(albench.resolve, "prepare", lambda *own: prepared.append(own[0]) or prepare(*own))
    settings = {"data": {"root": str(decathlon)}, "protocol": {"split": [4, 1, 1], "compute": "matched"}}
    path = write_suite(tmp_path, ["random", "entropy"], seeds=5, dataset="folder", settings=settings)
    plan = plan_runs(load_suite(str(path)))
    assert (len(plan), len(read), len(prepared)) == (10, 6, 1)
    for run in (plan[0], plan[-1]):
        assert run.config == resolve_run(run.spec).config
    other = {"group": "one label", "settings": {"data": {"labels": [1]}}}
    path = write_suite(
        tmp_path,
        ["random", "entropy"],
        seeds=5,
        dataset="folder",
        settings=settings,
        variants=[{"group": "all"}, other],
    )
    read.clear()
    prepared.clear()
    assert len({run.config.data_key for run in plan_runs(load_suite(str(path)))}) == 2
    assert (len(read), len(prepared)) == (12, 2)


def test_the_factorial_suite_pairs_every_training_with_its_query_and_with_a_random_one():
    labels = {run.label for run in load_suite("factorial").runs}
    for method in ("CEAL", "TAAL", "STAR"):
        assert {f"{method} query + supervised", f"random query + {method} training"} <= labels
        assert f"{method} query + {method} training" in labels


def test_the_suite_of_own_compute_has_all_of_the_menu_with_its_settings_but_for_steps_and_rounds():
    menu, own = ({run.label: run for run in load_suite(name).runs if run.seed == 0} for name in ("menu", "own-compute"))
    assert menu.keys() < own.keys()
    differing = {"protocol.compute", "protocol.steps", "protocol.rounds"}
    for label, run in menu.items():
        assert {name for name, _ in run.settings.items() ^ own[label].settings.items()} <= differing


def test_a_group_of_the_ablations_differs_from_the_reference_in_one_thing():
    groups = {run.group: run for run in load_suite("ablations").runs if (run.label, run.seed) == ("random", 0)}
    reference = groups.pop("reference")
    for name, run in groups.items():
        changed = {key for key, value in run.settings.items() if reference.settings.get(key) != value}
        rooms = {key.partition(".")[0] for key in changed} | (
            {"network"} if run.network != reference.network else set()
        )
        assert len(rooms) == 1, (name, changed)


def test_the_budgets_suite_halves_and_doubles_the_query_and_the_interval():
    runs = load_suite("budgets").runs
    groups = {run.group: (run.settings["protocol.budget"], run.settings["protocol.interval"]) for run in runs}
    assert sorted(groups.values()) == [(8, 10), (16, 5), (16, 10), (16, 20), (32, 10)]


def test_later_settings_win_in_the_order_of_file_variant_strategy_and_user(tmp_path):
    entry = {"strategy": "entropy", "settings": {"training": {"epochs": 7, "lr": 0.1}}}
    variants = [{"group": "a", "settings": {"training": {"epochs": 6, "patience": 3}}}]
    path = write_suite(tmp_path, [entry], variants=variants)
    (run, _) = load_suite(str(path), settings={"training.lr": 0.2}).runs
    assert run.settings["training.batch_size"] == 8
    assert run.settings["training.patience"] == 3
    assert run.settings["training.epochs"] == 7
    assert run.settings["training.lr"] == 0.2
    assert run.group == "a"


NETWORKS_OF_VARIANTS = {
    "settings": {"network": {"width": 0.25}, "training": {"lr": 0.1}},
    "variants": [
        {"group": "same"},
        {"group": "named", "network": "residual"},
        {"group": "other", "network": "unet", "settings": {"network": {"dropout": 0.5}}},
    ],
}
ENTRIES = ["random", {"strategy": "entropy", "settings": {"network": {"dropout": 0.25}}}]


def networks(path, **more):
    """{group: network and its options of every method}."""
    found = {}
    for run in load_suite(str(path), **more).runs:
        assert run.settings["training.lr"] == 0.1
        options = {name: value for name, value in run.settings.items() if name.startswith("network.")}
        found.setdefault(run.group, []).append((run.network, options))
    return found


def test_a_variant_may_have_another_network_for_which_only_its_own_options_are_meant(tmp_path):
    path = write_suite(tmp_path, ENTRIES, seeds=1, **NETWORKS_OF_VARIANTS)
    usual = [("residual", {"network.width": 0.25}), ("residual", {"network.width": 0.25, "network.dropout": 0.25})]
    other = [("unet", {"network.dropout": 0.5})] * 2
    assert networks(path) == {"same": usual, "named": usual, "other": other}


def test_the_network_that_the_user_gives_is_that_of_every_variant(tmp_path):
    path = write_suite(tmp_path, ENTRIES, seeds=1, **NETWORKS_OF_VARIANTS)
    assert networks(path, network="dynunet") == dict.fromkeys(["same", "named", "other"], [("dynunet", {})] * 2)
    bare, own = [("unet", {})] * 2, [("unet", {"network.dropout": 0.5})] * 2
    assert networks(path, network="unet") == {"same": bare, "named": bare, "other": own}


def test_runs_of_another_network_are_told_from_the_others_in_the_file(tmp_path):
    path = write_suite(tmp_path, ["random"], seeds=1, variants=[{"group": "one"}, {"group": "two", "network": "unet"}])
    suite = load_suite(str(path))
    assert len({run.entry for run in suite.runs}) == 2
    assert [run.config.network.name for run in plan_runs(suite)] == ["residual", "unet"]


def test_an_option_that_the_network_of_a_variant_does_not_have_names_its_group(tmp_path):
    path = write_suite(tmp_path, ["random"], seeds=1, variants=[{"group": "one"}, {"group": "two", "network": "unet"}])
    with pytest.raises(ConfigError) as caught:
        plan_runs(load_suite(str(path), settings={"network.width": 0.5}))
    assert str(caught.value) == (
        "tiny, group 'two': an option must be known, got 'network.width': choose one of network.channels, "
        "network.dropout"
    )


def test_seeds_are_a_number_or_a_list_and_the_user_can_replace_them(tmp_path):
    assert [run.seed for run in load_suite(str(write_suite(tmp_path, ["random"], seeds=3))).runs] == [0, 1, 2]
    path = str(write_suite(tmp_path, ["random"], seeds=[4, 2]))
    assert [run.seed for run in load_suite(path).runs] == [4, 2]
    assert [run.seed for run in load_suite(path, seeds=[9]).runs] == [9]


@pytest.mark.parametrize(
    ("more", "settings", "runs"),
    [
        ({"seeds": 10**9}, {}, "1000000000 or more, whose list alone would take 1,000.0 GB"),
        ({"seeds": 10**5}, {"protocol.splits": 2}, "200000 or more, whose list alone would take 0.2 GB"),
        ({}, {"protocol.splits": 10**9}, "2000000000 or more, whose list alone would take 2,000.0 GB"),
    ],
)
def test_a_suite_of_absurdly_many_runs_is_rejected_before_they_are_listed(tmp_path, more, settings, runs):
    path = write_suite(tmp_path, ["random"], **{"seeds": 2} | more)
    sentence = f"^tiny must have at most 100000 runs, it has {runs} of memory: give fewer seeds, splits, strategies or"
    with pytest.raises(ConfigError, match=sentence):
        load_suite(str(path), settings=settings)


def test_the_digest_of_a_suite_depends_on_its_runs_and_not_on_its_description(tmp_path):
    def digest(strategies, **more):
        suite = load_suite(str(write_suite(tmp_path, strategies, **more)))
        storage = Folder(tmp_path / "runs")
        write_suite_manifest(suite, plan_runs(suite), storage)
        manifest = read_manifest(storage.local)
        assert manifest is not None
        return manifest.digest

    assert digest(["random"]) == digest(["random"], about="other words")
    others = [digest(["random"]), digest(["random", "entropy"]), digest(["random"], seeds=3)]
    assert len({*others, digest([{"strategy": "random", "label": "chance"}])}) == 4


@pytest.mark.parametrize(
    ("strategies", "more", "sentence"),
    [
        (["randon"], {}, "tiny.strategies[0].strategy: strategy must be a known name or FILE.py:Class, got 'randon'"),
        (
            [{"strategy": "random", "label": "a\nb"}],
            {},
            "a label must have a name of characters that are printed, got 'a\\nb': rename it",
        ),
        (
            ["random"],
            {"variants": [{"group": "\x1b[2J"}]},
            "a group must have a name of characters that are printed, got '\\x1b[2J': rename it",
        ),
        (["random"], {"datset": 1}, "an option must be known, got 'tiny.datset': did you mean 'tiny.dataset'?"),
        (
            ["random"],
            {"dataset": "fantom"},
            "tiny.dataset: dataset must be a known name or FILE.py:Class, got 'fantom'",
        ),
        (["random"], {"seeds": 0}, "tiny.seeds"),
        (["random"], {"seeds": [1, -1]}, "tiny.seeds"),
        (
            ["random"],
            {"settings": {"trainin": {}}},
            "a section of settings must be known, got 'tiny.settings.trainin': did you mean 'tiny.settings.training'?",
        ),
        (
            ["random"],
            {"settings": {"training": {"epoch": 3}}},
            "got 'tiny.settings.training.epoch': did you mean 'tiny.settings.training.epochs'?",
        ),
        (
            ["random"],
            {"settings": {"training": {"epochs": 0}}},
            "tiny.settings.training.epochs must be greater than or equal to 1, got 0: correct "
            "'tiny.settings.training.epochs' in the file",
        ),
        (
            ["random", {"strategy": "taal", "settings": {"strategy": {"view": 3}}}],
            {},
            "strategies[1].settings.strategy.view': did you mean 'tiny.strategies[1].settings.strategy.views'?",
        ),
        (
            [{"strategy": "taal", "lable": "a"}],
            {},
            "got 'tiny.strategies[0].lable': did you mean 'tiny.strategies[0].label'?",
        ),
        ([{"label": "a"}], {}, "tiny.strategies[0].strategy must be given"),
        ([3], {}, "tiny.strategies[0] must be a mapping from names to values, got 3"),
        ([], {}, "tiny.strategies must list at least one strategy, it is empty: add a name"),
        (["random"], {"variants": [{"settings": {}}]}, "tiny.variants[0].group must be given"),
        (
            ["random"],
            {"variants": [{"group": "one", "network": "unett"}]},
            "tiny.variants[0].network: network must be a known name or FILE.py:Class, got 'unett': did you mean 'unet'",
        ),
        (
            ["random"],
            {"variants": [{"group": "one", "network": "unet", "settings": {"network": {"width": 0.5}}}]},
            "tiny.variants[0].settings.network.width",
        ),
        (
            ["random"],
            {"variants": [{"group": "a", "settings": {"protocol": {"budgte": 1}}}]},
            "did you mean 'tiny.variants[0].settings.protocol.budget'?",
        ),
        (["random", "random"], {}, "tiny: a label and a seed must occur once, 'random' with seed 0 occurs twice"),
    ],
)
def test_the_error_of_a_wrong_entry_gives_its_path(error_of, strategies, more, sentence):
    assert sentence in error_of(strategies, **more)


def test_a_repeated_key_is_rejected(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("about: a\ndataset: phantom\nstrategies: [random]\nseeds: 2\nseeds: 5\n")
    with pytest.raises(ConfigError, match="the key 'seeds' occurs twice"):
        load_suite(str(path))


def test_the_error_for_an_unknown_suite_suggests_the_nearest():
    with pytest.raises(ConfigError, match="got 'paper-splen': did you mean 'paper-spleen'"):
        load_suite("paper-splen")


def test_two_plugins_that_differ_only_in_their_code_are_rejected(tmp_path):
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "fails.py").write_text(f"{FAILS}# {version}\n")
    twins = [{"strategy": f"{tmp_path / version / 'fails.py'}:Fails", "label": version} for version in ("one", "two")]
    with pytest.raises(ConfigError) as caught:
        plan_runs(load_suite(str(write_suite(tmp_path, twins))))
    assert str(caught.value) == (
        "tiny: plugins must have different names or settings, 'one, seed 0' and 'two' differ only in their code: give "
        "one class another name"
    )


def test_two_equal_runs_are_rejected(tmp_path):
    twins = ["random", {"strategy": "random", "label": "again"}]
    with pytest.raises(ConfigError, match="two runs must differ in a setting, 'random, seed 0' and 'again' do not"):
        plan_runs(load_suite(str(write_suite(tmp_path, twins))))


def test_a_plan_gives_the_number_of_rounds(tmp_path):
    path = str(write_suite(tmp_path, ["random", "full"], seeds=1))
    assert [run.rounds for run in plan_runs(load_suite(path))] == [3, 1]
    many = plan_runs(load_suite(path, settings={"protocol.rounds": 50}))
    initial, total = 10, 35
    assert many[0].rounds == -(-(total - initial) // 3) + 1


def test_relative_paths_of_a_suite_become_absolute(tmp_path, monkeypatch, decathlon):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom albench.strategies.entropy import Entropy\n\n\n"
        "@dataclass(frozen=True)\nclass Mine(Entropy):\n    pass\n"
    )
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"about": "a", "dataset": "folder", "seeds": 1, "strategies": ["mine.py:Mine"]}))
    monkeypatch.chdir(tmp_path)
    (run,) = plan_runs(load_suite("own.yaml", settings={"data.root": decathlon.name, "protocol.budget": 1}))
    assert run.spec.strategy == f"{tmp_path / 'mine.py'}:Mine"
    assert run.spec.settings["data.root"] == str(decathlon)
    assert json.dumps(run.spec.settings)


def test_a_relative_path_of_the_vectors_of_a_cold_start_becomes_absolute(tmp_path, monkeypatch):
    (tmp_path / "start.npz").touch()
    settings = {"protocol.start": "typiclust", "protocol.start_embeddings": "start.npz"}
    path = write_suite(tmp_path, ["random"], seeds=1)
    monkeypatch.chdir(tmp_path)
    (run,) = load_suite(str(path), settings=settings).runs
    assert with_absolute_paths(run).settings["protocol.start_embeddings"] == str(tmp_path / "start.npz")


def test_a_tuned_entry_has_its_options_and_says_where_they_come_from(tmp_path, monkeypatch):
    tuned = write_tuned(tmp_path / "tuned.json", {"weight": 0.25, "views": 2})
    entries = [
        "taal",
        {"strategy": "taal", "label": "tuned", "tuned": "tuned.json"},
        {
            "strategy": "taal",
            "label": "tuned, random query",
            "tuned": str(tmp_path / "tuned.json"),
            "settings": {"strategy": {"query_rule": "random"}},
        },
    ]
    path = write_suite(tmp_path, entries, seeds=1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    plain, found, random = (run.config for run in plan_runs(load_suite(str(path))))
    assert plain.tuning is None
    assert (plain.strategy.options["weight"], plain.strategy.options["views"]) == (1.0, 3)
    assert found.tuning == random.tuning == tuned.tuning
    assert found.strategy.options == plain.strategy.options | {"weight": 0.25, "views": 2}
    assert random.strategy.options == found.strategy.options | {"query_rule": "random"}


def test_a_tuned_entry_keeps_its_search_on_every_node_and_in_a_probe(tmp_path):
    split = resolve("taal", "phantom", settings=TINY).split
    tuned = write_tuned(tmp_path / "tuned.json", {"weight": 0.25}, cases=[*split.train, *split.val])
    path = write_suite(tmp_path, [{"strategy": "taal", "tuned": "tuned.json"}], seeds=1)
    (planned,) = plan_runs(load_suite(str(path), settings={"protocol.rounds": 0}))
    (tmp_path / "tuned.json").unlink()
    execution = Execution(torch.device("cpu"))
    run_trial(pickle.loads(pickle.dumps(planned)), Folder(tmp_path), execution, NullCallback())
    assert RunReader(tmp_path / planned.folder).config.tuning == tuned.tuning
    assert probe(planned.spec, execution).fit > 0


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"tuned": "no.json"}, "tiny.strategies[1].tuned: '{folder}/no.json' is missing: write it with albench"),
        (
            {"strategy": "star"},
            "tiny.strategies[1].tuned: tuned options must be of the strategy that runs, got those of 'taal' for 'star'",
        ),
        (
            {"settings": {"strategy": {"weight": 2.0}}},
            "tiny.strategies[1].tuned: a tuned option must have its tuned value, got strategy.weight=2.0 instead of "
            "0.25: leave out the setting or the tuned options",
        ),
    ],
)
def test_a_wrong_tuned_entry_is_one_sentence_with_its_path(error_of, tmp_path, entry, sentence):
    write_tuned(tmp_path / "tuned.json", {"weight": 0.25})
    entries = ["random", {"strategy": "taal", "tuned": "tuned.json", **entry}]
    assert sentence.format(folder=tmp_path) in error_of(entries)


def test_tuned_options_of_another_dataset_are_rejected(tmp_path):
    write_tuned(tmp_path / "tuned.json", {"weight": 0.25}, dataset="spleen")
    path = write_suite(tmp_path, [{"strategy": "taal", "tuned": "tuned.json"}])
    with pytest.raises(ConfigError, match="got those of 'spleen' for 'phantom': tune on 'phantom'"):
        plan_runs(load_suite(str(path)))


STUDY = {
    "datasets": [
        "phantom",
        {"dataset": "phantom", "name": "noisy", "settings": {"data": {"noise": 0.6}, "training": {"lr": 0.2}}},
        {
            "dataset": "folder",
            "name": "lesions",
            "settings": {"data": {"root": "lesions"}},
            "variants": [{"group": "few"}],
        },
    ],
    "variants": [
        {"group": "few", "settings": {"protocol": {"budget": 2}, "training": {"lr": 0.1}}},
        {"group": "many", "settings": {"protocol": {"budget": 4}}},
    ],
}


@pytest.fixture
def study(tmp_path):
    """Write a suite of three datasets in two regimes, without a `dataset` and common options of data."""

    def write(strategies=("random",), **more):
        return write_study(tmp_path, list(strategies), **STUDY | more)

    return write


def cells(path, **more):
    return {run.group: (run.dataset, run.dataset_name) for run in load_suite(str(path), **more).runs}


def test_every_dataset_is_run_with_every_variant_unless_it_has_its_own(study):
    path = study(["random", "entropy"])
    assert cells(path) == {
        "phantom, few": ("phantom", "phantom"),
        "phantom, many": ("phantom", "phantom"),
        "noisy, few": ("phantom", "noisy"),
        "noisy, many": ("phantom", "noisy"),
        "lesions, few": ("folder", "lesions"),
    }
    assert len(load_suite(str(path)).runs) == 10
    assert list(cells(study(variants=None))) == ["phantom", "noisy", "lesions, few"]


def test_settings_of_a_dataset_come_after_those_of_the_file_and_before_those_of_a_variant(study):
    runs = {run.group: run.settings for run in load_suite(str(study())).runs}
    assert [runs[group]["training.lr"] for group in ("noisy, few", "noisy, many")] == [0.1, 0.2]
    assert "training.lr" not in runs["phantom, many"]
    assert [settings.get("data.noise") for settings in runs.values()] == [None, None, 0.6, 0.6, None]
    assert [settings["protocol.budget"] for settings in runs.values()] == [2, 4, 2, 4, 3]


def test_a_place_of_data_beside_a_dataset_is_taken_from_the_folder_of_the_suite(study, tmp_path, monkeypatch):
    path = study()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_suite(str(path)).runs[-1].settings["data.root"] == str(tmp_path / "lesions")


def test_datasets_are_chosen_by_their_names_or_replaced(study):
    path = study([{"strategy": "random", "settings": {"data": {"context": 1}}}])
    assert list(cells(path, dataset="noisy")) == ["noisy, few", "noisy, many"]
    assert list(cells(path, dataset="folder")) == ["lesions, few"]
    assert list(cells(path, dataset=["lesions", "phantom"])) == ["lesions, few", "phantom, few", "phantom, many"]
    other = load_suite(str(path), dataset="brats").runs
    assert [(run.group, run.dataset) for run in other] == [("brats, few", "brats"), ("brats, many", "brats")]
    assert not any(name.startswith("data.") for run in other for name in run.settings)


def test_the_groups_of_a_suite_of_one_dataset_do_not_name_it_unless_several_are_chosen(tmp_path):
    path = write_suite(tmp_path, ["random"], seeds=1)
    assert cells(path) == {"": ("phantom", "")}
    assert cells(path, dataset="brats") == {"": ("brats", "")}
    assert list(cells(path, dataset=["phantom", "brats"])) == ["phantom", "brats"]


def test_one_dataset_has_the_same_runs_alone_and_among_several(study, tmp_path):
    path = study(["random", "full"], datasets=[small_phantom("phantom")], variants=None)
    alone = write_suite(tmp_path, ["random", "full"], seeds=1, name="alone")
    assert [run.folder for run in plan_runs(load_suite(str(path)))] == [
        run.folder for run in plan_runs(load_suite(str(alone)))
    ]


def test_a_dataset_that_is_missing_is_named_before_any_is_prepared(study, tmp_path, monkeypatch):
    monkeypatch.setattr(albench.resolve, "prepare", lambda *own: pytest.fail("a dataset is prepared"))
    with pytest.raises(DataError) as caught:
        plan_runs(load_suite(str(study())))
    assert str(caught.value).startswith(f"data.root must be an existing folder, '{tmp_path / 'lesions'}' is not")
    without = "or run it without 'lesions': --dataset phantom --dataset noisy"
    assert str(caught.value).endswith(f"; in study, set data.root of 'lesions' in the file, {without}")


def test_an_option_that_one_of_several_datasets_does_not_have_names_it(study):
    with pytest.raises(ConfigError) as caught:
        plan_runs(load_suite(str(study()), settings={"data.noise": 0.1}))
    assert str(caught.value).startswith(
        "study, dataset 'lesions': an option must be known, got 'data.noise': choose one of data.size, data.window, "
    )


def test_the_manifest_says_of_which_dataset_a_run_is(study, tmp_path, decathlon):
    decathlon.rename(tmp_path / "lesions")
    suite = load_suite(str(study(datasets=[small_phantom("small"), STUDY["datasets"][2]])))
    storage = Folder(tmp_path / "runs")
    write_suite_manifest(suite, plan_runs(suite), storage)
    manifest = read_manifest(storage.local)
    assert manifest is not None
    assert [(run.group, run.dataset) for run in manifest.runs] == [
        ("small, few", "small"),
        ("small, many", "small"),
        ("lesions, few", "lesions"),
    ]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"datasets": []}, "study.datasets must list at least one dataset, it is empty: add a name"),
        (
            {"datasets": ["phantom", "phantom"]},
            "study.datasets must have different names, 'phantom' occurs twice: give one a 'name'",
        ),
        ({"datasets": ["phantm"]}, "study.datasets[0]: dataset must be a known name or FILE.py:Class, got 'phantm'"),
        ({"datasets": [{"name": "a"}]}, "study.datasets[0].dataset must be given"),
        ({"datasets": [{"dataset": "phantom", "nam": "a"}]}, "did you mean 'study.datasets[0].name'?"),
        (
            {"datasets": [{"dataset": "phantom", "settings": {"protocol": {"budgte": 1}}}]},
            "did you mean 'study.datasets[0].settings.protocol.budget'?",
        ),
        (
            {"datasets": [{"dataset": "phantom", "variants": [{"settings": {}}]}]},
            "study.datasets[0].variants[0].group must be given",
        ),
        (
            {"datasets": None},
            "study must have either dataset or datasets, it has neither: name one dataset, or list several",
        ),
    ],
)
def test_the_error_of_a_wrong_dataset_gives_its_path(study, more, sentence):
    with pytest.raises(ConfigError) as caught:
        load_suite(str(study(**more)))
    assert sentence in str(caught.value)


def test_a_suite_has_either_a_dataset_or_several(error_of):
    assert error_of(datasets=["phantom"]) == (
        "tiny must have either dataset or datasets, it has both: name one dataset, or list several"
    )


def test_one_place_cannot_be_that_of_several_datasets(study, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_suite(str(study()), settings={"data.root": str(tmp_path)})
    assert str(caught.value) == (
        "data.root must be given for one dataset, study has 3 (phantom; noisy; lesions): set it in the file beside its "
        "dataset, or choose one with --dataset"
    )
    (run,) = load_suite(str(study()), settings={"data.root": str(tmp_path)}, dataset="lesions").runs
    assert run.settings["data.root"] == str(tmp_path)
