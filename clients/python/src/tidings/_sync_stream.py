"""The sender of a stream beside a thread that iterates: an event loop in a thread of its own, for so long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.from_thread import start_blocking_portal

from ._commands import Flow
from ._errors import TidingsError
from ._message import random_key
from ._publication import StreamProgress, StreamPublished
from ._publish_stream import Hub, Plan, Sender

if TYPE_CHECKING:
    from ._sync import Client


class _Hub(Hub["Client"]):
    async def authorization(self) -> dict[str, str]:
        return await anyio.to_thread.run_sync(self._client._authorization)

    async def ask(self, flow: Flow[Any]) -> Any:
        return await anyio.to_thread.run_sync(self._client._perform, flow)


def publish_stream(
    client: Client,
    source: Iterable[Any],
    topic: str,
    type: str | None,
    close: bool,
    grace: float,
    key: str | None,
    retry_for: float,
    first_byte: float,
    on_progress: Callable[[StreamProgress], None] | None,
) -> StreamPublished:
    plan = Plan(topic, type, close, grace, random_key() if key is None else key, retry_for, first_byte, on_progress)
    iterator: Any = iter(source)
    with start_blocking_portal() as portal:
        sender = portal.call(_sender, _Hub(client), plan)
        sending = portal.start_task_soon(sender.run)
        try:
            for item in iterator:
                if sending.done():
                    break
                portal.call(sender.outbox.put, item)
                if sending.done():
                    break
            if not sending.done():
                portal.call(sender.outbox.end)
            return sending.result()
        except BaseException as error:
            if not sending.done():
                if isinstance(error, Exception):
                    # What it had before is kept.
                    portal.call(sender.outbox.end, True)
                    with suppress(TidingsError):
                        sending.result()
                else:
                    sending.cancel()
                if close:
                    # Where this fails, the hub ends the topic by itself after the grace.
                    with suppress(TidingsError):
                        client.close_topic(topic, reason="aborted", retry_for=0)
            raise
        finally:
            if (end := getattr(iterator, "close", None)) is not None:
                end()


async def _sender(hub: _Hub, plan: Plan) -> Sender:
    return Sender(hub, plan)
