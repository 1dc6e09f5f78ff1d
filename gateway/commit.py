"""Group commit: records that arrive within about a millisecond, or a few under load, go to Redis in one round trip, in frames.

A critical one goes at once, unless others are on their way: what comes meanwhile goes together. A call is answered after its
frame's XADD was answered, never before. Knows frames and streams, not what is in a record.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from core import keys
from core.durability import Durability
from core.ids import partition_of, priority_of
from core.model import Priority
from core.streams import Append
from fastpath import Record, by_priority, pack_frames
from fastpath.layout import OUTCOME

Write: TypeAlias = Callable[[Sequence[Append]], Awaitable[list[str]]]

URGENT = keys.short(keys.inbound(0, Priority.CRITICAL))
GATHER_S = 0.001
LATEST_S = 0.004  # while the loop is busy with others who are about to come, they are waited for: at most so long in all
BARREN = 8  # turns of the loop in which nobody came: it has nothing else to do
FRAME_RECORDS = 256  # small enough that a critical frame never waits long for a slice of low ones
FRAME_BYTES = 512 * 1024


def frames(records: Iterable[Record], partitions: int) -> list[Append]:
    """The frames of records, one or more for each partition, priority (both are in the id) and kind, in the records' order.

    An id under an old key may be of a system that had more partitions: it goes to one that is read.
    """
    packed = pack_frames(records, FRAME_RECORDS, FRAME_BYTES)
    return [Append(_stream(first, partitions), frame) for first, frame in packed]


def _stream(first: Record, partitions: int) -> str:
    id = first.id
    partition = partition_of(id) % partitions
    # What was shed has no way to go but into the ledger.
    return keys.outcomes(partition) if first.kind == OUTCOME else keys.inbound(partition, priority_of(id))


def durable(
    append: Callable[[Sequence[Append], Durability | None], Awaitable[list[str]]], critical: Durability | None
) -> Write:
    """`append`, waiting for disks and replicas as `critical` says where a critical frame is among the items."""

    async def write(items: Sequence[Append]) -> list[str]:
        urgent = critical is not None and any(keys.short(item.stream) == URGENT for item in items)
        return await append(items, critical if urgent else None)

    return write


class Committer:
    """Writes records to their streams.

    Args:
        append: Streams.append.
        partitions: how many there are.
        gather_s: how long a single record waits for others, seconds; longer where others keep coming.
    """

    def __init__(self, append: Write, partitions: int, *, gather_s: float = GATHER_S) -> None:
        self._append = append
        self._partitions = partitions
        self._gather_s = gather_s
        self._enough = FRAME_RECORDS * partitions  # of so many the frames are full: to wait for more gains nothing
        self._waiting: list[Record] = []
        self._callers: list[asyncio.Future[None]] = []
        self._flush: asyncio.Task[None] | None = None
        self._urgent = False  # something critical waits
        self._under_way = 0  # round trips

    async def commit(self, records: Sequence[Record]) -> None:
        """Returns when all records are in Redis. They may share their frames with other calls'.

        Raises:
            StoreUnavailable: some may be there and some not.
            StoreFull: none that Redis refused is.
        """
        if len(records) >= self._enough or (self._idle and Priority.CRITICAL in by_priority(records)):
            await self._write(records)
        elif records:
            await self._share(records)

    @property
    def _idle(self) -> bool:
        """Whether there is nobody to go along with."""
        return not self._under_way and self._flush is None

    async def _write(self, records: Sequence[Record]) -> None:
        self._under_way += 1
        try:
            await self._append(frames(records, self._partitions))
        finally:
            self._under_way -= 1

    def _share(self, records: Sequence[Record]) -> "asyncio.Future[None]":
        """Done when the frames that the records go along with are. A caller who hangs up does not take the others' along."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting += records
        self._callers.append(done)
        self._urgent = self._urgent or Priority.CRITICAL in by_priority(records)
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_soon())
        return done

    async def _flush_soon(self) -> None:
        await asyncio.sleep(self._gather_s)
        await self._keep_gathering()
        waiting, self._waiting, self._flush, self._urgent = self._waiting, [], None, False
        callers, self._callers = self._callers, []
        try:
            await self._write(waiting)
        except asyncio.CancelledError:
            for done in callers:
                done.cancel()
            raise
        except Exception as error:
            for done in callers:
                if not done.done():
                    done.set_exception(error)
                    done.exception()  # told to whoever still waits; nobody else need hear of it
        else:
            for done in callers:
                if not done.done():
                    done.set_result(None)

    async def _keep_gathering(self) -> None:
        """Lets others come along without ever leaving the loop idle: a round trip costs as much as the checks of ten calls."""
        time = asyncio.get_running_loop().time
        ends, barren, count = time() + LATEST_S - self._gather_s, 0, len(self._waiting)
        while barren < BARREN and not self._urgent and len(self._waiting) < self._enough and time() < ends:
            await asyncio.sleep(0)
            barren = barren + 1 if len(self._waiting) == count else 0
            count = len(self._waiting)
