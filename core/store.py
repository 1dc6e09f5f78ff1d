"""The one connection to Redis: commands packed natively, one round trip a batch, drivers' errors turned into ours.

Knows no key and no stream; core/streams.py, marks.py, members.py and changes.py speak through it, nobody else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any, TypeAlias, TypeVar

import hiredis
import redis.asyncio as redis
from redis import exceptions as driver

import fastpath
from core.errors import StoreError, StoreFull, StoreUnavailable
from core.wire import Wire

SOCKET_TIMEOUT_S = 5.0  # a Redis that is silent for so long is treated as gone
MAX_CONNECTIONS = 64
GONE = (
    driver.ConnectionError,
    driver.TimeoutError,
    driver.BusyLoadingError,
    driver.MasterDownError,
    driver.ClusterDownError,
    OSError,
)
RETRY_FIRST_S = 0.05
RETRY_LAST_S = 2.0

Arg: TypeAlias = bytes | str | int
Command: TypeAlias = Sequence[Arg]
T = TypeVar("T")


class Script:
    """A Lua script of core/scripts, loaded once and called by its digest."""

    def __init__(self, name: str, *, relieving: bool = False) -> None:
        source = (files("core") / "scripts" / f"{name}.lua").read_text()
        # What frees more than it takes must run when Redis is full, or nothing would ever make room again.
        self.source = f"#!lua flags=allow-oom\n{source}" if relieving else source
        self.sha = ""

    def call(self, keys: Sequence[str], args: Sequence[Arg]) -> list[Arg]:
        """The EVALSHA command for these keys and arguments."""
        return ["EVALSHA", self.sha, len(keys), *keys, *args]


def translate(error: Exception) -> StoreError:
    """Our error for one of the driver's: full and read-only are told from unreachable, all else is a refusal."""
    text = str(error)
    if isinstance(error, (driver.OutOfMemoryError, driver.ReadOnlyError)) or text.startswith(("OOM", "MISCONF", "READONLY")):
        return StoreFull(f"Redis takes no writes: {text}")
    if isinstance(error, GONE) or text.startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH")):
        return StoreUnavailable(f"Redis cannot be reached: {text}")
    return StoreError(f"Redis refused: {text}")


def _lacks_script(reply: object) -> bool:
    return isinstance(reply, StoreError) and str(reply.__cause__).startswith("NOSCRIPT")


def _demoted(refusal: hiredis.ReplyError) -> bool:
    return str(refusal).startswith("READONLY")


class Store:
    """A pool of connections to one Redis (or Valkey), and its scripts.

    Every method raises StoreUnavailable when Redis is away, StoreFull when it takes no writes, StoreError for the rest.
    """

    def __init__(self, url: str, *, max_connections: int = MAX_CONNECTIONS) -> None:
        # No retries inside the driver: a command that may have run is repeated only where that is known to be safe.
        self.redis: redis.Redis = redis.Redis.from_url(
            url,
            protocol=2,
            max_connections=max_connections,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            retry=None,
        )
        self._max_connections = max_connections
        self._opened: dict[Wire, Any] = {}  # and the driver's connection that each was taken from
        self._opening = 0
        self._idle: list[Wire] = []
        self._closed = False
        self._scripts: list[Script] = []

    @classmethod
    async def connect(cls, url: str, *, max_connections: int = MAX_CONNECTIONS) -> "Store":
        """Connects; raises StoreUnavailable if nobody answers at `url`."""
        store = cls(url, max_connections=max_connections)
        try:
            await store.send([["PING"]])
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Closes every connection."""
        self._closed = True
        for wire in list(self._opened):
            await self._drop(wire)
        await self.redis.aclose()

    async def script(self, name: str, *, relieving: bool = False) -> Script:
        """Loads core/scripts/<name>.lua; a `relieving` one may write although Redis is full."""
        script = Script(name, relieving=relieving)
        await self._load(script)
        self._scripts.append(script)
        return script

    async def _load(self, script: Script) -> None:
        (sha,) = await self.send([["SCRIPT", "LOAD", script.source]])
        script.sha = sha.decode()

    async def _exchange_once(self, packed: bytes, count: int, patience_s: float) -> list[Any]:
        """One exchange on a connection of its own for as long as it takes.

        A connection that was not answered to the end is closed: a reply may still be on its way.
        """
        wire = await self._idle_or_new()
        try:
            replies = await wire.exchange(packed, count, patience_s)
            if any(isinstance(reply, hiredis.ReplyError) and _demoted(reply) for reply in replies):
                wire.close()  # a failover: the name may lead to the new master by now
            return replies
        finally:
            if wire.usable and not self._closed:
                self._idle.append(wire)
            else:
                await self._drop(wire)

    async def _idle_or_new(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if wire.usable:
                return wire
            await self._drop(wire)
        if len(self._opened) + self._opening >= self._max_connections:
            raise StoreUnavailable(f"{self._max_connections} connections to Redis are busy")
        connection = self.redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._opening += 1
        try:
            await connection.connect()
            wire = Wire(connection._writer.transport)  # the one thing of the driver's that is not public
        finally:
            self._opening -= 1
        self._opened[wire] = connection
        return wire

    async def _drop(self, wire: Wire) -> None:
        wire.close()
        connection = self._opened.pop(wire, None)
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def send(self, commands: Sequence[Command], *, read_timeout_s: float | None = None) -> list[Any]:
        """Sends commands in one write and reads one reply each; raises the first error, after all replies are read."""
        replies = await self.exchange(commands, read_timeout_s=read_timeout_s)
        for reply in replies:
            if isinstance(reply, StoreError):
                raise reply
        return replies

    async def exchange(self, commands: Sequence[Command], *, read_timeout_s: float | None = None) -> list[Any]:
        """As `send`, but a command's refusal is handed back in its place as a StoreError."""
        if not commands:
            return []
        try:
            replies = await self._exchange_once(
                fastpath.pack_commands(commands), len(commands), read_timeout_s or SOCKET_TIMEOUT_S
            )
        except (driver.RedisError, OSError) as error:
            raise translate(error) from error
        refusals = [i for i, reply in enumerate(replies) if isinstance(reply, hiredis.ReplyError)]
        for i in refusals:
            refusal = translate(replies[i])
            refusal.__cause__ = replies[i]
            replies[i] = refusal
        if any(_lacks_script(replies[i]) for i in refusals):
            return await self._reload_and_repeat(commands, replies, read_timeout_s)
        return replies

    async def _reload_and_repeat(self, commands: Sequence[Command], replies: list[Any], timeout_s: float | None) -> list[Any]:
        """Redis was restarted or flushed its scripts: load them again and repeat exactly what it refused for that."""
        for script in self._scripts:
            await self._load(script)
        lost = [i for i, reply in enumerate(replies) if _lacks_script(reply)]
        for i, reply in zip(lost, await self.exchange([commands[i] for i in lost], read_timeout_s=timeout_s), strict=True):
            replies[i] = reply
        return replies


async def persist(attempt: Callable[[], Awaitable[T]], *, on_retry: Callable[[StoreError, float], None]) -> T:
    """Repeats `attempt` until Redis takes it, with growing pauses; for steps that are safe to repeat and must not be lost."""
    pause_s = RETRY_FIRST_S
    while True:
        try:
            return await attempt()
        except (StoreUnavailable, StoreFull) as error:
            on_retry(error, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_LAST_S)
