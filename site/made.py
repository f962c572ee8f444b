"""The pages that the program itself writes: its settings, its metrics, and its API."""

import json
import os
import re
import subprocess
import tempfile
import textwrap
import urllib.request
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent


def pages() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        hub = subprocess.Popen(
            [program(), "serve", "--listen", "127.0.0.1:0", "--log", f"disk:{folder}/log"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert hub.stdout
            url = hub.stdout.readline().split()[-1]
            texts = [urllib.request.urlopen(f"{url}/{path}", timeout=60).read().decode() for path in ("metrics", "openapi.json")]
        finally:
            hub.kill()
            hub.wait()
    return {
        "reference/settings.md": settings(),
        "reference/metrics.md": metrics(texts[0]),
        "reference/api.md": api(json.loads(texts[1])),
    }


def program() -> str:
    """`TIDINGS`, or the newest that cargo has built."""
    if given := os.environ.get("TIDINGS"):
        return given
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    built = [path for kind in ("debug", "release") if (path := target / kind / "tidings").exists()]
    if not built:
        raise RuntimeError("no hub to ask: run `cargo build`, or name the program in TIDINGS")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def _help(*arguments: str) -> str:
    environment = {**os.environ, "COLUMNS": "10000", "NO_COLOR": "1"}
    # Settings of whoever builds the site are none of the page's.
    environment = {name: value for name, value in environment.items() if not name.startswith("TIDINGS_")}
    return subprocess.run([program(), *arguments, "--help"], env=environment, capture_output=True, text=True, check=True).stdout


OPTION = re.compile(r"^ {2,8}((?:-\w, )?--[\w-]+(?:[= \[].*?)?)(?: {2,}(.*))?$")
ANGLES = re.compile(r"<(?!br>)([A-Za-z][^>]*)>")


def settings() -> str:
    """Each option of `tidings serve`, and those of the other commands."""
    out = [
        "# Settings",
        "",
        "Each setting of `tidings serve` is a flag, an environment variable and a key of a TOML file, named alike: `--retain-age 30d`, "
        '`TIDINGS_RETAIN_AGE=30d`, `retain-age = "30d"`. A flag wins over the environment, and that over the file. '
        "[Operations](../operations.md) says what belongs to what. This page is made from the program's `--help`.",
        "",
    ]
    out += ["## tidings serve", "", *_options(_help("serve"))]
    commands = re.search(r"^Commands:\n(.*?)^$", _help(), re.MULTILINE | re.DOTALL)
    assert commands
    for command in re.findall(r"^  ([\w-]+)", commands[1], re.MULTILINE):
        if command in ("serve", "help"):
            continue
        text = _help(command)
        usage = re.search(r"^Usage: \S+ (.*)$", text, re.MULTILINE)
        assert usage
        out += [
            "",
            f"## tidings {command}",
            "",
            text.split("\n\n")[0].replace("\n", " "),
            "",
            f"`tidings {usage[1]}`",
            "",
            *_options(text),
        ]
    return "\n".join(out) + "\n"


def _options(text: str) -> list[str]:
    rows: list[str] = []
    flag, words = "", []

    def close() -> None:
        if not flag or flag.startswith(("-h,", "--help")):
            return
        said = " ".join(words)
        environment = re.search(r"\[env: (\w+)=?[^\]]*\]", said)
        default = re.search(r"\[default: ([^\]]*)\]", said)
        values = re.search(r"\[possible values: ([^\]]*)\]", said)
        said = re.sub(r"\s*\[(env|default|possible values): [^\]]*\]", "", said)
        if values:
            said += f" ({values[1]})"
        about = [f"`{environment[1]}`"] if environment else []
        about += [f"default {default[1]}"] if default else []
        rows.append(f"| `{flag}` | {_cell('<br>'.join([said, *about]))} |")

    head = ["", "| Flag | What it does, its variable, its default |", "|---|---|"]
    in_options = False
    for line in text.split("\n"):
        if re.match(r"^\S.*:$", line):
            # A group of options has a heading.
            close()
            flag, words = "", []
            in_options = not line.startswith(("Usage", "Commands", "Arguments"))
            if in_options and line != "Options:":
                rows += ["", f"### {line[:-1]}", *head]
            elif in_options:
                rows += head
            continue
        if not in_options:
            continue
        if found := OPTION.match(line):
            close()
            flag, words = found[1].strip(), [found[2] or ""]
        elif line.strip():
            words.append(line.strip())
    close()
    return rows


def _cell(text: str) -> str:
    outside = re.split(r"(`[^`]*`)", text.strip())
    outside = [part if part.startswith("`") else ANGLES.sub(r"&lt;\1&gt;", part) for part in outside]
    return "".join(outside).replace("|", "\\|")


def metrics(text: str) -> str:
    out = [
        "# Metrics",
        "",
        "`GET /metrics` is for Prometheus, as OpenMetrics where that is asked for. [Operations](../operations.md#what-to-watch) says what to watch; "
        "the repository has a dashboard for Grafana (`deploy/grafana`) and alerts (`deploy/prometheus`). This page is made from what a hub answers.",
        "",
        "| Metric | Kind | |",
        "|---|---|---|",
    ]
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        labels = {
            label
            for found in re.findall(rf"^{name}(?:_bucket)?\{{([^}}]*)\}}", text, re.MULTILINE)
            for label in re.findall(r"(\w+)=", found)
        }
        by = ", ".join(f"`{label}`" for label in sorted(labels - {"le"}))
        out.append(f"| `{name}` | {kind} | {_cell(helps.get(name, ''))}{' By ' + by + '.' if by else ''} |")
    return "\n".join(out) + "\n"


def api(description: dict[str, Any]) -> str:
    """The OpenAPI description, as a page."""
    out = [
        "# HTTP API",
        "",
        _paragraph(description["info"]["description"].replace("`protocol.md`", "[protocol](../protocol.md)")),
        "",
    ]
    out += ["Every hub serves this as OpenAPI 3.1 at `/openapi.json`; the page is made from that.", ""]
    for path, item in description["paths"].items():
        out += [f"## {path}", ""]
        for method in ("get", "post", "put", "delete"):
            if method not in item:
                continue
            operation = item[method]
            out += [f"### {method.upper()} {path}", "", _paragraph(operation.get("summary", ""))]
            out += ["", _paragraph(operation.get("description", "")), ""]
            parameters = [_resolve(one, description) for one in [*item.get("parameters", []), *operation.get("parameters", [])]]
            if parameters:
                out += ["| Parameter | In | |", "|---|---|---|"]
                out += [
                    f"| `{one['name']}` | {one['in']} | {_cell(_paragraph(one.get('description', '')))} |" for one in parameters
                ]
                out.append("")
            if body := operation.get("requestBody"):
                body = _resolve(body, description)
                types = ", ".join(f"`{kind}`" for kind in body.get("content", {}))
                out += [f"**Body**: {types}. {_paragraph(body.get('description', ''))}", ""]
            out += ["| Status | Types | |", "|---|---|---|"]
            for status, answer in operation["responses"].items():
                answer = _resolve(answer, description)
                types = ", ".join(f"`{kind}`" for kind in answer.get("content", {}))
                out.append(f"| {status} | {types} | {_cell(_paragraph(answer.get('description', '')))} |")
            out.append("")
    out += ["## Schemas", ""]
    for name, schema in description["components"]["schemas"].items():
        out += [
            f"### {name}",
            "",
            _paragraph(schema.get("description", "")),
            "",
            "```json",
            json.dumps(schema, indent=2, ensure_ascii=False),
            "```",
            "",
        ]
    return "\n".join(out)


def _resolve(one: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    if reference := one.get("$ref"):
        found: Any = description
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return _resolve(found, description)
    return one


def _paragraph(text: str) -> str:
    return " ".join(textwrap.dedent(text).split())
