"""Every rule of the guard, both ways: as values, and over real sockets with the server that serves the page."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from thumb_pipeline.cli.dagster.guard import Guard, refusal_of

pytestmark = pytest.mark.quick

HOST = "127.0.0.1:3000"
OWN = {"Host": HOST}
JSON = {**OWN, "Content-Type": "application/json"}
QUERY = "query=mutation%7BlaunchRun%7D"


POST = "POST /graphql HTTP/1.1"
TYPE = "Content-Type: application/json"
UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def status(
    method: str = "GET",
    target: str = "/runs",
    headers: dict[str, str] | list[tuple[str, str]] = OWN,
    *,
    kind: str = "http",
    scheme: str = "http",
    server: tuple[str, int] | None = ("127.0.0.1", 3000),
    bound: str = "127.0.0.1",
) -> int:
    """The status with which a request is refused; 200 where it may pass."""
    path, _, query = target.partition("?")
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    scope = {
        "type": kind,
        "scheme": scheme,
        "method": method,
        "path": path,
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
        "server": server,
    }
    refusal = refusal_of(scope, bound)
    return 200 if refusal is None else refusal.status


# Host


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:3000", "LocalHost:8080", "127.0.0.1", HOST, "127.8.8.8:1", "[::1]", "[::1]:3000"],
)
def test_loopback_names_are_own_names_at_any_port_as_a_tunnel_changes_it(host: str) -> None:
    assert status(headers={"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost"),
        *("localhost.", "127.1", "2130706433", "0x7f.0.0.1", "0.0.0.0", "0.0.0.0:3000", "[::]", "[::ffff:127.0.0.1]"),
        *("", " ", ":3000", "localhost:", "localhost:0", "localhost:65536", "localhost:3000:3000", "localhost:-1"),
        *("localhost,evil.example", "localhost evil.example", "user@localhost", "localhost/", "localhost\n", "::1"),
        *("[::1", "::1]", "[127.0.0.1]:3000x", "localhost:٣", "l\u043ecalhost", "192.168.0.9"),
    ],
)
def test_other_and_malformed_names_are_misdirected(host: str) -> None:
    raw = host.encode().decode("latin-1")
    assert [status(headers={"Host": raw}), status(headers={"Host": raw}, kind="websocket")] == [421, 421]


def test_a_missing_host_and_two_of_them_are_misdirected() -> None:
    assert status(headers={}) == 421
    assert status(headers=[("Host", HOST), ("host", HOST)]) == 421


def test_what_was_bound_is_an_own_name_whether_it_is_a_name_or_an_address() -> None:
    assert status(headers={"Host": "archive.lan:3000"}, bound="archive.lan") == 200
    assert status(headers={"Host": "192.168.0.9:3000"}, bound="0.0.0.0", server=("192.168.0.9", 3000)) == 200
    assert status(headers={"Host": "[fd00::9]:3000"}, bound="::", server=("fd00::9", 3000)) == 200
    assert status(headers={"Host": "192.168.0.8:3000"}, bound="0.0.0.0", server=("192.168.0.9", 3000)) == 421
    assert status(headers={"Host": "0.0.0.0:3000"}, bound="0.0.0.0", server=("192.168.0.9", 3000)) == 421
    assert status(headers={"Host": HOST}, bound="archive.lan", server=None) == 200


# Where it comes from


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:3001", "http://localhost:3000"),
        *("https://127.0.0.1:3000", "127.0.0.1:3000", "http://127.0.0.1:3000.evil.example", "file://"),
        *("http://evil.example@127.0.0.1:3000", "http://127.0.0.1:3000/", "chrome-extension://abc"),
    ],
)
def test_another_origin_is_forbidden(origin: str, kind: str) -> None:
    assert status("POST", "/graphql", {**JSON, "Origin": origin}, kind=kind) == 403
    assert status("GET", "/runs", {**OWN, "Origin": origin}, kind=kind) == 403


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", HOST, "http://127.0.0.1:3000"),
        ("http", "localhost:3000", "http://localhost:3000"),
        ("http", "LOCALHOST:3000", "http://localhost:3000"),
        ("http", "[::1]:3000", "http://[::1]:3000"),
        ("http", "localhost", "http://localhost"),
        ("http", "localhost:80", "http://localhost"),
        ("https", "localhost:443", "https://localhost"),
    ],
)
def test_the_pages_own_origin_may_do_everything(scheme: str, host: str, origin: str) -> None:
    headers = {**JSON, "Host": host, "Origin": origin}
    assert status("POST", "/graphql", headers, scheme=scheme) == 200
    socket_scheme = {"http": "ws", "https": "wss"}[scheme]
    assert status(target="/graphql", headers=headers, kind="websocket", scheme=socket_scheme) == 200


def test_two_origins_are_forbidden_and_none_is_fine_as_programs_send_none() -> None:
    own = ("Origin", f"http://{HOST}")
    assert status("POST", "/graphql", [*JSON.items(), own, own]) == 403
    assert status("POST", "/graphql", JSON) == 200
    assert status(target="/graphql", kind="websocket") == 200


@pytest.mark.parametrize(
    ("site", "expected"),
    [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("", 403), ("anything", 403)],
)
def test_what_a_browser_says_of_the_site_decides_who_may_change_something(site: str, expected: int) -> None:
    assert status("POST", "/graphql", {**JSON, "Sec-Fetch-Site": site}) == expected
    assert status("GET", "/runs", {**OWN, "Sec-Fetch-Site": site}) == 200  # a link on another page may lead here


def test_one_foreign_site_among_several_is_enough() -> None:
    sites = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")]
    assert status("POST", "/graphql", [*JSON.items(), *sites]) == 403


# What it does


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "MKCOL", "post", "get", ""])
def test_nothing_but_post_may_change_something(method: str) -> None:
    assert status(method, "/graphql", JSON) == 405


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("target", ["/", "/runs", "/graphql", "/runs?q%5B%5D=status%3AFAILURE", "/assets/x?query=1"])
def test_pages_are_read_as_before(method: str, target: str) -> None:
    assert status(method, target) == 200


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", " application/json ;x=y"]
)
def test_a_post_of_json_passes(kind: str) -> None:
    assert status("POST", "/graphql", {**OWN, "Content-Type": kind}) == 200


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "application/graphql", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
        *("", "json", "text/plain; application/json", "application/json, text/plain", "application/jsonp"),
        *("application/graphql+json", "text/json", "application /json"),
    ],
)
def test_a_post_of_anything_else_is_an_unsupported_type(kind: str) -> None:
    assert status("POST", "/graphql", {**OWN, "Content-Type": kind}) == 415


def test_a_post_without_a_type_or_with_two_is_an_unsupported_type() -> None:
    assert status("POST", f"/graphql?{QUERY}", OWN) == 415
    assert status("POST", "/report_asset_materialization/thumbnails?partition=x", OWN) == 415
    assert status("POST", "/graphql", [*JSON.items(), ("content-type", "text/plain")]) == 415


def test_a_header_that_names_another_method_makes_no_difference() -> None:
    overrides = {"X-HTTP-Method-Override": "GET", "X-HTTP-Method": "GET", "X-Method-Override": "GET"}
    assert status("POST", "/graphql", {**OWN, **overrides}) == 415
    assert status("DELETE", "/graphql", {**JSON, **overrides}) == 405


# The path as ASGI gives it is decoded once, as Dagster's own routes see it; a line break at its end is one of theirs.
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "target",
    [
        *(f"/graphql?{QUERY}", f"/graphql/?{QUERY}", f"/prefix/graphql?{QUERY}", f"/graphql\n?{QUERY}"),
        *(f"//graphql?{QUERY}", f"/GraphQL?{QUERY}", f"/a/../graphql?{QUERY}", f"/graphql/x?{QUERY}"),
        *("/graphql?query", "/graphql?query=", "/graphql?a=b&query=x", "/graphql?q%75ery=x", "/graphql?%71%75ery=x"),
        *(
            "/graphql?QUERY=x",
            "/graphql?query[]=x",
            "/graphql?+query+=x",
            "/graphql?&&query=x",
            "/graphql?query=&query=x",
        ),
        *("/graphql?query.x=y", "/graphql?%20query=x", "/graphql?a=%26&query=\xff"),
    ],
)
def test_a_query_in_the_address_is_refused_however_it_is_spelled(method: str, target: str) -> None:
    assert status(method, target) == 405
    assert status(method, target, {**OWN, "Accept": "text/html"}) == 405


# What is sent and received


@dataclass
class Behind:
    """An application that remembers what reached it, and answers like a page."""

    reached: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(dict(scope))
        if scope["type"] == "lifespan":
            while (event := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{event['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "hello"})
            await send({"type": "websocket.close"})
        else:
            body = b""
            while (event := await receive()).get("more_body"):
                body += event["body"]
            body += event["body"]
            headers = [(b"content-security-policy", b"object-src 'none'"), (b"content-type", b"text/html")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"page " + body})

    @property
    def kinds(self) -> list[str]:
        return [scope["type"] for scope in self.reached]


def test_a_server_that_takes_no_sentence_closes_the_socket() -> None:
    behind, sent = Behind(), []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "scheme": "ws", "path": "/graphql", "query_string": b"", "headers": []}
    asyncio.run(Guard(behind, "127.0.0.1")(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert behind.reached == []


@pytest.fixture
def served() -> Iterator[tuple[int, Behind]]:
    """The port of a server of the kind that serves the page, with the guard before an application of our own."""
    behind = Behind()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Guard(behind, "127.0.0.1"), log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield int(listening.getsockname()[1]), behind
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def answer(port: int, request: bytes, *, until: bytes | None = None) -> bytes:
    """What a server answers to bytes, until it closes the connection, or has sent what is waited for."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        received = b""
        while (until is None or until not in received) and (part := connection.recv(65_536)):
            received += part
    return received


