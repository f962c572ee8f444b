"""The recipes of `docs/python.md`, as they stand there, in the frameworks that they are for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

import tidings

from .support.blocks import DEFAULT_URL, blocks, run
from .support.hub import ROOT, Hub
from .support.script import Exchange, Script

FASTAPI, FOLLOW, TOKENS, DJANGO, JUPYTER = blocks(ROOT / "docs/python.md")


@contextmanager
def uvicorn(folder: Path) -> Iterator[str]:
    """`app.py` of this folder, served."""
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"running on (http://\S+)", line):
                    yield found[1]
                    break
            else:
                raise AssertionError(said)
        finally:
            process.terminate()
            process.stderr.read()


def test_fastapi(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FASTAPI.replace(DEFAULT_URL, hub.url))
    with uvicorn(tmp_path) as url:
        shipped = httpx.post(f"{url}/orders/42/ship?carrier=X").raise_for_status().json()
        with tidings.subscribe_sync(hub.url, "orders/42", since="earliest") as events:
            event = next(events)
        assert (event.id, event.type, event.data) == (shipped["id"], "shipped", {"carrier": "X"})
        topic = httpx.post(f"{url}/reports").raise_for_status().json()["topic"]
        told = run(f"import sys; sys.argv.append({topic!r})\n{FOLLOW}", hub, tmp_path)
    progress = [f"progress {{'percent': {percent}}}" for percent in (0, 50, 100)]
    assert told.splitlines() == [*progress, "done {'url': '/reports/1.pdf'}"]


def test_tokens_of_a_model(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["Once ", "upon ", "a time"]

    def model(exchange: Exchange) -> None:
        exchange.head(200, "text/event-stream")
        for word in words:
            chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            exchange.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n")
        exchange.write("data: [DONE]\n\n")

    with Script(model) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        told = run(f"import sys; sys.argv += ['chat/1', 'Tell me a story']\n{TOKENS}", hub, tmp_path)
    assert told == "3 tokens\n"
    events = list(tidings.subscribe_sync(hub.url, "chat/1", since="earliest"))
    assert [(event.type, event.data) for event in events] == [("token", word) for word in words]


SITE = """
import django
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite"}})
django.setup()

from django.db import connection, transaction
from shop.models import Order
from shop.orders import hub, place_order

with connection.schema_editor() as editor:
    editor.create_model(Order)
place_order("first")
try:
    with transaction.atomic():
        place_order("nobody")
        raise KeyError
except KeyError:
    pass
place_order("second")
print(*Order.objects.values_list("customer", flat=True))
hub().close()
"""

MODELS = """
from django.db import models


class Order(models.Model):
    customer = models.TextField()

    class Meta:
        app_label = "shop"
"""


def test_django(hub: Hub, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "models.py").write_text(MODELS)
    (shop / "orders.py").write_text(DJANGO.replace(DEFAULT_URL, hub.url))
    assert run(SITE, hub, tmp_path) == "first second\n"
    with tidings.subscribe_sync(hub.url, "orders/*", since="earliest") as events:
        told = [next(events), next(events)]
    assert [(event.type, event.data) for event in told] == [("placed", {"customer": name}) for name in ("first", "second")]


@pytest.mark.filterwarnings("default")
def test_jupyter(hub: Hub, tmp_path: Path) -> None:
    with tidings.Client(hub.url) as client:
        client.publish_batch("prices/x", [{"price": price} for price in (3, 1, 2)], close=True)
    cell = nbformat.v4.new_code_cell(JUPYTER.replace(DEFAULT_URL, hub.url))  # type: ignore[no-untyped-call]
    count = nbformat.v4.new_code_cell("print(prices)")  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=[cell, count])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    [plot] = notebook.cells[0].outputs
    assert "image/png" in plot["data"]
    assert notebook.cells[1].outputs[0]["text"] == "[3, 1, 2]\n"
