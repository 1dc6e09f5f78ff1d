"""Who came first: idempotency marks and content hashes, one round trip a batch, a local filter in front of Redis.

Only asks and answers; what a duplicate means is the station's to say.
"""

from collections.abc import Sequence
from typing import NamedTuple

from core.marks import Marks
from fastpath import LocalFilter, Record, content_hash

KEY_TTL_S = 25 * 3600  # idempotency keys are kept for 24 hours, and a frame may be an hour late
FILTER_CAPACITY = 200_000  # marks kept in the process, about 150 bytes each


class Ask(NamedTuple):
    """One mark that a record lays claim to.

    Attributes:
        mark: what must be unique.
        value: who claims it; the same value again is the same claim, repeated after a crash.
        ttl_s: how long the claim holds, seconds.
    """

    mark: str
    value: str
    ttl_s: int


def key_ask(record: Record, entry_id: str, index: int) -> Ask | None:
    """The claim to the record's idempotency mark: by its place in the stream, as a re-append has the same id."""
    return Ask(f"i{record.mark}", f"{entry_id}:{index}", KEY_TTL_S) if record.mark else None


def content_ask(record: Record, version: int) -> Ask | None:
    """The claim to the record's content for its dedupe window: by its id, which the later one is told."""
    if not record.extra:
        return None
    recipient = record.recipient_id or record.email or record.phone
    digest = content_hash(recipient.encode() or record.devices, record.type, record.template, version, record.data)
    return Ask(f"c{digest.hex()}", record.id.hex(), record.extra)


class Dedupe:
    """Claims marks for whole batches.

    Args:
        marks: the marks of all processes, in Redis.
        capacity: marks remembered in this process, to know a duplicate without asking.
    """

    def __init__(self, marks: Marks, *, capacity: int = FILTER_CAPACITY) -> None:
        self._marks = marks
        self._filter = LocalFilter(capacity)

    async def claim(self, partition: int, asks: Sequence[Ask], now_ms: int) -> list[str | None]:
        """For each ask the value of whoever was first, or None if the asker was (or claimed it before).

        Raises:
            StoreError: Redis could not be asked; some marks may be set, and asking again is safe.
        """
        found = [self._filter.get(ask.mark, now_ms) for ask in asks]
        strange = [i for i, value in enumerate(found) if value is None]
        if strange:
            claimed = await self._marks.claim(partition, [asks[i] for i in strange])
            for i, earlier in zip(strange, claimed, strict=True):
                ask = asks[i]
                found[i] = earlier or ask.value
                if earlier is None:  # of another's mark nobody told us how long it still holds
                    self._filter.put(ask.mark, ask.value, now_ms + ask.ttl_s * 1000)
        return [None if value == ask.value else value for value, ask in zip(found, asks, strict=True)]
