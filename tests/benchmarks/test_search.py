import re
import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest, loguniform, uniform
from support import made_runs
from support.breaking import break_after_round_0, out_of_memory
from support.samples import TINY, invoke, tiny_arguments
from support.suites import results

from albench.benchmarks.search import METRICS, Search, in_words, parse_space
from albench.errors import ConfigError
from albench.reports.reported_metrics import find_metric
from albench.resolve import resolve
from albench.runs import find_runs, load_runs
from albench.runs.manifest import read_manifest
from albench.tuned_options import read_tuned

PLUGIN = """
from dataclasses import dataclass

from albench.strategy import Query, Round, Strategy


@dataclass(frozen=True)
class Mine(Strategy):
    stride: int
    broken: bool = False
    when: int = 1

    def query(self, ctx: Round) -> Query:
        if self.broken and ctx.index == self.when:
            raise RuntimeError("the idea did not work")
        return Query(ctx.pool.unlabeled[:: self.stride][: ctx.budget])
"""

OPTIONS = """
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from albench.strategy import Query, Round, Strategy


@dataclass(frozen=True)
class Options(Strategy):
    required: str
    rate: Annotated[float, Field(ge=0)] = 1.0
    count: Annotated[int, Field(ge=0)] | None = None
    flag: bool = False
    mode: Literal["none", "some"] = "none"
    sizes: tuple[int, int] = (1, 2)
    either: int | Literal["all"] = "all"
    path: str = ""

    def __post_init__(self) -> None:
        if self.flag and self.mode == "none":
            raise ValueError("flag needs a mode")

    def query(self, ctx: Round) -> Query:
        return Query(ctx.pool.unlabeled[: ctx.budget])
"""

CEAL = (
    *("--strategy", "ceal-entropy", "--over", "pseudo=[none,2]", "--over", "balanced", "--set", "strategy.top=0.5"),
    *("--samples", "3", "--seeds", "2"),
)


@pytest.fixture
def plugin(tmp_path):
    """The import path of a strategy with one option of every type."""
    (tmp_path / "plugin.py").write_text(OPTIONS)
    return f"{tmp_path / 'plugin.py'}:Options"


def searching(*texts, strategy="taal", samples=400, **settings):
    fixed = {f"strategy.{name}": value for name, value in settings.items()}
    return Search(strategy, "phantom", parse_space(texts), fixed, "val_dice_volume", [0], samples)


def drawn(text, strategy="taal", **settings):
    """Up to 400 distinct values of an option."""
    options = searching(text, strategy=strategy, **settings).draw()
    return [next(iter(combination.values())) for combination in options]


def tuning(*arguments, settings=TINY):
    """Call `albench tune` on the tiny phantom without Ray; returns the exit code and the output."""
    replaced = {str(argument).partition("=")[0] for argument in arguments}
    given = [part for name, value in settings.items() if name not in replaced for part in ("--set", f"{name}={value}")]
    return invoke("tune", "--dataset", "phantom", "--no-ray", "--device", "cpu", *given, *arguments)


@pytest.fixture(scope="module")
def ceal(tmp_path_factory):
    """A finished search over two options of CEAL with two seeds: its folder and the output."""
    out = tmp_path_factory.mktemp("search") / "ceal"
    code, output = tuning(*CEAL, "--out", out)
    assert code == 0, output
    return out, output


def test_a_range_of_integers_includes_both_ends_with_equal_probability():
    assert set(drawn("views=1..3")) == {1, 2, 3}
    (domain,) = searching("views=1..3").domains().values()
    rng = np.random.default_rng(1)
    counts = np.unique([domain(rng) for _ in range(3000)], return_counts=True)[1]
    assert abs(counts - 1000).max() < 100


def test_a_logarithmic_range_of_integers_includes_both_ends():
    assert set(drawn("ramp=log:1..3")) == {1, 2, 3}


def test_a_range_is_sampled_uniformly_or_log_uniformly():
    even, log = drawn("weight=0.1..10.0"), drawn("weight=log:0.1..10")
    assert kstest(even, uniform(0.1, 9.9).cdf).pvalue > 0.01
    assert kstest(log, loguniform(0.1, 10).cdf).pvalue > 0.01


def test_whole_ends_of_a_real_option_are_a_range_of_real_numbers():
    values = np.array(drawn("weight=1..3"))
    assert len(values) == 400
    assert ((values > 1) & (values < 3)).all()


