"""Asks a hub for everything that its OpenAPI description allows, and for much that it does not: openapi.py ORIGIN"""

import json
import os
import pathlib
import sys
import tempfile

import schemathesis
from schemathesis.cli import schemathesis as command

SETTINGS = """
[checks.positive_data_acceptance]
# Beside the usual: what is right in itself may meet a topic that has ended, a key that was used, a limit, or be asked for
# without an upgrade.
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 413, 422, 426, 429, "5xx"]

[checks.negative_data_rejection]
# Beside the usual: what is wrong may be too large before that is seen.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 426, 428, 429, "5xx"]
"""


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """What is described as an array is sent as lines of JSON."""
    if isinstance(value, bytes):
        return value
    items = value if isinstance(value, list) else [[value]]
    return "".join(json.dumps(item) + "\n" for item in items).encode()


@schemathesis.hook
def filter_case(context, case):
    """Where a last event id wins, nobody looks at `since`, be it right or wrong. Which of the parameters of a stream go
    together, and with what body, is said in words."""
    query = case.query or {}
    if case.method == "POST" and {"stream", "from", "grace", "data"} & query.keys():
        return False
    if "reason" in query and query.get("close") not in (True, "true"):
        return False
    return "since" not in query or not ("Last-Event-ID" in (case.headers or {}) or "lastEventId" in query)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Examples, which no filter is asked about, have all parameters at once."""
    if case.method == "POST" and case.query:
        for name in ("stream", "from", "grace", "data"):
            case.query.pop(name, None)
        if case.query.get("close") not in (True, "true"):
            case.query.pop("reason", None)


# What is found is shown, and left nowhere.
room = pathlib.Path(tempfile.mkdtemp())
(room / "schemathesis.toml").write_text(SETTINGS)
os.chdir(room)
command(
    [
        "run",
        f"{sys.argv[1]}/openapi.json",
        "--phases=examples,coverage,fuzzing",
        "--max-examples=10",
        "--max-time=40",
        "--generation-deterministic",
        "--workers=1",
        "--request-timeout=10",
        "--continue-on-failure",
        "--no-color",
    ]
)
