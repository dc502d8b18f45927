"""A page for each strategy, network and dataset, and one for the settings: what `albench show` prints, and the code."""

from __future__ import annotations

import ast
import inspect
import re
import sys

from albench.cli.catalog import SETTINGS, Page, page_of
from albench.registry import DATASETS, KINDS, NETWORKS, STRATEGIES, available, has_siblings, is_own

FOLDERS = {STRATEGIES: "strategies", NETWORKS: "networks", DATASETS: "datasets"}
_RUN = {
    STRATEGIES: "albench run --strategy {name} --dataset phantom",
    NETWORKS: "albench run --strategy entropy --dataset phantom --network {name}",
    DATASETS: "albench run --strategy entropy --dataset {name}",
}


def menu_pages() -> dict[str, str]:
    """{address of a page: its Markdown} of all strategies, networks and datasets of albench."""
    return {
        f"{FOLDERS[group]}/{entry.name}.md": plugin_page(group, entry.name)
        for group in FOLDERS
        for entry in available(group)
        if entry.cls is not None and is_own(entry.cls)
    }


def code_pages() -> dict[str, str]:
    """{path of a file in the repository: the page that has its code}; of a file with several plugins the first."""
    found: dict[str, str] = {}
    for group, folder in FOLDERS.items():
        for entry in available(group):
            if entry.cls is not None and is_own(entry.cls):
                below = entry.cls.__module__.removeprefix("albench.").replace(".", "/")
                place = f"albench/{below}" if group == NETWORKS else below
                found.setdefault(f"{place}.py", f"{folder}/{entry.name}.md")
    return found


def plugin_page(group: str, name: str) -> str:
    """The page of a strategy, a network or a dataset."""
    page = page_of(name, KINDS[group])
    command = _RUN[group].format(name=name)
    if "root" in page.names and page.type_and_default("root")[1] == "required":
        command += " --data-root FOLDER"
    about, _, more = prose(page.description).partition("\n\n")
    traits = "\n".join(f"- **{title}**: {_plain(value)}" for title, value in page.traits.items())
    parts = [f"# {name}", about, traits, f"```bash\n{command}\n```", more, "## Options", options_table(page)]
    if not has_siblings(page.cls):
        parts += ["## Code", f"```python\n{code(page.cls)}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def settings_page() -> str:
    """All settings of a run that are no options of a plugin, which `albench show` explains, too."""
    about = (
        "What `--set` changes, in suites `settings`. A dataset replaces some of these defaults by values that suit it: "
        "`albench show protocol --dataset spleen` prints them, and so does every run. The options of strategies, "
        "networks and datasets are on their pages in the menu."
    )
    parts = ["---\nsearch:\n  boost: 2\n---", "# Settings", about]
    for name in SETTINGS:
        page = page_of(name)
        parts += [f"## {name}", prose(page.description), options_table(page)]
    return "\n\n".join(parts) + "\n"


def options_table(page: Page) -> str:
    """A row for each option: its name, its type and default, and what it means, in two columns that fit a phone."""
    if not page.names:
        return "None."
    meanings = page.meanings()
    rows = ["| option | meaning |", "| --- | --- |"]
    for name in page.names:
        kind, default = page.type_and_default(name)
        cells = (_breaking(f"{page.prefix}.{name}"), f"*{_plain(kind)}; {_plain(default)}*<br>{meanings.get(name, '')}")
        rows.append("| " + " | ".join(_in_cell(cell) for cell in cells) + " |")
    return "\n".join(rows)


def _breaking(name: str) -> str:
    """A name as code, which may break after a dot or an underscore, as it must on a phone."""
    return "<code>" + re.sub(r"([._])", r"\1<wbr>", name) + "</code>"


def _plain(text: str) -> str:
    """Text without marks of Markdown."""
    return re.sub(r"([*_`\[\]])", r"\\\1", text)


def _in_cell(text: str) -> str:
    return text.replace("|", "&#124;")


def prose(docstring: str) -> str:
    """A docstring as Markdown: its sources are paragraphs, and `When it fails:` is bold."""
    text = re.sub(
        r"(?ms)^\[1\] .*?(?=\n\n|\Z)", lambda sources: re.sub(r"\n(?=\[\d\] )", "\n\n", sources[0]), docstring
    )
    return re.sub(r"(?m)^(When it fails:) ", r"**\1** ", text)


def code(cls: type) -> str:
    """The code of the module of a class, without its docstring."""
    text = inspect.getsource(sys.modules[cls.__module__])
    first = ast.parse(text).body[0]
    return "\n".join(text.splitlines()[first.end_lineno :]).strip("\n")