def test_values_come_from_a_list_or_from_the_type_of_the_option():
    assert set(drawn("views=[2,5]")) == {2, 5}
    assert set(drawn("batch_norm")) == {"eval", "train"}
    assert set(drawn("share_kv", "star")) == {True, False}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rate=[1,2e-3]", [1.0, 0.002]),
        ("count=[none,0,7]", [None, 0, 7]),
        ("count=2..3", [2, 3]),
        ("flag", [False, True]),
        ("mode", ["none", "some"]),
        ("sizes=[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        ("either=[3,all]", [3, "all"]),
        ("path=[../a,b..c]", ["../a", "b..c"]),
        ("required=[a]", ["a"]),
    ],
)
def test_options_of_every_type_of_a_plugin_keep_their_type(plugin, text, values):
    settings = {} if text.startswith("required") else {"required": "x", "mode": "some"}
    settings = {name: value for name, value in settings.items() if not text.startswith(name)}
    found = drawn(text, plugin, **settings)
    assert sorted(found, key=str) == sorted(values, key=str)
    assert sorted(map(type, found), key=str) == sorted(map(type, values), key=str)


@pytest.mark.slow
def test_combinations_that_the_strategy_rejects_are_not_tried(plugin):
    what = searching("flag", "mode", strategy=plugin, required="x")
    pairs = {(options["flag"], options["mode"]) for options in what.draw()}
    assert pairs == {(False, "none"), (False, "some"), (True, "some")}
    with pytest.raises(ConfigError, match=r"must have options that fit together.*flag needs a mode"):
        searching("flag=[true]", strategy=plugin, required="x").draw()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wieght=1..2", "--over must name an option of the strategy, got 'wieght': did you mean 'weight'?"),
        ("weight", "--over weight must give the values to try, it gives none: write NAME=low..high"),
        ("weight=3", "--over weight must be a range or a list of values, got '3'"),
        ("weight=[1,", "--over weight must have values in YAML, got '[1,': write NAME=low..high"),
        ("weight=2..1", "--over weight must be a range of numbers from low to high, positive with log:, got '2..1'"),
        ("weight=log:0..1", "positive with log:, got 'log:0..1'"),
        ("batch_norm=eval..train", "--over batch_norm must be a range of numbers from low to high"),
        ("views=0..3", "strategy.views must be greater than or equal to 1, got 0: change strategy.views in --over"),
        ("views=0.5..3", "strategy.views must be a valid integer, got 0.5"),
        ("batch_norm=[on]", "strategy.batch_norm must be 'eval' or 'train', got 'on'"),
        ("unit=[dice]", "an option must be varied or set, strategy.unit is both: leave out its --over or its --set"),
    ],
)
def test_a_wrong_range_is_one_sentence(text, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        searching(text, unit="none").domains()


def test_a_range_of_an_option_without_a_value_is_of_numbers(plugin):
    with pytest.raises(ConfigError, match=r"--over count must be a range of numbers .* got 'none..5'"):
        searching("count=none..5", strategy=plugin).domains()


def test_combinations_are_distinct_and_reproducible():
    what = searching("views=[1,2]", "batch_norm", samples=9)
    combinations = [(options["views"], options["batch_norm"]) for options in what.draw()]
    assert sorted(combinations) == [(1, "eval"), (1, "train"), (2, "eval"), (2, "train")]
    assert what.draw() == what.draw()
    assert searching("weight=0..1", samples=2).draw() == searching("weight=0..1", samples=5).draw()[:2]


def test_values_are_printed_as_the_user_writes_them():
    assert [in_words(value) for value in (None, True, 0.123456, 3, "some")] == ["none", "true", "0.1235", "3", "some"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--metric", "dice_volume"),
            "--metric must be of the validation cases, got 'dice_volume': did you mean 'val_dice_volume'?",
        ),
        (
            ("--set", "protocol.validation=none", "--set", "training.stop=steps"),
            "a search needs validation cases to choose by, got protocol.validation=none: set it to free or charged",
        ),
        (("--set", "strategy.views=3"), "an option must be varied or set, strategy.views is both"),
        (("--max-parallel", "2"), "--no-ray does one run at a time, got 2 in parallel"),
    ],
)
def test_a_wrong_search_is_one_sentence_and_starts_no_run(tmp_path, arguments, sentence):
    code, output = tuning("--strategy", "taal", "--over", "views=1..2", "--out", tmp_path / "here", *arguments)
    assert code == 2, output
    assert f"albench: {sentence}" in output
    assert not (tmp_path / "here").exists()


