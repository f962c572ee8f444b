"""PyPI's httpx-sse, with the reconnecting loop that it leaves to its users: httpx_sse_client.py URL [--http2]

It prints what it sees as lines of JSON, and ends with its standard input.
"""

import json
import os
import sys
import threading
import time

import h2.exceptions
import httpx
from httpx_sse import connect_sse

url, http2 = sys.argv[1], "--http2" in sys.argv


def report(**seen):
    print(json.dumps(seen), flush=True)


def read(client, place):
    """Reads one stream to its end; says whether to come back."""
    headers = {"Last-Event-ID": place["id"]} if place["id"] else {}
    with connect_sse(client, "GET", url, headers=headers) as source:
        if source.response.status_code == 204:
            return False
        source.response.raise_for_status()
        report(kind="open")
        for event in source.iter_sse():
            place["id"] = event.id
            if event.retry is not None:
                place["retry"] = event.retry / 1000
            # Unlike EventSource, it also gives the blocks without data, which only move the cursor.
            if event.data:
                report(kind="event", type=event.event, data=event.data, id=event.id)
    return True


def follow():
    place = {"id": "", "retry": 3}
    timeout = httpx.Timeout(10, read=60)
    with httpx.Client(http1=not http2, http2=http2, timeout=timeout, trust_env=False) as client:
        while True:
            try:
                if not read(client, place):
                    report(kind="closed")
                    return
            # httpx lets through what h2 says to a PING after a GOAWAY, which ends a connection in good order.
            except (httpx.TransportError, h2.exceptions.ProtocolError):
                pass
            report(kind="cut")
            time.sleep(place["retry"])


threading.Thread(target=follow, daemon=True).start()
sys.stdin.read()
# The thread may be waiting for the hub, which is none of our business any more.
os._exit(0)
