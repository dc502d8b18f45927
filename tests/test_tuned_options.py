import json
import re
from dataclasses import replace

import pytest
from support.samples import TINY, invoke, tiny_arguments
from support.suites import FAILS, write_tuned

import albench
from albench.errors import ConfigError, StoreError
from albench.registry import STRATEGIES, find, former_source_digest, source_digest
from albench.resolve import resolve
from albench.tuned_options import read_tuned

FOUND = {"views": 2, "weight": 0.25}


def test_a_document_is_read_as_it_was_written(tmp_path):
    tuned = write_tuned(tmp_path / "tuned.json", FOUND, cases=["phantom-000"])
    assert read_tuned(tmp_path / "tuned.json") == tuned


def test_a_tuned_run_has_the_digest_of_a_run_with_the_same_settings_and_says_that_it_was_tuned(tmp_path):
    tuned = write_tuned(tmp_path / "tuned.json", FOUND)
    made = resolve("taal", "phantom", settings=TINY, tuned=tuned).config
    same = resolve("taal", "phantom", settings=TINY | {f"strategy.{name}": v for name, v in FOUND.items()}).config
    assert made.strategy == same.strategy
    assert made.digest() == same.digest() != resolve("taal", "phantom", settings=TINY).config.digest()
    assert made.tuning == tuned.tuning
    assert same.tuning is None


def test_other_options_can_be_set_beside_the_tuned_ones(tmp_path):
    tuned = write_tuned(tmp_path / "tuned.json", FOUND)
    made = resolve("taal", "phantom", settings=TINY | {"strategy.query_rule": "random"}, tuned=tuned).config
    assert (FOUND | {"query_rule": "random"}).items() <= made.strategy.options.items()


def test_a_run_from_python_takes_a_tuned_file_and_stores_its_search(tmp_path):
    tuned = write_tuned(tmp_path / "tuned.json", FOUND)
    settings = TINY | {"protocol.rounds": 0}
    done = albench.run("taal", "phantom", settings=settings, tuned=tmp_path / "tuned.json", out=tmp_path, device="cpu")
    assert done.config.tuning == tuned.tuning
    assert json.loads(done.layout.config.read_text())["run"]["tuning"]["trials"] == 12
    again = albench.run("taal", "phantom", settings=settings, tuned=str(tmp_path / "tuned.json"), out=tmp_path)
    assert again.folder == done.folder


@pytest.mark.parametrize(("digest", "edit_of_comments"), [(source_digest, True), (former_source_digest, False)])
def test_options_of_a_plugin_are_of_its_code_or_up_to_albench_0_4_0_of_its_text(tmp_path, digest, edit_of_comments):
    path = tmp_path / "fails.py"
    path.write_text(FAILS)
    cls = find(STRATEGIES, f"{path}:Fails")
    tuned = write_tuned(tmp_path / "tuned.json", {"flag": "no"}, strategy="fails")
    tuned = replace(tuned, strategy=replace(tuned.strategy, code=digest(cls)))
    assert tuned.added_to(cls, {}) == {"strategy.flag": "no"}
    sentence = "tuned options must be of the code that runs, the file of 'fails' was changed since it was tuned"
    path.write_text(f"# a comment\n{FAILS}")
    if edit_of_comments:
        assert tuned.added_to(cls, {}) == {"strategy.flag": "no"}
    else:
        with pytest.raises(ConfigError, match=sentence):
            tuned.added_to(cls, {})
    path.write_text(f"{FAILS}EDITED = 1\n")
    with pytest.raises(ConfigError, match=sentence):
        tuned.added_to(cls, {})


@pytest.mark.parametrize(
    ("strategy", "more", "document", "sentence"),
    [
        (
            "star",
            (),
            {},
            "tuned options must be of the strategy that runs, got those of 'taal' for 'star': run 'taal', or tune "
            "'star'",
        ),
        (
            "taal",
            ("--set", "strategy.views=3"),
            {},
            "a tuned option must have its tuned value, got strategy.views=3 instead of 2: leave out the setting or the "
            "tuned options",
        ),
        (
            "taal",
            (),
            {"dataset": "spleen"},
            "tuned options must be of the dataset that runs, got those of 'spleen' for 'phantom': tune on 'phantom'",
        ),
        (
            "taal",
            (),
            {"cases": [f"phantom-00{index}" for index in range(6)]},
            "options must not be tuned on test cases, the search chose by 'phantom-",
        ),
        ("taal", (), {"options": {"wieght": 1.0}}, "got 'strategy.wieght': did you mean 'strategy.weight'?"),
    ],
)
def test_tuned_options_that_do_not_fit_the_run_are_one_sentence(tmp_path, strategy, more, document, sentence):
    write_tuned(tmp_path / "tuned.json", **({"options": FOUND} | document))
    code, output = invoke(
        *("run", "--strategy", strategy, "--dataset", "phantom", "--tuned", tmp_path / "tuned.json"),
        *("--out", tmp_path / "runs", *tiny_arguments(), *more),
    )
    assert code == 2, output
    assert output.startswith("albench: ")
    assert sentence in output
    assert not (tmp_path / "runs").exists()


def test_cases_of_the_training_may_have_been_validation_cases_of_the_search(tmp_path):
    split = resolve("taal", "phantom", settings=TINY).split
    tuned = write_tuned(tmp_path / "tuned.json", FOUND, cases=[*split.train, *split.val])
    assert resolve("taal", "phantom", settings=TINY, tuned=tuned).config.tuning
    leaking = write_tuned(tmp_path / "tuned.json", FOUND, cases=split.test)
    with pytest.raises(ConfigError, match=f"the search chose by '{split.test[0]}' and the run tests on it"):
        resolve("taal", "phantom", settings=TINY, tuned=leaking)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"trials": 12', '"trials": 2', "was changed after it was written"),
        ('"trials": 12', '"trials": 0', "tuning.trials must be greater than or equal to 1, it is 0"),
        ('"format": 4', '"format": 3', "must be of format 4"),
        ("}", "", "must hold JSON, it is damaged"),
    ],
)
def test_a_changed_document_is_one_sentence(tmp_path, old, new, sentence):
    path = tmp_path / "tuned.json"
    write_tuned(path, FOUND)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(StoreError, match=re.escape(sentence)) as error:
        read_tuned(path)
    assert str(path) in str(error.value)


def test_a_missing_document_is_one_sentence(tmp_path):
    code, output = invoke(
        *("run", "--strategy", "taal", "--dataset", "phantom", "--tuned", tmp_path / "no.json"), *tiny_arguments()
    )
    assert (code, output) == (2, f"albench: '{tmp_path / 'no.json'}' is missing: write it with albench tune")


def test_a_run_with_options_set_by_hand_does_not_become_a_tuned_one(tmp_path):
    tuned = write_tuned(tmp_path / "tuned.json", {"weight": 0.5})
    albench.run("taal", "phantom", settings=TINY | {"strategy.weight": 0.5}, out=tmp_path, device="cpu")
    with pytest.raises(StoreError, match="begun with the same options set by hand and now they are tuned in 12 tri"):
        albench.run("taal", "phantom", settings=TINY, tuned=tmp_path / "tuned.json", out=tmp_path, device="cpu")
    assert tuned.tuning.trials == 12
