"""Who came first: idempotency marks and content hashes, one round trip a batch, a local filter in front of Redis.

Only asks and answers; what a duplicate means is the station's to say.
"""

from collections.abc import Sequence
from typing import TypeAlias

from core.marks import CLAIMED_S, Marks
from fastpath import Claims, LocalFilter, Plan, Record

FILTER_CAPACITY = 200_000  # marks kept in the process, 80 bytes each

Asker: TypeAlias = tuple[str, list[Record], list[Plan | None]]  # entry id, its notifications, their plans


class Dedupe:
    """Claims marks for whole batches.

    Args:
        marks: the marks of all processes, in Redis.
        capacity: marks remembered in this process, to know a duplicate without asking.
    """

    def __init__(self, marks: Marks, *, capacity: int = FILTER_CAPACITY) -> None:
        self._marks = marks
        self._filter = LocalFilter(capacity)

    async def claim(self, partition: int, askers: Sequence[Asker], now_ms: int) -> list[tuple[int, int, bool, bytes]]:
        """Lays claim to what the entries' notifications must be the only ones of: their keys, and content that goes out.

        Returns those that came too late, in their order: (which entry, which of its notifications, whether by its content,
        the value of the first). See fastpath.Claims.

        Raises:
            StoreError: Redis could not be asked; some marks may be set, and asking again is safe.
        """
        claims = Claims(self._filter, CLAIMED_S, now_ms)
        for entry_id, records, plans in askers:
            claims.ask(entry_id, records, plans)
        return claims.settle(await self._marks.claim(partition, claims.strange(), now_ms))