def test_a_search_ranks_its_trials_by_the_mean_of_the_validation_curves(ceal):
    out, output = ceal
    runs = load_runs(out)
    curves = runs[(runs.metric == "val_dice_volume") & (runs.case == "all")]
    options = {run.folder.name: run.config.strategy.options for run in find_runs(out)}
    trial = curves.run.map({name: f"{in_words(o['pseudo'])} {in_words(o['balanced'])}" for name, o in options.items()})
    means = curves.value.groupby(trial).mean()
    printed = {trial: float(score) for trial, score in re.findall(r" ((?:none|2) (?:true|false)) (0\.\d{4})", output)}
    assert len(printed) == 3, output
    assert printed == pytest.approx(dict(means), abs=1e-4)
    assert list(printed.values()) == sorted(printed.values(), reverse=True)


@pytest.mark.slow
def test_the_document_of_a_search_says_what_its_runs_on_disk_say(ceal):
    out, _ = ceal
    tuned, runs = read_tuned(out / "tuned.json"), find_runs(out)
    assert {run.config.seed for run in runs} == {0, 1}
    assert tuned.tuning.trials * tuned.tuning.seeds == len(runs) == 6
    values: dict[tuple[object, object], list[float]] = {}
    for run in runs:
        options = run.config.strategy.options
        values.setdefault((options["pseudo"], options["balanced"]), []).extend(r.val.dice_volume for r in run.records)
    scores = {combination: np.mean(found) for combination, found in values.items()}
    best = tuned.tuning.options
    assert tuned.tuning.score == pytest.approx(max(scores.values())) == scores[best["pseudo"], best["balanced"]]
    records = [record for run in runs for record in run.records]
    trainings = [training for record in records for training in (*record.fit_trainings, *record.query_trainings)]
    assert len(trainings) == 6 * 3
    assert tuned.tuning.steps == sum(training.steps for training in trainings)
    assert tuned.tuning.seconds == pytest.approx(sum(record.cost.seconds.total for record in records))
    assert tuned.tuning.metric == "val_dice_volume"
    assert tuned.strategy.options == {"top": 0.5, **tuned.tuning.options}
    assert (tuned.strategy.name, tuned.dataset) == ("ceal-entropy", "phantom")
    assert set(tuned.cases) == {case for run in runs for case in run.split.val}


def test_steps_of_a_search_include_a_shared_round_0_for_every_run(ceal):
    """10, 13 and 16 labeled slices in batches of 8 are 2 steps per pass; there are 2 passes."""
    out, _ = ceal
    made = sum(record.cost.steps for run in find_runs(out) for record in run.records)
    plain = [run for run in find_runs(out) if run.config.strategy.options["pseudo"] == 2]
    assert {run.records[0].fit_trainings[0].steps for run in find_runs(out)} == {4}
    assert plain
    assert made == read_tuned(out / "tuned.json").tuning.steps - 4 * 4


def test_a_finished_search_is_not_repeated_and_its_runs_are_a_suite(ceal):
    out, _ = ceal
    before, records = (out / "tuned.json").read_bytes(), {run.folder: run.records for run in find_runs(out)}
    code, output = tuning(*CEAL, "--out", out)
    assert code == 0, output
    assert "ceal: 6 runs, 6 already finished" in output
    assert (out / "tuned.json").read_bytes() == before
    assert {run.folder: run.records for run in find_runs(out)} == records
    labels = {run.label for run in read_manifest(out).runs}
    assert len(labels) == 3
    assert all(re.fullmatch(r"trial \d \(pseudo=(2|none), balanced=(true|false)\)", label) for label in labels)


def test_the_progress_of_a_search_shows_validation_cases_only(ceal):
    out, output = ceal
    shown = [float(value) for value in re.findall(r"volume (\d\.\d{3})", output)]
    records = [record for run in find_runs(out) for record in run.records]
    assert len(shown) == len(records) == 18
    assert sorted(shown) == pytest.approx(sorted(record.val.dice_volume for record in records), abs=6e-4)
    assert sorted(shown) != pytest.approx(sorted(record.test.dice_volume for record in records), abs=6e-4)


def test_the_command_that_a_search_prints_runs_the_tuned_options(ceal, tmp_path):
    out, output = ceal
    (command,) = re.findall(r"next: albench (run .*)$", output)
    assert f"--tuned {out / 'tuned.json'}" in command
    assert "strategy." not in command
    code, printed = invoke(*shlex.split(command), "--out", tmp_path / "runs", "--threads", "1", "--device", "cpu")
    assert code == 0, printed
    tuned = read_tuned(out / "tuned.json")
    (run,) = find_runs(tmp_path / "runs")
    assert run.config.tuning == tuned.tuning
    assert tuned.strategy.options.items() <= run.config.strategy.options.items()
    (same,) = [other for other in find_runs(out) if other.folder.name == run.folder.name]
    assert [record.results() for record in run.records] == [record.results() for record in same.records]


