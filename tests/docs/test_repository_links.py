"""Links of pages of the repository, in the site."""

import pytest
from repository_links import outside_of_code, with_menu_links, with_name_links, with_site_links

PAGES = {
    "CHANGELOG.md": "changelog.md",
    "strategies/star.py": "strategies/star.md",
    "docs/notebooks/a.ipynb": "notebooks/a.md",
}


@pytest.mark.parametrize(
    ("text", "path", "address", "expected"),
    [
        ("[a](../strategies/star.py)", "docs/data.md", "data.md", "[a](strategies/star.md)"),
        ("[a](../CHANGELOG.md#new)", "docs/data.md", "data.md", "[a](changelog.md#new)"),
        ("[a](docs/data.md#slices)", "CONTRIBUTING.md", "contributing.md", "[a](data.md#slices)"),
        ("[a](notebooks/a.ipynb)", "docs/index.md", "index.md", "[a](notebooks/a.md)"),
        ("[a](../data.md)", "docs/notebooks/a.ipynb", "notebooks/a.md", "[a](../data.md)"),
        ("[a](../LICENSE)", "docs/data.md", "data.md", "[a](../LICENSE)"),  # which the build then rejects
        ("[a](#slices)", "docs/data.md", "data.md", "[a](#slices)"),
        ("[a](https://example.org/docs/data.md)", "docs/data.md", "data.md", "[a](https://example.org/docs/data.md)"),
        ("```\n[a](../CHANGELOG.md)\n```", "docs/data.md", "data.md", "```\n[a](../CHANGELOG.md)\n```"),
    ],
)
def test_a_link_leads_to_the_page_that_shows_the_file(text, path, address, expected):
    assert with_site_links(text, path, PAGES, address) == expected


def test_a_dotted_name_is_a_reference_to_where_it_is_defined():
    addresses = {"albench.run": "albench.run", "albench.data.Dataset": "albench.data.dataset.Dataset"}
    text = "`albench.data.Dataset`, `albench.other`, [`albench.run`](x.md)\n\n    `albench.run`\n"
    assert with_name_links(text, addresses) == (
        "[`albench.data.Dataset`][albench.data.dataset.Dataset], `albench.other`, [`albench.run`](x.md)\n\n"
        "    `albench.run`\n"
    )


def test_a_name_in_the_first_column_leads_to_its_page():
    text = "| `star` | x |\n| `other` | `star` |\n"
    expected = "| [`star`](../strategies/star.md) | x |\n| `other` | `star` |\n"
    assert with_menu_links(text, {"star": "strategies/star.md"}, "notebooks/a.md") == expected


def test_blocks_of_code_stay_as_they_are():
    text = "a\n\n    a\n\na\n```python\na\n```\na\n"
    assert outside_of_code(text, str.upper) == "A\n\n    a\n\nA\n```python\na\n```\nA\n"
