from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import quote, urlencode, urlsplit

Parameters = list[tuple[str, str]]


class Endpoint:
    """Where a hub is, and so where each of its resources is."""

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            raise TypeError('the URL of a hub is a text, as "http://127.0.0.1:8080"')
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"the URL of a hub begins with http:// or https://, not {parts.scheme}:")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the URL of a hub holds no user name or password: give a token instead")
        if parts.query or parts.fragment:
            raise ValueError("the URL of a hub has no query and no fragment")
        try:
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"the URL of a hub has a port that is none: {error}") from None
        if not host or any(character <= " " for character in url):
            raise ValueError("the URL of a hub names its host, as http://127.0.0.1:8080")
        segments = [segment for segment in parts.path.split("/") if segment]
        if "topics" in segments or segments[-1:] == ["events"]:
            raise ValueError("the URL of a hub ends before /topics and /events: the topic is an argument of its own")
        self.secure = parts.scheme == "https"
        self.loopback = _is_loopback(host)
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    def __str__(self) -> str:
        return self._base

    def topic(self, topic: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
        """`/topics/{topic}`"""
        path = "/".join(quote(segment, safe="", errors="strict") for segment in topic.split("/"))
        return with_parameters(f"{self._base}/topics/{path}", parameters)

    def events(self) -> str:
        """`/events`"""
        return f"{self._base}/events"

    def selectors(self, selectors: list[str]) -> tuple[str, Parameters]:
        """Where the union of `selectors` is read, and the parameters that say so."""
        if len(selectors) == 1 and is_plain(selectors[0]):
            return self.topic(selectors[0]), []
        return self.events(), [("topic", selector) for selector in selectors]


def is_plain(topic: str) -> bool:
    """Whether a path can name the topic, also where something on the way normalizes paths. URLs take a segment `.` or `..` for
    a step, and some proxies take several slashes for one."""
    return not any(segment in ("", ".", "..") for segment in topic.split("/"))


def with_parameters(url: str, parameters: Iterable[tuple[str, str]]) -> str:
    # A cursor from elsewhere may hold what no URL can.
    query = urlencode(list(parameters), errors="replace")
    return f"{url}?{query}" if query else url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