@pytest.mark.slow
def test_a_search_takes_trials_of_other_code_only_with_the_option(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    command = ("--strategy", f"{tmp_path / 'mine.py'}:Mine", "--over", "stride=[2,3]", "--out", tmp_path / "here")
    assert tuning(*command)[0] == 0
    (tmp_path / "mine.py").write_text(f"{PLUGIN}EDITED = True\n")
    code, output = tuning(*command)
    assert code == 2
    assert "a search needs a trial with a score, all 2 failed, the first with: a run must be continued by the code" in (
        output
    )
    assert tuning(*command, "--accept-code-change")[0] == 0
    assert len(find_runs(tmp_path / "here")) == 2


def test_a_trial_that_fails_is_counted_and_not_chosen(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    save = tmp_path / "elsewhere" / "mine.json"
    code, output = tuning(
        *("--strategy", f"{tmp_path / 'mine.py'}:Mine", "--set", "strategy.stride=2", "--over", "broken"),
        *("--out", tmp_path / "here", "--save", save),
    )
    assert code == 0, output
    assert re.search(r"FAILED trial \d \(broken=true\), seed 0: RuntimeError: the idea did not work", output)
    tuned, runs = read_tuned(save), find_runs(tmp_path / "here")
    assert not (tmp_path / "here" / "tuned.json").exists()
    assert tuned.strategy.options == {"stride": 2, "broken": False}
    assert tuned.strategy.spec == f"{tmp_path / 'mine.py'}:Mine"
    assert tuned.tuning.trials == len(runs) == 2
    assert sorted(len(run.records) for run in runs) == [1, 3]
    assert tuned.tuning.steps == sum(t.steps for run in runs for record in run.records for t in record.fit_trainings)

    made = resolve(tuned.strategy.spec, "phantom", settings=TINY, tuned=tuned).config
    assert made.strategy.options == {"stride": 2, "broken": False, "when": 1}
    (tmp_path / "mine.py").write_text(f"{PLUGIN}EDITED = True\n")
    with pytest.raises(ConfigError, match="the file of 'mine' was changed since it was tuned: tune it again"):
        resolve(tuned.strategy.spec, "phantom", settings=TINY, tuned=tuned)


def test_a_search_without_a_finished_trial_is_one_sentence(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    code, output = tuning(
        *("--strategy", f"{tmp_path / 'mine.py'}:Mine", "--set", "strategy.broken=true", "--over", "stride=[1,2]"),
        *("--set", "strategy.when=0", "--out", tmp_path / "here"),
    )
    assert code == 2
    sentence = "a search needs a trial with a score, all 2 failed, the first with: RuntimeError: the idea did not work"
    assert f"albench: {sentence}" in output
    assert not (tmp_path / "here" / "tuned.json").exists()


@pytest.mark.slow
def test_a_search_on_ray_finds_what_a_search_in_one_process_finds(ceal, tmp_path, monkeypatch):
    out, _ = ceal
    monkeypatch.chdir(tmp_path)
    code, output = invoke(
        *("tune", "--dataset", "phantom", "--max-parallel", "2", *CEAL),
        *[argument for argument in tiny_arguments() if argument not in ("--threads", "1")],
    )
    assert code == 0, output
    found = read_tuned(tmp_path / "runs/tune/ceal-entropy-phantom/tuned.json")
    expected = read_tuned(out / "tuned.json")
    assert replace(found, tuning=replace(found.tuning, seconds=expected.tuning.seconds)) == expected


@pytest.mark.slow
def test_a_search_for_which_the_gpu_has_no_memory_says_so_and_the_same_command_continues(tmp_path, monkeypatch):
    command = ("--strategy", "taal", "--over", "views=[1,3]", "--samples", "2", "--out")
    with monkeypatch.context() as breaking:
        break_after_round_0(breaking, torch.Tensor, "backward", out_of_memory())
        code, output = tuning(*command, tmp_path / "search")
    assert code == 2
    assert output.count("FAILED: a run must fit into the memory of the GPU, in ") == 2
    assert "albench: a search needs a trial with a score, all 2 failed, the first with: a run must fit into" in output
    code, output = tuning(*command, tmp_path / "search")
    assert code == 0, output
    tuning(*command, tmp_path / "undisturbed")
    assert results(tmp_path / "search") == results(tmp_path / "undisturbed")


def test_a_metric_has_one_name_in_searches_reports_and_tables(tmp_path):
    made_runs.write_run(tmp_path, "random", 0, [0.5, 0.6])
    (path,) = tmp_path.rglob("scores.csv")
    assert set(METRICS) <= set(pd.read_csv(path).metric)
    assert set(METRICS) <= set(load_runs(tmp_path).metric)
    assert [find_metric(name).name for name in METRICS] == list(METRICS)
