import re

import numpy as np
import pytest
from support.samples import invoke, tiny_arguments

from albench.benchmarks.search import Search, parse_space
from albench.errors import ConfigError
from albench.runs import find_runs, load_runs


def domain(text, strategy="taal"):
    """The domain of the only option of a search."""
    (found,) = Search(strategy, "phantom", parse_space([text]), {}, "val_dice", [0], 1).domains().values()
    return found


def drawn(text, strategy="taal"):
    """Up to 400 distinct values of an option."""
    found = Search(strategy, "phantom", parse_space([text]), {}, "val_dice", [0], 400)
    return [next(iter(options.values())) for options in found.draw()]


def test_a_range_of_integers_includes_both_ends():
    assert set(drawn("views=1..3")) == {1, 2, 3}


def test_a_range_is_sampled_uniformly_or_log_uniformly():
    even, log = np.array(drawn("weight=0.1..10.0")), np.array(drawn("weight=log:0.1..10.0"))
    assert even.min() >= 0.1
    assert even.max() <= 10
    assert 4.5 < np.median(even) < 5.6
    assert 0.8 < np.median(log) < 1.25


def test_values_come_from_a_list_or_from_the_type_of_the_option():
    assert set(drawn("views=[2,5]")) == {2, 5}
    assert set(drawn("batch_norm")) == {"eval", "train"}
    assert set(drawn("share_kv", "star")) == {True, False}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wieght=1..2", "--over must name an option of the strategy, got 'wieght': did you mean 'weight'?"),
        ("weight", "--over weight must give the values to try, it gives none: write NAME=low..high"),
        ("weight=3", "--over weight must be a range or a list of values, got '3'"),
        ("weight=2..1", "--over weight must be a range from low to high, positive with log:, got '2..1'"),
        ("weight=log:0..1", "positive with log:, got 'log:0..1'"),
        ("views=0..3", "strategy.views must be greater than or equal to 1, got 0: change strategy.views in --over"),
        ("batch_norm=[on]", "strategy.batch_norm must be 'eval' or 'train', got True"),
    ],
)
def test_a_wrong_range_is_one_sentence(text, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        domain(text)


def test_combinations_are_distinct_and_reproducible():
    what = Search("taal", "phantom", parse_space(["views=[1,2]", "batch_norm"]), {}, "val_dice", [0], 9)
    combinations = [(options["views"], options["batch_norm"]) for options in what.draw()]
    assert sorted(combinations) == [(1, "eval"), (1, "train"), (2, "eval"), (2, "train")]
    assert what.draw() == what.draw()


def test_a_metric_of_the_test_cases_is_rejected():
    code, output = invoke(
        "tune", "--strategy", "taal", "--dataset", "phantom", "--over", "views=1..2", "--metric", "dice_volume"
    )
    assert code == 2
    assert "--metric must be of the validation cases, got 'dice_volume': did you mean 'val_dice_volume'?" in output


@pytest.mark.slow
def test_a_search_ranks_its_samples_by_the_mean_of_the_validation_curve(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = invoke(
        *("tune", "--strategy", "taal", "--dataset", "phantom", "--over", "views=[1,2]", "--samples", "3"),
        *("--out", "here", "--max-parallel", "2"),
        *[argument for argument in tiny_arguments() if argument not in ("--threads", "1")],
    )
    assert code == 0, output
    runs = load_runs(tmp_path / "here")
    curves = runs[(runs.metric == "val_dice_slice") & (runs.case == "all")].groupby("run").value.mean()
    options = {run.folder.name: run.config.strategy.options["views"] for run in find_runs(tmp_path)}
    best = options[curves.idxmax()]
    scores = [float(score) for score in re.findall(r" [12] (0\.\d{4})", output)]
    assert len(scores) == 2, output
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(curves.max(), abs=1e-4)
    assert f"best: albench run --strategy taal --dataset phantom --set strategy.views={best}" in output
