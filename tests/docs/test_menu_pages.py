"""Pages that are made of docstrings, options and commands."""

import re
from dataclasses import fields

import pytest
from command_page import command_page
from menu_pages import FOLDERS, code_pages, menu_pages, options_table, plugin_page, prose, settings_page

from albench.cli.catalog import page_of
from albench.config import Protocol, Training
from albench.registry import DATASETS, NETWORKS, STRATEGIES, available, find, is_own


def test_every_strategy_network_and_dataset_has_a_page():
    names = {group: [entry.name for entry in available(group) if is_own(entry.cls)] for group in FOLDERS}
    assert set(menu_pages()) == {f"{FOLDERS[group]}/{name}.md" for group in FOLDERS for name in names[group]}
    assert {"strategies/star.md", "networks/unet.md", "datasets/spleen.md"} <= set(menu_pages())


def test_a_page_says_first_what_a_strategy_is_and_then_all_that_show_prints():
    page = plugin_page(STRATEGIES, "entropy")
    assert page.startswith(
        "# entropy\n\nEntropy [1]: the slices whose predictions have the highest mean entropy.\n\n"
        "- **Kind**: uncertainty\n- **Cost of a query**: every unlabeled slice is predicted once\n"
        "- **Source**: Settles and Craven 2008\n\n"
        "```bash\nalbench run --strategy entropy --dataset phantom\n```\n\n"
        "The score of a slice is the mean over its pixels"
    )
    assert "**When it fails:** the slices with the highest scores" in page
    assert "\n\n[1] Settles and Craven. An Analysis" in page
    code = page.partition("## Code\n\n```python\n")[2]
    assert code.startswith("from ")
    assert "class Entropy(" in code
    assert code.endswith("\n```\n")


def test_options_are_a_table_with_type_default_and_meaning():
    table = options_table(page_of("foreground-random"))
    assert table == (
        "| option | meaning |\n| --- | --- |\n"
        "| <code>strategy.<wbr>share</code> | *number, at least 0, at most 1; default 0.66*<br>"
        "of the budget that has foreground in the truth, rounded to a number of slices; 0.66 and 0.33 in [1]. |"
    )
    assert options_table(page_of("random")) == "None."
    (row,) = (line for line in options_table(page_of("entropy")).splitlines() if ">aggregation" in line)
    assert "| *mean &#124; sum &#124; top; default 'mean'*<br>" in row  # a bar would begin another cell


def test_a_dataset_that_needs_a_folder_is_run_with_one():
    assert "--dataset folder --data-root FOLDER\n" in plugin_page(DATASETS, "folder")
    assert "--dataset spleen\n" in plugin_page(DATASETS, "spleen")
    assert "--network unet\n" in plugin_page(NETWORKS, "unet")


def test_the_page_of_settings_has_every_setting_of_a_run():
    named = re.findall(r"^\| <code>([a-z_.]+)</code> \|", settings_page().replace("<wbr>", ""), re.MULTILINE)
    assert named == [
        f"{section}.{field.name}"
        for section, cls in (("protocol", Protocol), ("training", Training))
        for field in fields(cls)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1] A. 2020.\n[2] B. 2021.", "[1] A. 2020.\n\n[2] B. 2021."),
        ("as in [1] and\n[2] of it", "as in [1] and\n[2] of it"),
    ],
)
def test_sources_of_a_docstring_are_paragraphs(text, expected):
    assert prose(text) == expected


def test_the_code_of_a_strategy_is_on_its_page():
    found = code_pages()
    assert found["strategies/foreground_random.py"] == "strategies/foreground-random.md"
    assert found["albench/networks/residual.py"] == "networks/residual.md"
    names = {entry.name for entry in available(STRATEGIES) if is_own(entry.cls)}
    modules = {find(STRATEGIES, name).__module__ for name in names}
    assert len([path for path in found if path.startswith("strategies/")]) == len(modules)


def test_every_command_has_a_section_with_its_options():
    page = command_page()
    titles = re.findall("^## (.*)$", page, re.MULTILINE)
    assert {"albench run", "albench bench", "albench report", "albench data check", "albench annotate next"} <= {
        *titles
    }
    section = page.partition("## albench queries\n")[2].partition("\n## ")[0]
    assert "    albench queries [OPTIONS] " in section
    assert "| `--csv" in section
