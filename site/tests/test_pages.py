"""Every page of docs/ is tried: most of them here, the others by the tests that are named."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import made
import pytest
import yaml
from session import REPOSITORY, Block, Session, blocks

DOCS = REPOSITORY / "docs"
# Pages that are tried by the tests of the program (documentation.rs, settings), of the TypeScript client, or of the Python client.
ELSEWHERE = {
    "protocol.md", "operations.md", "engines.md", "llm.md", "transports.md", "console.md", "embedding.md", "mercure.md", "relay.md", "benchmarks.md", "backup.md",
    "python.md", "start/react.md",
}  # fmt: skip
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
HERE = [page for page in PAGES if page not in ELSEWHERE]


def tools(text: str) -> dict[str, str]:
    """The programs that a page runs, where they are. Go is too large to install for one page."""
    found = {"tidings": made.program(), "python": os.environ.get("PYTHON", sys.executable)}
    for command, name in [(r"^\$ php", "php"), (r"^\$ go ", "go")]:
        if not re.search(command, text, re.MULTILINE):
            continue
        path = shutil.which(name)
        if not path and name == "go":
            pytest.skip("there is no Go here: put one on the path to try this page")
        assert path, f"{name} is missing: apt-get install {name}-cli"
    return found


@pytest.mark.parametrize("page", HERE)
def test_a_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    text = (DOCS / page).read_text()
    session = Session(tmp_path, tools(text))
    try:
        if "$ " in text and "$ tidings serve" not in text:
            session.serve()
        for block in blocks(text):
            if block.title:
                session.write(block)
            if block.language == "console":
                session.run(block, page)
            else:
                check(block, page, tmp_path)
    finally:
        session.close()


def check(block: Block, page: str, folder: Path) -> None:
    """What is no command."""
    place = f"{page}, line {block.line}"
    kind = f"{block.language} {block.rest}".strip()
    if block.title and block.language in ("js", "python", "php", "go", "html"):
        # A command runs it, or it does not count.
        text = (DOCS / page).read_text()
        assert re.search(rf"^\$ .*\b{re.escape(block.title)}", text, re.MULTILINE), f"{place}: nothing runs {block.title}"
    elif kind in ("js page", "html"):
        # In Chromium, by clients/typescript/tests/browser/pages.test.js.
        assert page in (REPOSITORY / "clients/typescript/tests/browser/pages.test.js").read_text(), f"{place}: no page tries it"
    elif block.language == "rust,no_run":
        assert f"docs/{page}" in (REPOSITORY / "crates/tidings/src/lib.rs").read_text(), f"{place}: no test compiles it"
    elif block.language == "sh":
        subprocess.run(["bash", "-n", "-c", block.text], check=True)
        for path in re.findall(r"(?<![\w./-])\.?/?((?:clients|crates|deploy|examples|docs)/[\w./-]+)", block.text):
            assert (REPOSITORY / path).exists(), f"{place}: there is no {path}"
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml":
        assert list(yaml.safe_load_all(block.text)), place
    elif kind == "toml":
        for path in re.findall(r'path = "\.\./tidings/([^"]+)"', str(tomllib.loads(block.text)) and block.text):
            assert (REPOSITORY / path / "Cargo.toml").exists(), f"{place}: there is no {path}"
    elif kind == "toml tidings":
        settings(block, folder)
    elif block.language == "nginx":
        nginx(block, folder)
    elif block.language == "haproxy":
        haproxy(block, folder)
    else:
        # Caddyfiles are checked where Caddy is.
        assert block.language in ("", "text", "caddy"), f"{place}: nothing tries a block of `{kind}`"
        if block.language == "caddy" and (caddy := shutil.which("caddy")):
            (folder / "Caddyfile").write_text(block.text)
            subprocess.run(
                [caddy, "validate", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")],
                check=True,
                env={"HOME": str(folder)},
            )


def settings(block: Block, folder: Path) -> None:
    """The hub takes them."""
    file = folder / "tidings.toml"
    file.write_text(block.text)
    command = [made.program(), "serve", "--config", str(file), "--listen", "127.0.0.1:0", "--log", "memory:"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as hub:
        assert hub.stdout
        assert hub.stderr
        line = hub.stdout.readline()
        hub.kill()
        assert "listening" in line, hub.stderr.read()


def nginx(block: Block, folder: Path) -> None:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    text = block.text if "server {" in block.text else f"server {{ listen 127.0.0.1:18080; {block.text} }}"
    file = folder / "nginx.conf"
    file.write_text(f"pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {text} }}")
    done = subprocess.run([program, "-t", "-p", str(folder), "-c", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def haproxy(block: Block, folder: Path) -> None:
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    file = folder / "haproxy.cfg"
    file.write_text(block.text)
    done = subprocess.run([program, "-c", "-f", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_page_elsewhere_is_there() -> None:
    assert set(PAGES) >= ELSEWHERE
    assert len(HERE) >= 10


FLAG = re.compile(r"--([a-z][a-z0-9-]+)")


def test_flags_in_the_pages_are_flags() -> None:
    helps: dict[str, set[str]] = {}
    count = 0
    for page in [*HERE, "start/react.md"]:
        for command, rest in re.findall(r"\btidings ([a-z]+)((?: [^`\n|&;)]*)?)", (DOCS / page).read_text()):
            if command not in helps:
                done = subprocess.run([made.program(), command, "--help"], capture_output=True, text=True)
                helps[command] = set(FLAG.findall(done.stdout)) if done.returncode == 0 else set()
            for flag in FLAG.findall(rest):
                assert flag in helps[command], f"docs/{page}: tidings {command} has no --{flag}"
                count += 1
    assert count >= 5
    known = set().union(
        *helps.values(), FLAG.findall(subprocess.run([made.program(), "serve", "--help"], capture_output=True, text=True).stdout)
    )
    for page in [*HERE, "start/react.md"]:
        for flag in re.findall(r"`--([a-z][a-z0-9-]+)", (DOCS / page).read_text()):
            assert flag in known, f"docs/{page}: there is no --{flag}"


def test_links_of_the_repository_lead_somewhere() -> None:
    """In every Markdown file, also those that the site has no page of."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    count = 0
    for name in listed.split("\n")[:-1]:
        path = REPOSITORY / name
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^()\s]+)\)", text):
            target, _, anchor = link.partition("#")
            # Pages that the site makes are nowhere in the repository.
            if re.match(r"[a-z]+:", link) or re.fullmatch(r"(\.\./)?reference/[a-z-]+\.md", target):
                continue
            there = (path.parent / target) if target else path
            assert there.exists(), f"{name}: nothing is at {link}"
            if anchor and there.suffix == ".md":
                assert anchor in anchors(there.read_text()), f"{name}: no heading of the name {link}"
            count += 1
    assert count > 100


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
