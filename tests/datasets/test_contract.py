"""The rules for every dataset without files; datasets with files have separate tests."""

import dataclasses

import numpy as np
import pytest

from albench.data import Dataset, check_volume
from albench.registry import DATASETS, available, find
from albench.resolve import resolve

_NAMES = [entry.name for entry in available(DATASETS) if entry.cls is not None and not entry.cls.locations]


@pytest.fixture(params=_NAMES)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return find(DATASETS, request.param)()


def test_no_dataset_is_broken():
    assert [entry.problem for entry in available(DATASETS) if entry.cls is None] == []
    assert "phantom" in _NAMES


def test_cases_are_sorted_and_unique(dataset):
    cases = list(dataset.cases())
    assert len(cases) >= 3
    assert cases == sorted(set(cases))
    assert cases == list(dataset.cases())


def test_loading_a_case_returns_the_same_valid_volume_every_time(dataset):
    cases = list(dataset.cases())
    for case in (cases[0], cases[-1]):
        first, second = dataset.load(case), dataset.load(case)
        check_volume(first, case)
        assert first.image.ndim == 4
        assert first.image.shape[1:] == first.mask.shape
        assert (first.image.dtype, first.mask.dtype) == (np.float32, np.uint8)
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.mask, second.mask)
        assert first.spacing == second.spacing
    different = dataset.load(cases[0])
    assert different.image.shape != first.image.shape or not np.array_equal(different.image, first.image)


def test_a_mask_has_foreground_and_background(dataset):
    mask = dataset.load(dataset.cases()[0]).mask
    assert 0 < mask.mean() < 0.5


def test_defaults_are_settings_that_the_user_overrides(dataset):
    resolved = resolve("random", dataset.name, settings={"protocol.rounds": 1}).config
    for name, value in ({**dataset.defaults(), "protocol.rounds": 1}).items():
        section, _, option = name.partition(".")
        found = resolved.network.options if section == "network" else vars(getattr(resolved, section))
        assert found[option] == value


def test_every_option_is_documented(dataset):
    from albench.cli.catalog import describe

    meaning = describe(dataset.name).partition("Meaning:\n")[2]
    for field in dataclasses.fields(dataset):
        assert f"  {field.name}: " in meaning
