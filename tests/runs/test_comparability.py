"""Settings of two runs, compared by dotted name."""

from dataclasses import replace

from albench.config import Choice, Protocol, RunConfig, Training
from albench.runs.comparability import differences, differing_options


def config(**options: object) -> RunConfig:
    """Settings of a run of `random` on a dataset with these options."""
    random, network = Choice("random", "random", None, {}), Choice("residual", "residual", None, {})
    dataset = Choice("folder", "folder", None, dict(options))
    return RunConfig(random, dataset, "x", {}, "abc", 0, Protocol(), Training(), network)


def test_settings_differ_by_dotted_name_also_those_within_mappings():
    one, other = config(classes={"liver": 1, "name": 2}, size=[8, 8]), config(classes={"liver": 3}, size=[8, 8])
    assert differences(one, other) == [
        "dataset.options.classes.liver is 1 and not 3",
        "dataset.options.classes.name is 2 and not None",
    ]
    assert differences(one, replace(one, network=Choice("unet", "unet", None, {}), data_key="abd")) == [
        "network.name is residual and not unet",
        "data_key is abc and not abd",
    ]
    assert differences(one, replace(one, seed=1, strategy=Choice("entropy", "entropy", None, {}))) == []


def test_an_option_that_is_a_mapping_is_one_option_and_a_strategy_among_them_has_several():
    def choice(share: float, passes: int) -> Choice:
        bald = {"name": "bald", "passes": passes}
        return Choice("mine", "mine", None, {"shares": {"a": share, "b": 0.5}, "inner": bald})

    rivals = [choice(0.5, 10), choice(0.25, 20)]
    assert differing_options(rivals[1], rivals) == ["shares={'a': 0.25, 'b': 0.5}", "inner.passes=20"]
