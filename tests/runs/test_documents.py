"""JSON that Python would read differently from what it says is damage, in one sentence."""

import json
from dataclasses import replace

import pytest

from albench.errors import StoreError
from albench.runs.documents import decode, encode, write_document
from albench.runs.records import FailureRecord, FitSummary

FIT = FitSummary("training", 2, 1, 10, 5, 80, 0.5, 0.75)


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_damage(value):
    text = encode(FIT).replace("0.5", value)
    with pytest.raises(StoreError, match=r"^'fit\.json' must hold JSON, it is damaged \(.*\): remove it$"):
        decode(FitSummary, text, "'fit.json'", "remove it")


def test_endless_nesting_is_damage():
    with pytest.raises(StoreError, match=r"^'failure\.json' must hold JSON, it is damaged \(.*\): remove it$"):
        decode(FailureRecord, "[" * 200_000, "'failure.json'", "remove it")


def test_a_document_is_read_as_it_was_written():
    assert decode(FitSummary, encode(FIT), "'fit.json'", "remove it") == FIT


def test_a_document_is_read_in_any_layout():
    content = json.loads(encode(FIT))
    for text in (json.dumps(content, indent=1), json.dumps(content, sort_keys=True), f" {encode(FIT)}\n"):
        assert decode(FitSummary, text, "'fit.json'", "remove it") == FIT


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    sentence = r"^a FitSummary must be storable, best_epoch must be greater than or equal to 0, it is -1: give it"
    with pytest.raises(StoreError, match=sentence):
        write_document(tmp_path / "fit.json", replace(FIT, best_epoch=-1))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_document(tmp_path / "fit.json", replace(FIT, val_loss=float("nan")))
    assert not list(tmp_path.iterdir())
