"""Idempotency keys: who was first with a key, and with which content. Reserves in Redis; appends nothing.

A reservation may outlive a call that died before its XADD. Whoever comes again with the key is given the first call's id
and appends the record once more under it: an OK always means that an XADD was answered, and the dispatcher drops what it
has seen (by that id, of records that have a mark).
"""

from collections.abc import Sequence
from typing import NamedTuple

from core.clock import SYSTEM_CLOCK, Clock
from core.ids import partition_for
from core.marks import Marks

ID_BYTES = 16


class Ask(NamedTuple):
    """A key that a record comes with: its digest (gateway.accept.mark_of), the id it would get, 16 bytes for its content."""

    mark: str
    id: bytes
    content: bytes


class Reserved(NamedTuple):
    """What the key gives: the id to use (the first caller's), whether an earlier call had it, whether with other content."""

    id: bytes
    duplicate: bool = False
    conflict: bool = False


class Reservations:
    """Reserves keys in bulk.

    Args:
        marks: where they are kept.
        partitions: how many there are, to spread the keys.
        clock: injected.
    """

    def __init__(self, marks: Marks, partitions: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._marks = marks
        self._partitions = partitions
        self._clock = clock

    async def reserve(self, asks: Sequence[Ask]) -> list[Reserved]:
        """What each key gives, in order: the second of two equal keys meets what the first one left.

        Raises:
            StoreError: Redis could not be asked; some keys may be reserved, and asking again is safe.
        """
        items = [(self._partition(ask.mark), ask.mark, ask.id + ask.content) for ask in asks]
        found = await self._marks.reserve(items, self._clock.now_ms())
        return [judge(ask, before) for ask, before in zip(asks, found, strict=True)]

    async def known(self, marks: Sequence[str]) -> list[bool]:
        """Whether an earlier call had the key, for each; reserves nothing.

        Raises:
            StoreError: Redis could not be asked.
        """
        return await self._marks.reserved([(self._partition(mark), mark) for mark in marks], self._clock.now_ms())

    def _partition(self, mark: str) -> int:
        return partition_for(mark.encode(), self._partitions)


def judge(ask: Ask, before: bytes | None) -> Reserved:
    """What a key gives whose reservation held `before` (id and content) already, or nothing."""
    if before is None or before == ask.id + ask.content:  # the latter: our own write, repeated after a lost reply
        return Reserved(ask.id)
    id, content = before[:ID_BYTES], before[ID_BYTES:]
    return Reserved(id, duplicate=True, conflict=content != ask.content)
