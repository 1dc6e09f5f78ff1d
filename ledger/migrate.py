"""Brings a database up to date: migrations/NNNN_*.sql, each once, in order. Safe while other processes start and do the same.

A migrator of our own, as yoyo-migrations keeps its lock as a committed row: killed in the middle it leaves the row behind,
and every later start fails until somebody breaks the lock by hand. Here all pending migrations are one transaction under an
advisory lock that lives and dies with it: after a SIGKILL at any point the database is as before and the next start goes on.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

from core.errors import LedgerError
from ledger.database import Database, connect, wrapped
from ledger.sql import load

_SQL = load("migrate")

MIGRATE_S = 3600.0  # an index of a large table; waiting for another process's migration included


class Migration(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    script: bytes

    @property
    def digest(self) -> str:
        """sha256 of the script: a migration that was applied must not be edited."""
        return hashlib.sha256(self.script).hexdigest()


def migrations() -> list[Migration]:
    """The files of migrations/, in order.

    Raises:
        LedgerError: two files of one number.
    """
    folder = resources.files("ledger").joinpath("migrations")
    files = sorted((file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".sql"))
    found = [Migration(int(name[:4]), name, script) for name, script in files]
    if len({m.number for m in found}) != len(found):
        raise LedgerError("two migrations have the same number")
    return found


async def migrate(dsn: str) -> None:
    """Applies what is missing; does nothing on a database that is up to date (or ahead: an older program beside a newer).

    Raises:
        LedgerUnavailable: the database cannot be reached.
        LedgerError: a migration failed (nothing is changed then), or one that was applied has been edited since.
    """
    with wrapped(MIGRATE_S):
        async with asyncio.timeout(MIGRATE_S), await connect(dsn) as connection, connection.transaction():
            await connection.execute(_SQL["lock"])
            await connection.execute(_SQL["create_table"])
            rows = await (await connection.execute(_SQL["applied"])).fetchall()
            for migration in pending(migrations(), dict(rows)):
                await connection.execute(migration.script)
                await connection.execute(_SQL["note"], [migration.number, migration.name, migration.digest])


def pending(known: Sequence[Migration], applied: dict[int, str]) -> list[Migration]:
    """Those of `known` whose number is not in `applied` (number -> digest).

    Raises:
        LedgerError: one was applied with another digest.
    """
    for migration in known:
        if applied.get(migration.number, migration.digest) != migration.digest:
            raise LedgerError(f"{migration.name} was edited after it was applied; add a new migration in its place")
    return [m for m in known if m.number not in applied]


async def require_migrated(database: Database) -> None:
    """Makes sure that all migrations are applied.

    Raises:
        LedgerError: some are not; the message has the remedy.
    """
    (exists,), *_ = await database.fetch(_SQL["exists"])
    applied: dict[int, str] = dict(await database.fetch(_SQL["applied"])) if exists else {}
    missing = pending(migrations(), applied)
    if missing:
        raise LedgerError(f"the database lacks {missing[0].name} ({len(missing)} in all): run `tidings migrate`")
