"""What mkdocs calls: pages that are made from albench itself, and links that work in the repository and in the site."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import griffe
from api_pages import api_pages
from command_page import command_page
from menu_pages import FOLDERS, code_pages, menu_pages, settings_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook_page import notebook_page
from public_names import addresses, assemble, load, undocumented
from repository_links import with_menu_links, with_name_links, with_site_links

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / ".cache" / "site"
DOCUMENTS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}  # shown, though not in docs/
NOTEBOOKS = "notebooks"

log = logging.getLogger("mkdocs.hooks.albench")


@cache
def _module() -> griffe.Module:
    assemble(ROOT, SOURCES)
    return load(SOURCES)


@cache
def _addresses() -> dict[str, str]:
    return addresses(_module())


@cache
def _made() -> dict[str, str | bytes]:
    """{address: content} of everything in the site that is no file of docs/."""
    made: dict[str, str | bytes] = {address: (ROOT / path).read_text() for path, address in DOCUMENTS.items()}
    made |= menu_pages()
    made |= {"settings.md": settings_page(), "commands.md": command_page()}
    made |= api_pages(_module(), _addresses())
    for path in sorted((ROOT / "docs" / NOTEBOOKS).glob("*.ipynb")):
        text, pictures = notebook_page(path)
        made[f"{NOTEBOOKS}/{path.stem}.md"] = text
        made |= {f"{NOTEBOOKS}/{name}": picture for name, picture in pictures.items()}
    return made


@cache
def _pages() -> dict[str, str]:
    """{path in the repository: address of the page that shows it} of files that are no pages themselves."""
    notebooks = {f"docs/{NOTEBOOKS}/{path.name}" for path in (ROOT / "docs" / NOTEBOOKS).glob("*.ipynb")}
    return DOCUMENTS | code_pages() | {path: f"{NOTEBOOKS}/{PurePosixPath(path).stem}.md" for path in notebooks}


def on_startup(command: str, dirty: bool) -> None:
    """Put the sources together before any plugin looks for them."""
    _module()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name what is undocumented, and put pages that are made into the navigation."""
    for name in undocumented(_module()):
        log.warning(f"a public name must have a docstring, '{name}' has none: write it, or begin the name with '_'")
    config.nav = _with_made_pages(config.nav)
    return config


def _with_made_pages(nav: Any) -> Any:
    """The navigation in which the name of a folder, which ends with "/", is the list of pages made for it."""
    if isinstance(nav, list):
        return [_with_made_pages(item) for item in nav]
    if isinstance(nav, dict):
        return {title: _with_made_pages(item) for title, item in nav.items()}
    if nav.endswith("/"):
        return [address for address in _made() if address.startswith(nav) and address.endswith(".md")]
    return nav


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made."""
    for address, content in _made().items():
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links of the site, and names into references."""
    address = page.file.src_uri
    path = next((path for path, shown in DOCUMENTS.items() if shown == address), f"docs/{address}")
    own = f"docs/{NOTEBOOKS}/{PurePosixPath(address).stem}.ipynb"
    pages = {path: shown for path, shown in _pages().items() if path != own}
    menu = {PurePosixPath(made).stem: made for made in _made() if made.split("/")[0] in FOLDERS.values()}
    markdown = with_site_links(markdown, path, pages, address)
    return with_menu_links(with_name_links(markdown, _addresses()), menu, address)
