"""Who calls and what they may: API keys looked up in the ledger and remembered for seconds, scopes in one table.

Keys are remembered by their hash, callers of the last seconds by their header too; a key that was good lately stays good while
PostgreSQL is away.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from grpc import StatusCode

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import LedgerUnavailable
from gateway.errors import Refusal
from ledger.values import ApiKey
from tidings.v1.types_pb2 import ErrorReason

FRESH_MS = 5_000  # a revoked key works for at most so long
UNKNOWN_MS = 1_000  # a wrong key is not asked for again for so long
STALE_MS = 24 * 3600_000  # how long a known key outlives PostgreSQL: while that is down, no key can be revoked either
PATIENCE_S = 1.0  # an answer that takes longer counts as none
PAUSE_MS = 1_000  # after that, known keys are not asked for again for so long
CAPACITY = 10_000  # keys remembered, wrong ones included
KEY_CHARACTERS = 256
PREFIX = "tk_"

SEND, READ, ADMIN = "send", "read", "admin"

# The scope that each method needs; None: open to everybody. What is not listed is refused.
SCOPES: dict[str, str | None] = {
    "/tidings.v1.NotificationsService/Send": SEND,
    "/tidings.v1.NotificationsService/SendBatch": SEND,
    "/tidings.v1.NotificationsService/SendStream": SEND,
    "/tidings.v1.NotificationsService/Get": READ,
    "/tidings.v1.NotificationsService/List": READ,
    "/tidings.v1.TemplatesService/Put": ADMIN,
    "/tidings.v1.TemplatesService/Get": READ,
    "/tidings.v1.TemplatesService/List": READ,
    "/tidings.v1.TemplatesService/Preview": READ,
    "/tidings.v1.RecipientsService/Upsert": SEND,
    "/tidings.v1.RecipientsService/Get": READ,
    "/tidings.v1.InboxService/List": READ,
    "/tidings.v1.InboxService/Watch": READ,
    "/tidings.v1.InboxService/MarkRead": SEND,
    "/tidings.v1.AdminService/ListStations": ADMIN,
    "/tidings.v1.AdminService/ListDeadLetters": ADMIN,
    "/tidings.v1.AdminService/ReplayDeadLetters": ADMIN,
    "/tidings.v1.AdminService/DropDeadLetters": ADMIN,
    "/tidings.v1.AdminService/HaltChannel": ADMIN,
    "/tidings.v1.AdminService/ResumeChannel": ADMIN,
    "/grpc.health.v1.Health/Check": None,
    "/grpc.health.v1.Health/List": None,
    "/grpc.health.v1.Health/Watch": None,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": None,
}

# A verified client certificate speaks for a service; what operators do needs a key as well.
CERTIFICATE_SCOPES = frozenset({SEND, READ})

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


class Caller(NamedTuple):
    """Who calls. `name` also separates callers' idempotency keys."""

    name: str
    scopes: frozenset[str]


NOBODY = Caller("", frozenset())


class _Known(NamedTuple):
    key: ApiKey | None
    asked_ms: int


class Auth:
    """Recognises callers.

    Args:
        find: the key that a secret belongs to, None if there is none or it was revoked; raises LedgerUnavailable.
        clock: for ages.
    """

    def __init__(self, find: Callable[[str], Awaitable[ApiKey | None]], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._find = find
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Future[ApiKey | None]] = {}
        self._closed_until = 0
        self._recent: dict[str, tuple[Caller, int]] = {}  # by the header as it came: who, and fresh until (ms)

    def recent(self, method: str, header: str) -> Caller | None:
        """Who calls `method`, if that was asked for the same authorization header a moment ago; None: ask `caller`."""
        known = self._recent.get(header)
        if known is None or known[1] <= self._clock.now_ms() or SCOPES.get(method, ADMIN) not in known[0].scopes:
            return None
        return known[0]

    async def caller(self, method: str, metadata: Metadata, peer: Mapping[str, Iterable[bytes]]) -> Caller:
        """Who calls `method` ("/package.Service/Method"). `peer` is grpc's auth context (a verified certificate, if any).

        Raises:
            Refusal: UNAUTHENTICATED, or PERMISSION_DENIED without the scope that the method needs.
            LedgerUnavailable: PostgreSQL is away and the key was not seen lately.
        """
        scope = SCOPES.get(method, ADMIN)
        if scope is None:
            return NOBODY
        caller = await self._recognise(metadata, peer)
        if scope not in caller.scopes:
            text = f"the caller {caller.name!r} lacks the scope {scope!r} that this call needs"
            raise Refusal(StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_MISSING_SCOPE, text)
        return caller

    async def _recognise(self, metadata: Metadata, peer: Mapping[str, Iterable[bytes]]) -> Caller:
        header = next((value for name, value in metadata if name == "authorization"), None)
        if header is None:
            names = list(peer.get("x509_common_name", ()))
            if names:
                return Caller(f"certificate {names[0].decode(errors='replace')}", CERTIFICATE_SCOPES)
            raise _unauthenticated("no API key: send it as call metadata 'authorization: Bearer tk_...'")
        header = header if isinstance(header, str) else ""
        scheme, _, secret = header.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret.startswith(PREFIX) or len(secret) > KEY_CHARACTERS:
            raise _unauthenticated("not an API key of tidings: expected 'authorization: Bearer tk_...'")
        digest = hashlib.sha256(secret.encode()).digest()
        key = await self._lookup(digest, secret)
        if key is None:
            raise _unauthenticated("the API key is not known or was revoked")
        caller = Caller(key.name, key.scopes)
        self._remember(header, caller, digest)
        return caller

    def _remember(self, header: str, caller: Caller, digest: bytes) -> None:
        """For as long as the key itself would not be asked for again."""
        known = self._known.get(digest)
        if known is not None and known.asked_ms + FRESH_MS > self._clock.now_ms():
            if len(self._recent) >= CAPACITY:
                self._recent.clear()
            self._recent[header] = (caller, known.asked_ms + FRESH_MS)

    async def _lookup(self, digest: bytes, secret: str) -> ApiKey | None:
        now = self._clock.now_ms()
        known = self._known.get(digest)
        age = now - known.asked_ms if known else 0
        if known and age < (FRESH_MS if known.key else UNKNOWN_MS):
            return known.key
        stale = known.key if known and age < STALE_MS else None
        if stale and now < self._closed_until:
            return stale
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._ask(digest, secret)
        except (LedgerUnavailable, TimeoutError) as error:
            self._closed_until = self._clock.now_ms() + PAUSE_MS
            if stale:
                return stale
            raise LedgerUnavailable("the API key cannot be looked up") from error

    async def _ask(self, digest: bytes, secret: str) -> ApiKey | None:
        """One question to the ledger for however many calls come with the key meanwhile."""
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.ensure_future(self._find(secret))
            task.add_done_callback(lambda done: self._answered(digest, done))
        return await asyncio.shield(task)

    def _answered(self, digest: bytes, done: "asyncio.Future[ApiKey | None]") -> None:
        del self._asking[digest]
        if done.cancelled() or done.exception() is not None:  # whoever waits for it is told
            return
        self._known.pop(digest, None)  # so that it goes to the end of the line
        self._known[digest] = _Known(done.result(), self._clock.now_ms())
        if len(self._known) > CAPACITY:
            del self._known[next(iter(self._known))]


def _unauthenticated(text: str) -> Refusal:
    return Refusal(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_UNAUTHENTICATED, text)
