"""What the site has beside docs/: pages that are made from the program, and those that live elsewhere in the repository."""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import made
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parent.parent

# Pages that live elsewhere, and where they are in the site.
ELSEWHERE = {
    "clients/typescript/README.md": "reference/typescript.md",
    "clients/python/README.md": "reference/python-client.md",
    "CHANGELOG.md": "reference/changes.md",
    "CONTRIBUTING.md": "reference/contributing.md",
    "ARCHITECTURE.md": "reference/architecture.md",
}
ASSETS = ["assets/site.css", "assets/iframe-worker.js"]

FENCE = re.compile(r"^( *)(`{3,})(.*)$")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def on_config(config: Any) -> None:
    """A page that the navigation does not name is in the reference."""
    named = set(_pages(config["nav"]))
    [reference] = [section["Reference"] for section in config["nav"] if "Reference" in section]
    for path in sorted((REPOSITORY / "docs").rglob("*.md")):
        uri = path.relative_to(REPOSITORY / "docs").as_posix()
        if uri not in named:
            reference.append(uri)


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in _pages(part)]


def on_files(files: Files, config: Any) -> Files:
    for path, uri in ELSEWHERE.items():
        files.append(File.generated(config, uri, content=(REPOSITORY / path).read_text()))
    for uri, content in made.pages().items():
        files.append(File.generated(config, uri, content=content))
    for uri in ASSETS:
        files.append(File.generated(config, uri, content=(Path(__file__).parent / uri).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    uri = page.file.src_uri
    source = next((path for path, at in ELSEWHERE.items() if at == uri), f"docs/{uri}")
    return "\n".join(_lines(markdown, source, uri))


def _lines(markdown: str, source: str, uri: str) -> list[str]:
    """As Python's Markdown wants it, where GitHub's takes more."""
    lines: list[str] = []
    fence = ""
    indented = False
    for line in markdown.split("\n"):
        # What belongs to `1. …` is indented by four there.
        indented = line.startswith("   ") if not fence else indented
        if indented and line.strip():
            line = f" {line}"
        found = FENCE.match(line)
        if found and not fence:
            fence = found[2]
            # What stands after the language is for the tests.
            language, title = re.match(r"([\w-]*)[^\"]*(title=\"[^\"]*\")?", found[3]).groups()
            if lines and lines[-1].strip():
                lines.append("")
            line = f"{found[1]}{fence}{language}{' ' + title if title else ''}"
        elif found and found[2] == fence and not found[3].strip():
            fence = ""
        elif not fence:
            # A list may follow a paragraph at once.
            if re.match(r"(-|\d+\.) ", line) and lines and lines[-1].strip() and not re.match(r"(-|\d+\.| ) ?", lines[-1]):
                lines.append("")
            line = LINK.sub(lambda link: _link(link, source, uri), line)
        lines.append(line)
    return lines


def _link(link: re.Match[str], source: str, uri: str) -> str:
    """A link of the repository, as one of the site."""
    image, text, target = link.groups()
    if re.match(r"[a-z]+:|#", target):
        return link[0]
    path, _, anchor = target.partition("#")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if there.startswith("docs/reference/") and not (REPOSITORY / there).exists():
        at = there.removeprefix("docs/")
    elif not (REPOSITORY / there).exists():
        raise PluginError(f"{source} has a link to {target}, which is not there")
    elif there in ELSEWHERE or f"{there}/README.md" in ELSEWHERE:
        at = ELSEWHERE.get(there) or ELSEWHERE[f"{there}/README.md"]
    elif there.startswith("docs/"):
        at = there.removeprefix("docs/")
    elif there == "README.md":
        at = "index.md"
    else:
        # The site has no page of it: its name says where it is in the repository.
        name = f"`{there}`"
        return name if text.strip("`") in (there, posixpath.basename(there)) else f"{text} ({name})"
    if text == posixpath.basename(path):
        # In the repository a file's name is a good name for it; here, its title.
        text = re.sub(r"^# ", "", (REPOSITORY / there).read_text().split("\n", 1)[0])
    relative = posixpath.relpath(at, posixpath.dirname(uri) or ".")
    return f"{image}[{text}]({relative}{'#' + anchor if anchor else ''})"
