"""Every number that decides how the client waits, retries and bounds what it holds, in one place.

Times are in seconds, sizes in bytes. Where the Rust and the TypeScript client have the same number, it is the same.
"""

from typing import Final

HEARTBEAT: Final = 15.0
"""The interval of heartbeats that streams are asked for."""
SILENT_HEARTBEATS: Final = 2.5
"""After how many heartbeat intervals without a byte a stream counts as dead."""
HEARTBEAT_FLOOR: Final = 1.0
"""A hub keeps to intervals of heartbeats from this one on, whatever it is asked for."""
HEARTBEAT_CEILING: Final = 60.0
"""A hub keeps to intervals of heartbeats up to this one, whatever it is asked for."""
FIRST_BYTE: Final = 5.0
"""How long the first byte of a stream may take before the next transport is tried."""
SETTLED: Final = 5.0
"""A stream that is still heard of after this time counts as good; one that delivers an event does so at once."""
STREAM_FAILURES: Final = 3
"""How many failures in a row, of a kind that the transport may be to blame for, end the use of streams."""
POLL_FAILURES: Final = 2
"""How many such failures in a row end the use of polls."""
CLIMB_AFTER: Final = 300.0
"""How long after it was given up the first transport is tried again."""

LONG_POLL_WAIT: Final = 25.0
"""How long a long poll asks the hub to wait. Below the 30 s after which common proxies give up."""
POLL_INTERVAL: Final = 5.0
"""How long the client rests between two short polls that found nothing more."""
EMPTY_POLL_PAUSE: Final = 1.0
"""How soon after one long poll the next one follows where it came back empty, as from a hub that shuts down."""
POLL_GRACE: Final = 10.0
"""How long a poll's answer may take beyond what it asked the hub to wait, and its body pause."""
PAGE_TIMEOUT: Final = 600.0
"""How long the body of a poll's answer may take in all: a page of a mebibyte over the slowest of networks."""
CURSOR_SIZE: Final = 1_000
"""The longest cursor that is sent. Of one that is no hub's, the start is enough to be told that it is none."""

BACKOFF_BASE: Final = 1.0
"""The longest first delay before a reconnect; each further one may be twice as long. The hub's `retry:` replaces it."""
BACKOFF_CAP: Final = 30.0
"""The longest delay before a reconnect that the hub did not ask for itself."""
RETRY_FLOOR: Final = 0.1
"""The smallest base that a hub's `retry:` can set, so that `retry: 0` does not mean a busy loop."""
RETRY_CEILING: Final = 3_600.0
"""The longest delay that a hub's `retry:` or `Retry-After` can ask for."""

CONNECT_TIMEOUT: Final = 10.0
"""How long a connection may take to be made, TLS included."""
TOKEN_TIMEOUT: Final = 30.0
"""How long an asynchronous supplier of tokens may take."""
PUBLISH_TIMEOUT: Final = 60.0
"""How long the answer to a publish may take."""
SLOWEST_UPLOAD: Final = 32 << 10
"""How many bytes a second an upload may be as slow as: a large publish is given more time by this measure."""
PUBLISH_RETRY: Final = 60.0
"""For how long a publish is tried again before it is given up."""
STREAM_GRACE: Final = 10.0
"""How long the hub waits for a producer whose connection broke before it ends the topic as `aborted`."""
STREAM_WINDOW: Final = 1 << 20
"""How many bytes of a streamed publication are not acknowledged before no more is taken from its source."""
STREAM_PIECE: Final = 64 << 10
"""How many bytes of it are sent at once."""
STREAM_SIGN: Final = 15.0
"""How often a producer that has nothing to send shows that it is there."""
STREAM_KEY_SIZE: Final = 234
"""The longest idempotency key of a stream: the number of an item follows on it."""
HEAD_SIZE: Final = 64 << 10
"""The longest head of an answer to a stream."""
WRITE_TIMEOUT: Final = 10.0
"""How long a message of a WebSocket may take to be sent."""
PIECE_SIZE: Final = 64 << 10
"""How much of a WebSocket is read at once."""
HANGUP_TIMEOUT: Final = 5.0
"""How long the end of a connection may take before it is dropped."""
BUFFERED_PIECES: Final = 1_000
"""How many pieces of a closed connection, which had come already, are looked at to bring its readers to their end."""
LONGEST_WAIT: Final = 1_000_000.0
"""The longest time that is waited for at once: operating systems count no further than some weeks."""
LONGEST_EVERY: Final = 60.0
"""The longest time between two deliveries that a hub takes, in seconds."""

EVENT_SIZE: Final = 32 << 20
"""The largest event that is taken, in bytes as it arrives."""
ANSWER_SIZE: Final = 1 << 20
"""The largest problem that is read."""
RECEIPT_SIZE: Final = 16 << 20
"""The largest receipt of a publish that is read: a batch has up to 65,536 ids."""
IDLE_CONNECTIONS: Final = 20
"""How many connections that nobody uses are kept open."""
IDLE_TIMEOUT: Final = 5.0
"""How long a connection that nobody uses is kept open."""
