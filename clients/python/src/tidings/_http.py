"""How httpx is set up. It is imported only once a client is made: that takes longer than all the rest of this package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _defaults as defaults
from ._commands import Answer
from ._endpoint import Endpoint
from ._errors import TidingsError

if TYPE_CHECKING:
    import ssl

    import httpx

VERSION = "0.1.0"


def options(endpoint: Endpoint, verify: ssl.SSLContext | bool, ca_file: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Options for `httpx.Client` and `httpx.AsyncClient`."""
    import ssl

    import httpx

    if ca_file is not None:
        if verify is not True:
            raise ValueError("give either verify or ca_file")
        verify = ssl.create_default_context(cafile=os.fspath(ca_file))
        # What stands there is trusted for what it is, be it a hub's own, or one without all that authorities write into theirs.
        verify.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        verify.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    elif verify is True and not endpoint.secure:
        # Reading all the certificates of authorities takes a while, and nobody asks for them. This trusts none.
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return {
        "verify": verify,
        # No proxy stands before what is on this machine.
        "trust_env": not endpoint.loopback,
        # A redirect could turn a publish into a read, or carry the token elsewhere.
        "follow_redirects": False,
        "timeout": None,
        "limits": httpx.Limits(
            max_connections=None,
            max_keepalive_connections=defaults.IDLE_CONNECTIONS,
            keepalive_expiry=defaults.IDLE_TIMEOUT,
        ),
        "headers": {"User-Agent": f"tidings-python/{VERSION}"},
    }


def tls(endpoint: Endpoint, verify: ssl.SSLContext | bool, ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext | None:
    """How to connect to a hub that speaks TLS, as httpx would."""
    import httpx

    if not endpoint.secure:
        return None
    given = options(endpoint, verify, ca_file)["verify"]
    return httpx.create_ssl_context(verify=given) if isinstance(given, bool) else given


def is_direct(endpoint: Endpoint) -> bool:
    """Whether no proxy of the environment stands before a hub."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(str(endpoint))
    proxies = getproxies()
    return endpoint.loopback or not ({parts.scheme, "all"} & proxies.keys()) or bool(proxy_bypass(parts.hostname or ""))


def head_of(response: httpx.Response) -> Answer:
    headers = response.headers
    return Answer(
        response.status_code,
        headers.get("content-type", ""),
        headers.get("retry-after", ""),
        headers.get("sec-websocket-accept", ""),
    )


def is_of_network(error: Exception) -> bool:
    """Whether another attempt may do better. Anything else is a mistake of a program (such as to use a client that is closed), or
    what one of its signal handlers raised: it goes to the caller."""
    import httpx

    if isinstance(error, (httpx.TransportError, OSError)):
        return True
    # What httpx lets through.
    return type(error).__module__.partition(".")[0] in ("anyio", "h11", "h2", "hpack", "httpcore", "ssl", "trio")


def failure(error: Exception, *, answered: bool) -> TidingsError:
    """What an error of httpx is about. `answered` says whether anything ever answered: until then, a certificate that is not
    trusted is a mistake in the settings; later, something on the way may show its own for a while, as a captive portal does."""
    import ssl

    import httpx

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) and not answered and cause.verify_code not in _PASSING:
            return TidingsError("untrusted", f"the hub's certificate is not trusted: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__
    reached = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.PoolTimeout))
    return TidingsError("broken" if reached else "unreachable", error)


# It is not valid yet, or no longer: the clock or the certificate will be mended.
_PASSING = (9, 10)