def request(line: str, *headers: str, body: str = "") -> bytes:
    ending = [] if set(UPGRADE) <= set(headers) else ["Connection: close"]
    return "\r\n".join([line, *headers, *ending, "", body]).encode()


def test_the_start_and_the_end_of_the_server_reach_the_application(served: tuple[int, Behind]) -> None:
    assert served[1].kinds == ["lifespan"]


def test_a_page_is_served_and_cannot_be_framed_by_others(served: tuple[int, Behind]) -> None:
    port, behind = served
    said = answer(port, request("GET /runs HTTP/1.1", f"Host: localhost:{port}"))
    assert said.startswith(b"HTTP/1.1 200")
    policies = [line for line in said.split(b"\r\n") if line.startswith(b"content-security-policy: ")]
    assert policies == [
        b"content-security-policy: object-src 'none'",
        b"content-security-policy: frame-ancestors 'self'",
    ]
    assert behind.kinds == ["lifespan", "http"]


def test_a_refusal_is_a_sentence_and_reaches_nothing(served: tuple[int, Behind]) -> None:
    port, behind = served
    said = answer(port, request(f"GET /graphql?{QUERY} HTTP/1.1", f"Host: localhost:{port}"))
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405")
    assert {b"content-type: text/plain; charset=utf-8", b"allow: POST"} <= set(head.split(b"\r\n"))
    assert body == b"A GraphQL query in the address is not accepted; send it as a POST with a JSON body\n"
    assert behind.kinds == ["lifespan"]


