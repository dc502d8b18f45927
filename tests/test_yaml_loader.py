import re

import pytest
import yaml

from albench.yaml_loader import load_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("-1E5", -1e5), ("1.5e3", 1500.0), (".5e-1", 0.05), ("[1e-4, 3, 2.5]", [1e-4, 3, 2.5])],
)
def test_a_number_with_an_exponent_is_a_number(text, value):
    assert load_yaml(text) == value


@pytest.mark.parametrize("text", ["'1e-4'", '"30"', "1e-4x", "e5", "none", "1e"])
def test_quoted_numbers_and_words_are_text(text):
    assert load_yaml(text) == text.strip("'\"")


@pytest.mark.parametrize("text", ["010", "-010", "007", "0x10", "0b11", "0o17", "1_000", "2001-01-01", "yes", "off"])
def test_what_only_an_old_yaml_reads_as_a_number_a_date_or_a_boolean_is_text(text):
    assert load_yaml(text) == text
    assert load_yaml(f"{{{text}: [{text}]}}") == {text: [text]}


@pytest.mark.parametrize("text", ["0", "+12", "-3", "true", "False", "~", "", ".inf", "{a: null}", "2.", ".5"])
def test_decimal_numbers_true_false_and_null_are_what_they_are_in_yaml(text):
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["1:30", "-1:30", "190:20:30.15", "12:30:45"])
def test_a_number_to_the_base_60_is_rejected_unless_it_is_quoted(text):
    sentence = (
        f"a value such as {text} must be quoted if it is text, or written as one number, because YAML reads it to the "
        "base 60, in line 2"
    )
    with pytest.raises(yaml.YAMLError, match=f"^{re.escape(sentence)}$"):
        load_yaml(f"a: 1\nb: {text}")
    assert load_yaml(f"'{text}'") == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\n\na: 2", "the key 'a' occurs twice in line 3, first in line 1"),
        ("- b: {c: 1,\n  c: 2}", "the key 'c' occurs twice in line 2, first in line 1"),
        ("{[1]: 2}", "a key must be text or a number, that in line 1 is a list or a mapping"),
        ("a: !!int 3", "a value must be plain, without the tag 'tag:yaml.org,2002:int', it breaks this in line 1"),
        (r'a: "\uD800"', "text must be Unicode, without halves of a character, it breaks this in line 1"),
        ("a: *b", "found undefined alias 'b' in line 1, column 4"),
        ("a: 1\nb: [", "expected the node content, but found '<stream end>' in line 2, column 5"),
        ("a:\n  &b [*b]", "an alias must not stand in its own value, as '*b' does, it breaks this in line 2"),
    ],
)
def test_what_is_not_plain_yaml_is_one_sentence_with_its_line(text, sentence):
    with pytest.raises(yaml.YAMLError, match=f"^{re.escape(sentence)}$"):
        load_yaml(text)


def test_aliases_repeat_a_value():
    assert load_yaml("a: &x [1, {b: 2}]\nc: [*x, *x]") == {"a": [1, {"b": 2}], "c": [[1, {"b": 2}]] * 2}


def _repeated(times: int, levels: int) -> str:
    """A document in which each line repeats the one before it in a list: 9 ** 9 values in 9 lines."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * times)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 10_000, "values must be nested at most 32 deep, it breaks this in line 1"),
        ("- " * 33 + "1", "values must be nested at most 32 deep, it breaks this in line 1"),
        (_repeated(1, 33), "values must be nested at most 32 deep, it breaks this in line 31"),
        (_repeated(9, 9), "a document must have at most 100000 values, it breaks this in line 6"),
        ("#" * 1_000_001, "a document must have at most 1000000 characters, this has 1000001"),
    ],
    ids=["brackets", "dashes", "deep aliases", "many aliases", "long"],
)
def test_a_bomb_is_rejected_before_it_takes_time_or_memory(text, sentence):
    with pytest.raises(yaml.YAMLError, match=f"^{sentence}$"):
        load_yaml(text)


def test_a_long_list_of_volumes_is_no_bomb():
    text = "volumes:\n" + "  - {image: [a.nii, b.nii], mask: c.nii, patient: p}\n" * 1251
    assert len(load_yaml(text)["volumes"]) == 1251
