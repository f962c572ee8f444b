"""nginx as it comes from the distribution, and TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

import tidings

from .support.hub import Hub
from .support.keys import authority, self_signed
from .support.mode import Mode
from .support.nginx import nginx


def test_a_proxy_that_holds_streams_back_is_got_past_by_polls(mode: Mode, hub: Hub) -> None:
    with nginx(hub, "proxy_ignore_headers X-Accel-Buffering; proxy_buffering on;") as origin:
        events = mode.subscribe(origin, "a", since="earliest", first_byte=0.5)
        events.open()
        assert events.told.first("waiting").error
        assert events.state.transport == "long-poll"
        publisher = mode.client(hub.url)
        for number in range(20):
            publisher.publish("a", number)
            assert events.datas(1) == [number]


def test_a_proxy_that_lets_streams_through_is_read_through(mode: Mode, hub: Hub) -> None:
    with nginx(hub) as origin:
        client = mode.client(origin)
        events = client.subscribe("a")
        events.open()
        assert events.state.transport == "sse"
        client.publish_batch("a", [1, 2])
        assert events.datas(2) == [1, 2]


@pytest.mark.parametrize("transport", ["sse", "long-poll"])
def test_a_hub_that_is_killed_behind_a_proxy_is_waited_for(mode: Mode, hub: Hub, transport: tidings.Transport) -> None:
    with nginx(hub) as origin:
        events = mode.subscribe(origin, "a", since="earliest", transports=[transport])
        tidings.publish_sync(hub.url, "a", 1)
        assert events.datas(1) == [1]
        hub.kill()
        error = events.waiting().error
        assert error
        hub.resume()
        tidings.publish_sync(hub.url, "a", 2)
        assert events.datas(1) == [2]


def test_no_proxy_stands_before_this_machine(mode: Mode, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert mode.client(hub.url).publish("a", "x", retry_for=0).id
    # For any other, the settings of the system hold.
    with pytest.raises(tidings.TidingsError, match="unreachable"):
        mode.client("http://hub.example").publish("a", "x", retry_for=0)


def test_tls_by_an_authority_of_ones_own(mode: Mode, tmp_path: Path) -> None:
    ca, flags = authority(tmp_path)
    with Hub(*flags) as hub:
        assert hub.url.startswith("https:")
        context = ssl.create_default_context(cafile=str(ca))
        context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
        for options in ({"ca_file": ca}, {"verify": context}):
            client = mode.client(hub.url, **options)
            client.publish("a", "x")
            for transport in ("sse", "long-poll", "poll"):
                events = client.subscribe("a", since=-1, transports=[transport])
                assert events.datas(1) == ["x"]
                events.close()
        # Its certificate itself may be what is trusted.
        assert mode.client(hub.url, ca_file=tmp_path / "hub.pem").publish("a", "x").id


def test_tls_by_a_certificate_that_signs_itself(mode: Mode, tmp_path: Path) -> None:
    certificate, flags = self_signed(tmp_path)
    with Hub(*flags) as hub:
        assert mode.client(hub.url, ca_file=certificate).publish("a", "x").id


def test_a_certificate_that_is_not_trusted_is_a_mistake_in_the_settings_and_told_at_once(mode: Mode, tmp_path: Path) -> None:
    _, flags = authority(tmp_path)
    with Hub(*flags) as hub:
        error = mode.subscribe(hub.url, "a").failed()
        assert error.kind == "untrusted"
        assert "certificate" in str(error)
        with pytest.raises(tidings.TidingsError, match="untrusted"):
            mode.client(hub.url).publish("a", 1)


@pytest.mark.parametrize(
    ("location", "transport"),
    [('proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";', "websocket"), ("", "sse")],
    ids=["forwards Upgrade", "does not"],
)
def test_through_a_proxy(mode: Mode, hub: Hub, location: str, transport: str) -> None:
    tidings.publish_sync(hub.url, "a", 1)
    with nginx(hub, location) as url:
        events = mode.subscribe(url, "a", transports=["websocket", "sse", "long-poll", "poll"], since="earliest")
        assert events.datas(1) == [1]
        assert events.state.transport == transport
