"""The file of a suite as it is written."""

import pytest
import yaml

from albench.errors import ConfigError
from albench.suite_file import DatasetEntry, StrategyEntry, VariantEntry, entry_digest, read_suite_file


@pytest.fixture
def read(tmp_path):
    """Write a file and read it."""

    def call(**content):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(content))
        return read_suite_file(path)

    return call


def test_a_suite_may_be_without_a_description(read):
    assert read(dataset="phantom", strategies=["random"]).about == ""


def test_groups_are_named_after_datasets_where_a_file_lists_them(read):
    def groups(**content):
        file = read(strategies=["random"], variants=[{"group": "few"}, {"group": "many"}], **content)
        return [
            dataset.group(variant, named=file.several)
            for place, dataset in file.datasets.items()
            for variant in file.variants_of(place, dataset).values()
        ]

    assert groups(dataset="phantom") == ["few", "many"]
    lesions = {"dataset": "folder", "name": "lesions", "variants": []}
    assert groups(datasets=["phantom", lesions]) == ["phantom, few", "phantom, many", "lesions"]


def test_an_entry_has_its_digest_under_any_name():
    dataset, variant = DatasetEntry("phantom", settings={"data": {"side": 32}}), VariantEntry("few")
    method = StrategyEntry("star", settings={"strategy": {"aggregation": "none"}})
    digest = entry_digest(dataset, variant, method)
    other_names = (
        DatasetEntry("phantom", "noisy", {"data": {"side": 32}}),
        VariantEntry("many", {}),
        StrategyEntry("star", "star without attention", {"strategy": {"aggregation": "none"}}),
    )
    assert entry_digest(*other_names) == digest
    others = [
        entry_digest(DatasetEntry("phantom"), variant, method),
        entry_digest(dataset, VariantEntry("few", {"protocol": {"budget": 3}}), method),
        entry_digest(dataset, VariantEntry("few", network="unet"), method),
        entry_digest(dataset, variant, StrategyEntry("star")),
        entry_digest(dataset, variant, StrategyEntry("taal", settings=method.settings)),
        entry_digest(dataset, variant, StrategyEntry("star", settings=method.settings, tuned="tuned.json")),
    ]
    assert len({digest, *others}) == 7


def test_a_digest_does_not_depend_on_the_order_of_options_and_takes_any_key():
    dataset, variant = DatasetEntry("phantom"), VariantEntry("few")
    one, two = {"a": 1, 2: [{"c": None, 3: "d"}]}, {2: [{3: "d", "c": None}], "a": 1}
    digests = {entry_digest(dataset, variant, StrategyEntry("star", settings={"strategy": s})) for s in (one, two)}
    assert len(digests) == 1


def test_a_wrong_variant_is_named_by_its_path(read):
    file = read(dataset="phantom", strategies=["random"], variants=[{"group": "few"}, {"name": "many"}])
    (place,) = file.datasets
    with pytest.raises(ConfigError, match=r"got 'mine.variants\[1\].name': choose one of mine.variants\[1\].group"):
        file.variants_of(place, file.datasets[place])
