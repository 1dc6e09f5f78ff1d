"""Writes outcomes: entries of a stream in, rows of deliveries and events out, one transaction for all, each entry once.

The entries' ids are written in the transaction of their rows, so an entry that is handed in again changes nothing.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg import AsyncConnection, errors

from core.errors import LedgerError, LedgerUnavailable
from core.model import Channel, Station
from fastpath import RowPacker, unpack_frame
from fastpath.outcomes import Folded, Key, Tally
from ledger.database import Database, Row
from ledger.partitions import Partitions
from ledger.runs import Runs
from ledger.sql import load
from ledger.timeline import ORDER

log = logging.getLogger("tidings.ledger")

_SQL = load("applier")
_PACKER = RowPacker(ORDER, stations=frozenset(Station), channels=frozenset({0, *Channel}))  # 0: it ended before it was routed

KEEP_APPLIED = "1 day"  # an entry is settled milliseconds after it is applied; this is for a ledger that stood still meanwhile
WRITERS = 2  # transactions of one process at once: while one waits for the disk, the other packs; the rest wait their turn
TRIES = 4  # of a transaction that met a row or lacked a partition; each try knows more than the one before


class Frame(NamedTuple):
    """One entry of an outcomes stream."""

    entry_id: str  # "milliseconds-sequence"
    outcomes: bytes  # a frame
    waiting: bool = False  # its id is one of the waiting stream beside the stream


class Applier:
    """Applies the frames of outcomes streams."""

    def __init__(self, database: Database, partitions: Partitions, runs: Runs) -> None:
        self._database = database
        self._partitions = partitions
        self._runs = runs
        self._turn = asyncio.Semaphore(WRITERS)

    async def apply(self, partition: int, frames: Sequence[Frame]) -> Tally:
        """Writes the outcomes of all frames that were not applied before; when it returns they are durable.

        Returns:
            How many outcomes the frames have, those applied before included.

        Raises:
            LedgerUnavailable: nothing was written, or it was and the answer got lost: repeat it.
            LedgerError: PostgreSQL refused a row; nothing was written.
            FrameError, ValueError: a damaged frame or an outcome that could not be read back; nothing was written.
        """
        written: set[Key] = set()
        for _ in range(TRIES):
            run = await self._runs.current()
            folded = _pack(frames, written, run)
            await self._partitions.ensure(folded.days)
            try:
                async with self._turn:
                    self._runs.note(await self._apply(partition, frames, folded, written, run))
                return folded.tally
            except LedgerError as error:
                if isinstance(error.__cause__, errors.UniqueViolation):
                    written |= await self._written(frames)
                elif _lacks_partition(error.__cause__):
                    self._partitions.forget()
                else:
                    raise
        raise LedgerUnavailable("other processes write the same deliveries")

    async def _apply(self, partition: int, frames: Sequence[Frame], folded: Folded, written: Collection[Key], run: int) -> int:
        """One transaction; how many rows it wrote."""
        rows = 0
        async with self._database.transaction() as connection:
            fresh = await self._claim(connection, partition, frames)
            if len(fresh) < len(frames):
                log.info("%d of %d entries were applied before", len(frames) - len(fresh), len(frames))
                folded = _pack(fresh, written, run)
            for name, body in (("copy_deliveries", folded.deliveries), ("copy_events", folded.events)):
                if body:
                    cursor = connection.cursor()
                    async with cursor.copy(_SQL[name]) as copy:
                        await copy.write(body)
                    rows += cursor.rowcount
        return rows

    async def _claim(self, connection: AsyncConnection[Row], partition: int, frames: Sequence[Frame]) -> list[Frame]:
        """Notes the frames as applied; those that had not been."""
        keys = {(*_split(frame.entry_id), frame.waiting): frame for frame in frames}
        ms, seq, waiting = map(list, zip(*keys, strict=True)) if keys else ([], [], [])
        cursor = await connection.execute(_SQL["claim"], {"partition": partition, "ms": ms, "seq": seq, "waiting": waiting})
        claimed = set(await cursor.fetchall())
        return [frame for key, frame in keys.items() if key in claimed]

    async def _written(self, frames: Sequence[Frame]) -> set[Key]:
        """Deliveries of these frames that have their row: their first outcome was told twice, as by a split frame."""
        ids = sorted({UUID(bytes=outcome.id) for frame in frames for outcome in unpack_frame(frame.outcomes)})
        rows = await self._database.fetch(_SQL["written"], {"ids": ids, "first": ids[0], "last": ids[-1]})
        return {(id_.bytes, channel, device) for id_, channel, device in rows}

    async def prune(self) -> None:
        """Forgets entries that were settled long ago."""
        await self._database.execute(_SQL["prune"], {"age": KEEP_APPLIED})


def _pack(frames: Sequence[Frame], written: Collection[Key], run: int) -> Folded:
    return _PACKER.pack([frame.outcomes for frame in frames], written, run)


def _lacks_partition(cause: BaseException | None) -> bool:
    """Somebody dropped a partition that we know: a check is violated, and no constraint is named."""
    return isinstance(cause, errors.CheckViolation) and not cause.diag.constraint_name


def _split(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)
