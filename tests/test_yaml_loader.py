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


def test_a_repeated_key_is_rejected():
    with pytest.raises(yaml.YAMLError, match="the key 'a' occurs twice in line 1"):
        load_yaml("a: 1\na: 2")
