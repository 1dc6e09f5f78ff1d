"""Bare clients: loops that make requests which are ready, as many at a time as tidings does, and look at the status alone.

What a provider's rate is compared with in bench/providers.py; nothing of tidings is in the way here.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp
import aiosmtplib
import httpx


@dataclass(frozen=True, slots=True)
class Request:
    """One request; by SMTP `target` is the recipient and there are no headers."""

    target: str
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):
    """The sandbox did not take a request: the two do not do the same work."""


class Rival(Protocol):
    """A client with open connections."""

    async def send(self, requests: Iterator[Request]) -> None:
        """One worker's share: takes requests until there are none.

        Raises:
            Refused: one was not taken.
        """
        ...


async def offer(rival: Rival, requests: Sequence[Request], calls: int) -> None:
    """Sends all of them, `calls` at a time."""
    todo = iter(requests)
    await asyncio.gather(*(rival.send(todo) for _ in range(calls)))


class _Http:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, requests: Iterator[Request]) -> None:
        for request in requests:
            async with self._session.post(request.target, data=request.body, headers=request.headers) as response:
                content = await response.read()
            if response.status >= 300:
                raise Refused(content)


class _Http2:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, requests: Iterator[Request]) -> None:
        for request in requests:
            response = await self._client.post(request.target, content=request.body, headers=request.headers)
            if response.status_code >= 300:
                raise Refused(response.content)


class _Mail:
    def __init__(self, host: str, port: int, sender: str) -> None:
        self._place = (host, port)
        self._sender = sender

    async def send(self, requests: Iterator[Request]) -> None:
        host, port = self._place
        async with aiosmtplib.SMTP(hostname=host, port=port, start_tls=False) as client:
            for request in requests:
                await client.mail(self._sender)
                await client.rcpt(request.target)
                await client.data(request.body)


@asynccontextmanager
async def http(calls: int) -> AsyncIterator[Rival]:
    """aiohttp, as Twilio, FCM and SendGrid are spoken to."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=calls), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield _Http(session)


@asynccontextmanager
async def http2(authority: Path) -> AsyncIterator[Rival]:
    """httpx over one HTTP/2 connection, as APNs is spoken to."""
    trust, limits = ssl.create_default_context(cafile=str(authority)), httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(http1=False, http2=True, verify=trust, limits=limits, timeout=10.0) as client:
        yield _Http2(client)


@asynccontextmanager
async def mail(host: str, port: int, sender: str) -> AsyncIterator[Rival]:
    """aiosmtplib, a connection for each worker."""
    yield _Mail(host, port, sender)
