"""Connections to PostgreSQL: a pool that outlives restarts, calls with an end, and psycopg's errors in tidings' words.

Every call of the ledger goes through here; nothing here knows a table.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.types.string import StrDumperUnknown
from psycopg_pool import AsyncConnectionPool

from core.errors import LedgerError, LedgerUnavailable
from ledger import arrays

Params: TypeAlias = Sequence[object] | Mapping[str, object]
Row: TypeAlias = tuple[Any, ...]

REPLACEMENT = "\ufffd"  # in place of U+0000
POOL_MAX = 4  # connections of one process
CONNECT_S = 5  # for one attempt to connect
WAIT_S = 5.0  # for a free connection, and so for a server that is away
STATEMENT_MS = 10_000  # after this the server gives a statement up
CALL_S = 15.0  # for a whole call, in case that not even the server answers
GRACE_S = 1.0  # for the server to take back what it was asked then; after that the connection is dropped
# The pool's own patience. It doubles its pauses while it tries, and nobody gets a connection meanwhile; once it has given up,
# the next call tries anew at once. So a short patience is what makes it come back quickly.
RECONNECT_S = 2.0

# What a failover or a restart looks like; psycopg files these under bugs of the caller.
_UNAVAILABLE = (psycopg.OperationalError, errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)


@contextmanager
def wrapped(limit_s: float = CALL_S) -> Iterator[None]:
    """Raises psycopg's errors as LedgerUnavailable (away, or not done in `limit_s`: try again) or LedgerError (refused)."""
    try:
        yield
    except TimeoutError as error:
        raise LedgerUnavailable(f"PostgreSQL did not answer within {limit_s:.0f} s") from error
    except _UNAVAILABLE as error:
        raise LedgerUnavailable(f"PostgreSQL is not available: {_words(error)}") from error
    except psycopg.InterfaceError as error:  # a connection that broke in the middle of a call
        raise LedgerUnavailable(f"the connection to PostgreSQL broke: {_words(error)}") from error
    except psycopg.Error as error:
        raise LedgerError(f"PostgreSQL refused: {_words(error)}") from error


def _words(error: psycopg.Error) -> str:
    """The message without its DETAIL, which quotes rows."""
    return error.diag.message_primary or str(error).strip() or type(error).__name__


class Database:
    """A pool of connections to one database."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Row]]) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: str) -> "Database":
        """Connects once, so that a wrong address or password is told in the server's words, then opens the pool.

        Raises:
            LedgerUnavailable: not reachable, or it refused us.
        """
        with wrapped():
            async with asyncio.timeout(CALL_S):
                await (await connect(dsn)).close()
        pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
            dsn,
            kwargs={"autocommit": True, "connect_timeout": CONNECT_S, "application_name": "tidings"},
            min_size=1,
            max_size=POOL_MAX,
            open=False,
            configure=_configure,
            check=AsyncConnectionPool.check_connection,  # a round trip, so that no call meets a connection that died idle
            timeout=WAIT_S,
            reconnect_timeout=RECONNECT_S,
            name="ledger",
        )
        await pool.open()
        return cls(pool)

    async def close(self) -> None:
        """Closes all connections; calls in flight fail."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Row]]:
        """A connection in autocommit mode, for less than CALL_S; errors inside come out as LedgerError."""
        with wrapped():
            async with asyncio.timeout(CALL_S + GRACE_S), asyncio.timeout(CALL_S), self._pool.connection() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[Row]]:
        """A connection inside a transaction, committed at the end."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def execute(self, query: bytes, params: Params = ()) -> None:
        """One statement whose rows nobody wants."""
        async with self.connection() as connection:
            await connection.execute(query, params)

    async def fetch(self, query: bytes, params: Params = ()) -> list[Row]:
        """All rows of one statement."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall()

    async def fetch_one(self, query: bytes, params: Params = ()) -> Row | None:
        """The first row of one statement, None if there is none."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchone()


async def connect(dsn: str) -> AsyncConnection[Row]:
    """A connection outside of any pool, in autocommit mode, without a limit on its statements' time."""
    return await AsyncConnection.connect(dsn, autocommit=True, connect_timeout=CONNECT_S, application_name="tidings")


def to_json(value: object) -> str:
    """A value as the text of a jsonb parameter, without the character that PostgreSQL's text cannot hold."""
    return json.dumps(_storable(value), ensure_ascii=False)


def _storable(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\0", REPLACEMENT)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return {key: _storable(item) for key, item in value.items()} if isinstance(value, dict) else value


class _TextDumper(StrDumperUnknown):
    """Text from callers may hold U+0000 and PostgreSQL's may not: nothing is found under such a key, and no call breaks."""

    def dump(self, obj: str) -> bytes | bytearray | memoryview | None:
        return super().dump(obj.replace("\0", REPLACEMENT))


async def _configure(connection: AsyncConnection[Row]) -> None:
    connection.adapters.register_dumper(str, _TextDumper)
    arrays.register(connection)
    await connection.execute("select set_config('statement_timeout', %s, false)", [str(STATEMENT_MS)])
