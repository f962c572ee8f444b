"""The site as it is built: links lead somewhere, nothing is asked from other hosts, and the program's own pages are there."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from session import REPOSITORY


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # The browser's tests look at it too.
    folder = Path(os.environ["SITE"]) if os.environ.get("SITE") else tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [REPOSITORY / "site/build", folder], env={"PYTHON": sys.executable, **os.environ}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given["href"])

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def test_each_link_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    count = 0
    for path, page in pages.items():
        # This one is served at any path, and so names the root.
        if path.name == "404.html":
            continue
        for link in [*page.links, *page.loaded]:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target, anchor = urldefrag(unquote(link))
            there = (path.parent / target).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            assert there.is_relative_to(site.resolve()), f"{path}: {link}"
            assert there.exists(), f"{path.relative_to(site)}: nothing is at {link}"
            if anchor and there.suffix == ".html":
                found = pages.get(there) or pages[site / there.relative_to(site.resolve())]
                assert anchor in found.ids or anchor.startswith("__"), f"{path.relative_to(site)}: no place of the name {link}"
            count += 1
    assert count > 1_000


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.loaded:
            assert not urlsplit(link).netloc, f"{path}: {link}"
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", path.read_text()), path


def test_what_the_program_says_of_itself_is_there(site: Path, pages: dict[Path, Page]) -> None:
    settings, metrics, api = (pages[site / f"reference/{name}.html"].words for name in ("settings", "metrics", "api"))
    for flag in ("--retain-age", "--max-connections", "--auth-jwks-url", "--trusted-proxies"):
        assert flag in settings
    assert "TIDINGS_RETAIN_AGE" in settings
    assert len(set(re.findall(r"TIDINGS_\w+", settings))) > 40
    for name in ("tidings_published_events_total", "tidings_gaps_total", "tidings_delivery_seconds"):
        assert name in metrics
    assert len(set(re.findall(r"tidings_\w+", metrics))) > 30
    for path in ("/topics/{topic}", "/events", "/socket", "/healthz"):
        assert path in api


def test_no_page_shows_its_markup(pages: dict[Path, Page]) -> None:
    """Tables, lists and fences that were not understood show as they are written."""
    for path, page in pages.items():
        for line in page.words.split("\n"):
            assert not re.match(r"\|[ -]+\|", line), f"{path}: {line}"
            assert not line.startswith("```"), f"{path}: {line}"


def test_search_knows_every_page(site: Path) -> None:
    text = (site / "search/search_index.js").read_text()
    index = json.loads(text.removeprefix("var __index = "))
    found = {urldefrag(one["location"])[0] for one in index["docs"]}
    for path in site.rglob("*.html"):
        if path.name != "404.html":
            assert str(path.relative_to(site)) in found
