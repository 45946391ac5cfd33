"""The guard in front of Dagster's page: decides which requests reach it, and answers the others with the reason.

Dagster's page has no login, takes mutations by plain GET, and looks at neither `Host` nor `Origin`. A browser sends
requests to this machine for any web page that asks it to, so without a guard every web page can launch every job. This
module knows nothing of Dagster but the name `graphql` and its parameter `query`; `page` installs the guard.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
Application = Callable[[_Message, _Receive, _Send], Awaitable[None]]
"""An ASGI application: it is called with the scope (what is requested), and functions to receive and to send."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE = frozenset({"same-origin", "none"})  # none: typed, or from a bookmark
_SCHEMES = {"ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
_SHOWN_CHARACTERS = 100

_NOT_FRAMED = (b"content-security-policy", b"frame-ancestors 'self'")
"""Keeps other sites from showing the page in a frame and misleading its user's clicks. Browsers apply it together with
Dagster's own policy."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request does not reach the page.

    Attributes:
        status: HTTP status code.
        reason: a sentence, with what to do instead.
        allowed: the methods that are allowed, if the method was wrong; else empty.
    """

    status: int
    reason: str
    allowed: str = ""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of the answer. They close the connection, because the body of the request was not read."""
        allow = [(b"allow", self.allowed.encode())] if self.allowed else []
        length = str(len(self.body)).encode()
        plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
        return [*plain, (b"content-length", length), (b"connection", b"close"), *allow]

    @property
    def body(self) -> bytes:
        """Body of the answer."""
        return f"{self.reason}\n".encode()


class Guard:
    """An ASGI application in front of another one: passes allowed requests on, and refuses the others itself.

    Args:
        application: the application behind it.
        bound: the address or name that the server listens on.
    """

    def __init__(self, application: Application, bound: str) -> None:
        self._application = application
        self._bound = bound

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Serves one request, one WebSocket, or the server's own start and end."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
        elif (refusal := refusal_of(scope, self._bound)) is not None:
            await _refuse(refusal, scope, send)
        else:
            await self._application(scope, receive, _with_header(send, _NOT_FRAMED))


def refusal_of(scope: _Message, bound: str) -> Refusal | None:
    """Why a request must not reach the page, or None where it may.

    Args:
        scope: the ASGI scope of an HTTP request or a WebSocket.
        bound: the address or name that the server listens on.
    """
    headers = _headers_by_name(scope)
    return (
        _refusal_of_host(headers, _own_names(scope, bound))
        or _refusal_of_origin(headers, str(scope.get("scheme", "http")))
        or (None if scope["type"] == "websocket" else _refusal_of_action(scope, headers))
    )


def _headers_by_name(scope: _Message) -> dict[str, list[str]]:
    """All values of each header, by its name in lower case; a WebSocket's headers come in any case."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip(" \t"))
    return headers


def _own_names(scope: _Message, bound: str) -> frozenset[str]:
    """The bound name, and the address at which this connection arrived: a server bound to all addresses has many."""
    arrived = (scope.get("server") or ("",))[0]
    return frozenset(name.lower() for name in (bound, arrived) if name and not _is_unspecified(name))


def _is_unspecified(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False


def _refusal_of_host(headers: dict[str, list[str]], own_names: frozenset[str]) -> Refusal | None:
    """Against DNS rebinding: another site's name leads here, and the browser takes this page for that site's."""
    hosts = headers.get("host", [])
    if len(hosts) == 1 and (parts := _HOST.fullmatch(hosts[0])) is not None:
        name = parts["name"].lower().strip("[]")
        if _is_port(parts["port"]) and (_is_loopback(name) or name in own_names):
            return None
    given = " and ".join(map(_shown, hosts)) or "no name at all"
    return Refusal(
        421,
        f"This page answers as localhost or 127.0.0.1, and the request asked {given}; open it by one of those names",
    )


def _is_port(port: str | None) -> bool:
    return port is None or 0 < int(port[1:]) < 65_536


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback if address.version == 4 else address == ipaddress.IPv6Address("::1")


def _refusal_of_origin(headers: dict[str, list[str]], scheme: str) -> Refusal | None:
    """Against scripts of other sites, which could otherwise read everything through a WebSocket."""
    origins = headers.get("origin", [])
    scheme = _SCHEMES.get(scheme, scheme)
    port = _DEFAULT_PORTS.get(scheme, "")
    own = f"{scheme}://{headers['host'][0].lower().removesuffix(port)}"
    if not origins or (len(origins) == 1 and origins[0].lower().removesuffix(port) == own):
        return None
    return Refusal(
        403, f"The request comes from {' and '.join(map(_shown, origins))} and not from {own}; use the page at {own}"
    )


def _refusal_of_action(scope: _Message, headers: dict[str, list[str]]) -> Refusal | None:
    """Against requests that a browser sends for another site without asking: links, pictures, forms."""
    if scope["method"] in _READING:
        return _refusal_of_query_in_address(scope)
    if scope["method"] != "POST":
        return Refusal(
            405, f"{_shown(scope['method'])} is not accepted; send a POST with JSON", allowed="GET, HEAD, POST"
        )
    if others := [site for site in headers.get("sec-fetch-site", []) if site not in _OWN_SITE]:
        return Refusal(403, f"A page of another site ({_shown(others[0])}) sent this; use the page itself")
    kinds = headers.get("content-type", [])
    if [kind.partition(";")[0].strip().lower() for kind in kinds] != ["application/json"]:
        given = " and ".join(map(_shown, kinds)) or "none"
        return Refusal(415, f"A POST needs the content type application/json, and this one has {given}; send JSON")
    return None


def _refusal_of_query_in_address(scope: _Message) -> Refusal | None:
    """Against GraphQL in the address, which Dagster executes. Any path with `graphql` counts, as spellings vary."""
    names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
    is_query = any(name.strip().lower().startswith("query") for name in names)
    if not is_query or "graphql" not in scope["path"].lower():
        return None
    return Refusal(
        405, "A GraphQL query in the address is not accepted; send it as a POST with a JSON body", allowed="POST"
    )


def _shown(text: str) -> str:
    """Untrusted text, shortened and escaped so that it can be printed."""
    return ascii(text[:_SHOWN_CHARACTERS])


async def _refuse(refusal: Refusal, scope: _Message, send: _Send) -> None:
    """Answers a request or a WebSocket's handshake; where the server takes no such answer, closes the WebSocket."""
    is_socket = scope["type"] == "websocket"
    if is_socket and "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    kind = "websocket.http.response" if is_socket else "http.response"
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": refusal.headers})
    await send({"type": f"{kind}.body", "body": refusal.body})


def _with_header(send: _Send, header: tuple[bytes, bytes]) -> _Send:
    """Adds a header to the answer that an application sends."""

    async def send_with_header(message: _Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    return send_with_header
