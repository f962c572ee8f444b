"""Every block of the README, as it stands there, in its order, against one hub."""

from __future__ import annotations

import re
from pathlib import Path

from .support.blocks import blocks, first_line, run
from .support.hub import Hub

README = Path(__file__).parents[1] / "README.md"


def test_its_blocks_do_what_they_say(hub: Hub, tmp_path: Path) -> None:
    first, second, clients, stream, subscribing, store, errors = blocks(README)
    said = re.search(r"It prints `(.*?)`", README.read_text(encoding="utf-8"))
    assert said
    assert first_line(first, hub, tmp_path) == f"{said[1]}\n"
    assert first_line(second, hub, tmp_path) == "orders/42 delivered\n"
    assert re.fullmatch(r"\S+-11 \d{4}-\S+Z\n", run(clients, hub, tmp_path))
    assert re.fullmatch(r"4 \S+-15 True\n", run(stream, hub, tmp_path))
    opened, event, cursor, closed = run(subscribing, hub, tmp_path).splitlines()
    assert "status='open'" in opened
    assert re.fullmatch(r"\S+-1[67] news None \S+Z it works", event)
    assert event.startswith(f"{cursor} ")
    assert "status='closed'" in closed
    # Each life of the program goes on after the one before it.
    assert [run(store, hub, tmp_path) for _ in range(3)] == ["{'carrier': 'X'}\n", "delivered\n", "placed\n"]
    assert run(errors, hub, tmp_path) == "409 urn:tidings:topic-closed\n"


def test_its_other_blocks_are_known() -> None:
    assert blocks(README, "console") == ["$ pip install clients/python\n"]
