"""Finds a notification wherever it is on its way, so that none that was accepted is ever "not found".

Things only move forward: in-stream, outcomes, ledger. Looked at in that order, nothing slips by between two looks.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from core import keys
from core.ids import partition_of, priority_of, time_of
from fastpath import FrameError, Record, unpack_frame

Peek: TypeAlias = Callable[[str, int, int, int], Awaitable[list[tuple[str, bytes]]]]

SKEW_MS = 2_000  # by so much Redis' clock may be ahead of or behind a gateway's
APPEND_MS = 10_000  # an XADD comes at most so long after the id was made
PAGE = 50  # entries in one look, up to 512 KiB each
PAGES = 20
FOREVER_MS = 2**53


class Lookup:
    """Looks for one notification in the streams of its partition.

    Args:
        peek: core.streams.Streams.peek.
        partitions: how many there are.
    """

    def __init__(self, peek: Peek, partitions: int) -> None:
        self._peek = peek
        self._partitions = partitions

    async def on_its_way(self, id: bytes) -> Record | None:
        """The notification's record, or an outcome of it, that the ledger has not read yet; None if there is none."""
        partition = partition_of(id) % self._partitions
        inbound = keys.inbound(partition, priority_of(id))
        at = time_of(id)
        since = max(at - SKEW_MS, 0)
        return (
            await self._scan(inbound, id, since, at + APPEND_MS + SKEW_MS)
            or await self._scan(keys.waiting(inbound), id, since, FOREVER_MS)
            or await self._scan(keys.outcomes(partition), id, since, FOREVER_MS)
        )

    async def _scan(self, stream: str, id: bytes, from_ms: int, to_ms: int) -> Record | None:
        for _ in range(PAGES):
            entries = await self._peek(stream, from_ms, to_ms, PAGE)
            for _, frame in entries:
                found = _pick(frame, id)
                if found is not None:
                    return found
            if len(entries) < PAGE:
                break
            last_ms = int(entries[-1][0].partition("-")[0])
            from_ms = last_ms if last_ms > from_ms else from_ms + 1
        return None


def _pick(frame: bytes, id: bytes) -> Record | None:
    if id not in frame:
        return None
    try:
        return next((record for record in unpack_frame(frame) if record.id == id), None)
    except FrameError:  # the station that reads it will say so
        return None
