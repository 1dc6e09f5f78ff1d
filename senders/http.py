"""HTTP to providers: one session each with a time limit on everything, and failures turned into answers. Logs nothing."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from core.model import ErrorClass
from senders.answers import words
from senders.provider import Answer, fault

TIMEOUT_S = 10.0  # from the first byte out to the last byte in; well under the drain's limit
CONNECT_S = 5.0
KEEPALIVE_S = 15.0  # shorter than providers' own: a connection they are about to close makes an answer ambiguous

CONNECT = "connect"  # our code: no connection, nothing was sent
NO_ANSWER = "no_answer"  # our code: sent, and then silence


class Reply(NamedTuple):
    """An HTTP reply, read to its end. Headers are asked for by names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300


def new_session(connections: int) -> aiohttp.ClientSession:
    """A session without cookies, proxies or redirects of its own; at most `connections` at once."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEPALIVE_S),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def post(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> Reply | Answer:
    """Posts `body`; the reply whatever its status, or a fault if there was none."""
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            content = await response.read()
            return Reply(response.status, response.headers, content)  # they know no case
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return unanswered(error)


def unanswered(error: Exception) -> Answer:
    """What a request that got no answer means: unreachable if nothing went out, else ambiguous."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientProxyConnectionError):
        return fault(ErrorClass.UNREACHABLE, CONNECT, words(str(error)))
    if isinstance(error, aiohttp.InvalidURL):
        return fault(ErrorClass.MISCONFIGURED, CONNECT, "the provider's base_url is not an address")
    return fault(ErrorClass.AMBIGUOUS, NO_ANSWER, words(f"{type(error).__name__}: {error}"))


def place_of(url: str) -> dict[str, str | int]:
    """Span attributes of a request to `url`: method, host and port, never the path (it may hold an address)."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"http.request.method": "POST", "server.address": parts.hostname or "", "server.port": port}
