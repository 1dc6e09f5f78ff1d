"""Idempotency keys: who was first with a key, and with which content. Reserves in Redis; appends nothing.

A reservation may outlive a call that died before its XADD. Whoever comes again with the key is given the first call's id
and appends the record once more under it: an OK always means that an XADD was answered, and the dispatcher drops what it
has seen (by the record's mark).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from core.ids import partition_for

KEEP_S = 24 * 3600
ID_BYTES = 16

Reserve: TypeAlias = Callable[[Sequence[tuple[int, str, bytes, int]]], Awaitable[list[bytes | None]]]


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
        reserve: core.marks.Marks.reserve.
        partitions: how many there are, to spread the keys.
    """

    def __init__(self, reserve: Reserve, partitions: int) -> None:
        self._reserve = reserve
        self._partitions = partitions

    async def reserve(self, asks: Sequence[Ask]) -> list[Reserved]:
        """What each key gives, in order: the second of two equal keys meets what the first one left.

        Raises:
            StoreError: Redis could not be asked; some keys may be reserved, and asking again is safe.
        """
        items = [(partition_for(ask.mark.encode(), self._partitions), ask.mark, ask.id + ask.content, KEEP_S) for ask in asks]
        return [judge(ask, before) for ask, before in zip(asks, await self._reserve(items), strict=True)]


def judge(ask: Ask, before: bytes | None) -> Reserved:
    """What a key gives whose reservation held `before` (id and content) already, or nothing."""
    if before is None or before == ask.id + ask.content:  # the latter: our own write, repeated after a lost reply
        return Reserved(ask.id)
    id, content = before[:ID_BYTES], before[ID_BYTES:]
    return Reserved(id, duplicate=True, conflict=content != ask.content)
