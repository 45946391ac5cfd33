"""What a page of another site can have a browser send to the page of `up`, sent as the browser would."""

import http.client
import json
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

SITE = "http://evil.example"
LAUNCH = """mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "thumb_pipeline", repositoryName: "__repository__", jobName: "purge"},
  runConfigData: {ops: {purge_variants: {config: {apply: %s}}}}
}) { __typename ... on LaunchRunSuccess { run { runId } } } }"""
"""Dagster's own call that starts a job, here the one that removes all variants; `%s` is whether in earnest."""

_FROM_A_PICTURE = {"Accept": "image/*", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
_FROM_A_SCRIPT = {"Origin": SITE, "Sec-Fetch-Site": "cross-site"}
_HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "graphql-ws",
}
_IN_ADDRESS = "/graphql?" + urlencode({"query": LAUNCH % "true"})
_JSON = json.dumps({"query": LAUNCH % "true"})


@dataclass(frozen=True)
class Attempt:
    """One request of another site's page, and the status with which it must be refused."""

    what: str
    status: int
    method: str = "GET"
    target: str = _IN_ADDRESS
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None


ATTEMPTS = (
    Attempt("a picture whose address is a mutation", 405, headers=_FROM_A_PICTURE),
    Attempt("the same in an old browser", 405, headers={"Accept": "image/*"}),
    Attempt("the same with a line break that Dagster overlooks", 405, target=_IN_ADDRESS.replace("l?", "l%0A?")),
    Attempt("a name of theirs that leads here", 421, headers={"Host": "evil.example"}),
    Attempt(
        "the same, sending JSON as to themselves",
        421,
        "POST",
        "/graphql",
        {"Host": "evil.example", "Origin": SITE, "Content-Type": "application/json"},
        _JSON,
    ),
    Attempt("a script", 403, "POST", "/graphql", {**_FROM_A_SCRIPT, "Content-Type": "application/json"}, _JSON),
    Attempt(
        "another page of this machine",
        403,
        "POST",
        "/graphql",
        {"Sec-Fetch-Site": "same-site", "Content-Type": "application/json"},
        _JSON,
    ),
    Attempt(
        "a form", 415, "POST", headers={"Content-Type": "application/x-www-form-urlencoded"}, body="query=mutation"
    ),
    Attempt("a form of plain text", 415, "POST", headers={"Content-Type": "text/plain"}, body=_JSON),
    Attempt(
        "a form with its origin", 403, "POST", headers={"Origin": "null", "Content-Type": "text/plain"}, body=_JSON
    ),
    Attempt("a report of something that never was", 415, "POST", "/report_asset_materialization/thumbnails"),
    Attempt("a socket that would read along", 403, target="/graphql", headers={**_HANDSHAKE, "Origin": SITE}),
    Attempt("a socket under their name", 421, target="/graphql", headers={**_HANDSHAKE, "Host": "evil.example"}),
)


def status_of(attempt: Attempt, url: str) -> int:
    """Sends a request; the status of the answer."""
    connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=60)
    try:
        connection.request(attempt.method, attempt.target, attempt.body, attempt.headers)
        return connection.getresponse().status
    finally:
        connection.close()
