"""The site as it is built: it opens from disk, everything that it names is in it, and what is wrong fails the build."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="the site takes the extra `docs`")
pytest.importorskip("material", reason="the site takes the extra `docs`")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
CODE = {"code", "pre", "script", "style"}
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """What a page loads, where it links to, and the names of its parts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.loaded, self.links, self.names = path, [], [], set()
        self.text, self._code = "", 0
        self.feed(path.read_text())

    def handle_data(self, data):
        self.text += "" if self._code else data

    def handle_endtag(self, tag):
        self._code -= tag in CODE

    def handle_starttag(self, tag, attrs):
        self._code += tag in CODE
        for name, value in attrs:
            if name in ("id", "name"):
                self.names.add(value)
            if (tag, name) in LOADED:
                self.loaded.append(value)
            elif (tag, name) == ("a", "href"):
                self.links.append(value)


def build(source: Path, out: Path) -> subprocess.CompletedProcess:
    """As `make docs` does: with --quiet, mkdocs would not count warnings."""
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", source / "mkdocs.yml"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run([*command, "--site-dir", out], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "site"
    built = build(ROOT, out)
    assert built.returncode == 0, built.stderr
    assert not re.findall("(?:WARNING|ERROR).*", built.stderr)
    return {path.relative_to(out).as_posix(): Page(path) for path in sorted(out.rglob("*.html"))}


@pytest.fixture(scope="module")
def folder(site):
    return site["index.html"].path.parent


def test_every_page_has_a_place_in_the_navigation(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"paper"}  # for a journal
    assert {f"{name}.html" for name in pages} <= set(site)
    shown = {link.split("#")[0] for link in site["index.html"].links}
    assert {name for name in site if "/" not in name} - shown <= {"404.html", "index.html"}


def test_a_page_loads_nothing_from_elsewhere(site, folder):
    for page in site.values():
        if page.path.name == "404.html":  # which servers show, at any address
            continue
        for address in page.loaded:
            assert not urlsplit(address).scheme, (page.path, address)
            assert (page.path.parent / unquote(address.partition("?")[0])).is_file(), (page.path, address)
    for sheet in folder.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//", sheet.read_text()), sheet


def test_every_link_leads_to_a_file_and_a_part_that_are_there(site, folder):
    parts = {page.path.resolve(): page.names for page in site.values()}
    for page in site.values():
        if page.path.name == "404.html":
            continue
        for link in page.links:
            target = urlsplit(link)
            if target.scheme:
                continue
            path = (page.path.parent / unquote(target.path)).resolve() if target.path else page.path.resolve()
            assert path.is_file(), (page.path, link)
            assert not target.fragment or path not in parts or unquote(target.fragment) in parts[path], (
                page.path,
                link,
            )


def test_no_mark_of_markdown_is_left_in_the_text(site):
    marks = re.compile(r"^.*(?:\*\*(?! )|\]\(|\]\[|\| ---|`|\[![A-Z]).*$|^- \S.*$", re.MULTILINE)
    assert {name: found for name, page in site.items() for found in marks.findall(page.text)} == {}


def test_the_search_from_disk_knows_every_page(site, folder):
    text = (folder / "search" / "search_index.js").read_text()
    found = {entry["location"].partition("#")[0] for entry in json.loads(text.removeprefix("var __index = "))["docs"]}
    assert found == set(site) - {"404.html"}
    assert "iframe-worker.js" in site["index.html"].path.read_text()


@pytest.mark.skipif(not BROWSER, reason="there is no Chromium")
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("how do I use my U-Net", "questions.html#how-do-i-use-my-u-net"),
        ("S% dash", "questions.html#why-is-s-a-dash"),
        ("matched", "questions.html#what-does-matched-mean"),
        ("queried slices", "questions.html#where-are-the-queried-slices"),
        ("start_embeddings", "settings.html#protocol"),
    ],
)
def test_a_browser_finds_answers_from_disk(folder, tmp_path, question, answer):
    address = f"{(folder / 'index.html').as_uri()}?q={quote(question)}"
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        f"--user-data-dir={tmp_path}",
    ]
    shown = subprocess.run(
        [BROWSER, *options, "--dump-dom", address], capture_output=True, text=True, check=True, timeout=200
    ).stdout
    _, _, results = shown.partition('class="md-search-result__list"')
    first, _, _ = results.partition("</li>")
    found = [re.sub(r"\?[^#]*", "", link) for link in re.findall(r'href="([^"]*)"', first)]
    assert found[1].endswith(f"/{answer}"), found  # after that of the page


@pytest.fixture
def copy(tmp_path):
    """A copy of what the site is built of."""
    for name in ("docs", "strategies", "datasets", "benchmarks", "reports", "albench"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "setup.cfg", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_broken_links_undocumented_names_and_forgotten_pages_fail(copy):
    questions = copy / "docs" / "questions.md"
    questions.write_text(questions.read_text() + "\n[a](nowhere.md) [b](data.md#nothing) [c](../strategies/none.py)\n")
    (copy / "docs" / "forgotten.md").write_text("# Forgotten\n")
    with (copy / "albench" / "masks.py").open("a") as module:
        module.write("\n\ndef undocumented():\n    pass\n")
    built = build(copy, copy / "site")
    assert built.returncode == 1
    said = " ".join(built.stderr.split())
    for sentence in (
        "a public name must have a docstring, 'albench.masks.undocumented' has none: write it, or begin the name with ",
        "contains a link 'nowhere.md', but the target is not found",
        "contains a link 'data.md#nothing', but the doc 'data.md' does not contain an anchor '#nothing'",
        "contains a link '../strategies/none.py', but the target",
        'not included in the "nav" configuration: - forgotten.md',
    ):
        assert sentence in said, said
