"""libcurl's WebSockets, by PyPI's curl_cffi: curl_client.py URL

It prints what it hears as lines, and ends with its standard input. A line of that is sent as a message.
"""

import json
import os
import sys
import threading

from curl_cffi import Session, WebSocketClosed

with Session() as session:
    socket = session.ws_connect(sys.argv[1].replace("http", "ws", 1), headers={"Sec-WebSocket-Protocol": "tidings.v1"})

    def send():
        for line in sys.stdin:
            socket.send_str(line.rstrip("\n"))
        os._exit(0)

    threading.Thread(target=send, daemon=True).start()
    try:
        while True:
            print(socket.recv_str(), flush=True)
    except WebSocketClosed as closed:
        print(json.dumps({"closed": closed.code}), flush=True)