def test_what_a_stranger_sent_is_repeated_as_harmless_and_short(served: tuple[int, Behind]) -> None:
    name = "\xff<script>" + "x" * 5000
    said = answer(served[0], request("GET / HTTP/1.1", "Host: \x7f" + name))
    body = said.partition(b"\r\n\r\n")[2]
    assert len(body) < 500
    assert body.isascii()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (request("GET /graphql HTTP/1.0"), b"421"),
        (request("GET /graphql HTTP/1.0", "Host: localhost"), b"200"),
        (request(f"GET /graphql?{QUERY} HTTP/1.0", "Host: localhost"), b"405"),
        (request("GET / HTTP/1.1", "Host: localhost", "Host: localhost"), b"421"),
        (request(f"GET /gr%61phql%0A?{QUERY} HTTP/1.1", "Host: localhost"), b"405"),
        (request(f"GET http://localhost/graphql?{QUERY} HTTP/1.1", "Host: localhost"), b"405"),
        (request("GET http://localhost/runs HTTP/1.1", "Host: evil.example"), b"421"),
        (request(f"HEAD /graphql?{QUERY} HTTP/1.1", "Host: localhost"), b"405"),
        (request("OPTIONS * HTTP/1.1", "Host: localhost"), b"200"),
        (request(POST, "Host: localhost", TYPE, "Content-Length: 2", body="{}"), b"200"),
        (request(POST, "Host: localhost", TYPE, "Transfer-Encoding: chunked", body="2\r\n{}\r\n0\r\n\r\n"), b"200"),
        (request(POST, "Host: localhost", "Transfer-Encoding: chunked", body="2\r\n{}\r\n0\r\n\r\n"), b"415"),
        (request(POST, "Host: localhost", TYPE, "Origin: null", "Content-Length: 2", body="{}"), b"403"),
        (request("GET /graphql HTTP/1.1", "Host: localhost", "Origin: http://evil.example", *UPGRADE), b"403"),
        (request("GET /graphql HTTP/1.1", "Host: evil.example", *UPGRADE), b"421"),
        (request("POST /graphql HTTP/1.1", "Host: localhost", "Origin: null", *UPGRADE), b"405"),
    ],
)
def test_what_comes_over_the_wire_in_unusual_forms_is_judged_alike(
    served: tuple[int, Behind], raw: bytes, expected: bytes
) -> None:
    port, behind = served
    assert answer(port, raw).split(b" ", 2)[1] == expected
    assert behind.kinds == ["lifespan"] + ["http"] * (expected == b"200")


def test_a_socket_of_the_pages_own_works(served: tuple[int, Behind]) -> None:
    port, behind = served
    own = f"localhost:{port}"
    handshake = request("GET /graphql HTTP/1.1", f"Host: {own}", f"Origin: http://{own}", *UPGRADE)
    said = answer(port, handshake, until=b"hello")
    assert said.startswith(b"HTTP/1.1 101")
    assert b"hello" in said
    assert behind.kinds == ["lifespan", "websocket"]


def test_a_second_request_hidden_in_the_body_of_a_refused_one_is_not_served(served: tuple[int, Behind]) -> None:
    port, behind = served
    hidden = request("GET /runs HTTP/1.1", "Host: localhost").decode()
    outer = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}"
    said = answer(port, outer.encode())
    assert said.count(b"HTTP/1.1 ") == 1
    assert said.startswith(b"HTTP/1.1 415")
    assert behind.kinds == ["lifespan"]
