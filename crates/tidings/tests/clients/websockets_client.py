"""PyPI's websockets, with a reconnecting loop of a few lines: websockets_client.py URL

It prints what it hears as lines of JSON, and ends with its standard input. A line of that is sent as a message.
"""

import json
import os
import sys
import threading
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

url = sys.argv[1].replace("http", "ws", 1)
current = None


def report(**seen):
    print(json.dumps(seen), flush=True)


def read(place):
    """Reads one socket to its end; says whether to come back."""
    global current
    at = url + ("&" if "?" in url else "?")
    at += f"lastEventId={place['cursor']}" if place["cursor"] else "since=latest"
    with connect(at, subprotocols=["tidings.v1"], proxy=None) as socket:
        current = socket
        report(kind="open", protocol=socket.subprotocol, extensions=[one.name for one in socket.protocol.extensions])
        ended = False
        try:
            for message in socket:
                told = json.loads(message)
                place["cursor"] = told.get("id") or told.get("next") or place["cursor"]
                ended |= "end" in told
                report(kind="message", message=told)
        finally:
            place["code"] = socket.close_code
    return not ended


def follow():
    place = {"cursor": None}
    while True:
        try:
            if not read(place):
                report(kind="closed", code=place["code"])
                return
            report(kind="cut", code=place["code"])
        except ConnectionClosed:
            report(kind="cut", code=place["code"])
        except (OSError, EOFError, InvalidHandshake):
            # The hub is away.
            pass
        time.sleep(0.1)


threading.Thread(target=follow, daemon=True).start()
for line in sys.stdin:
    current.send(line)
# The thread may be waiting for the hub, which is none of our business any more.
os._exit(0)
