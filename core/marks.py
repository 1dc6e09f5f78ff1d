"""Marks in Redis that the first comer sets: dedupe marks of the dispatcher, idempotency reservations of the gateway.

A mark's value says who set it, so that a station that died after marking and before forwarding recognises itself.
"""

from collections.abc import Sequence

from core import keys
from core.store import Command, Store
from fastpath import pack_claims


class Marks:
    """SET NX GET in bulk: one round trip however many marks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(self, partition: int, marks: list[str], values: list[str], ttls: list[int]) -> list[bytes | None]:
        """Sets dedupe marks of one partition to their values, for so many seconds.

        Returns, for each, None if it is ours now, otherwise the value that stood there first (and still stands).
        """
        if not marks:
            return []
        return await self._store.send_packed(pack_claims(keys.seen(partition, ""), marks, values, ttls), len(marks))

    async def reserve(self, items: Sequence[tuple[int, str, bytes, int]]) -> list[bytes | None]:
        """Reserves idempotency keys, each (partition of the digest, digest, value, seconds to keep); returns as `claim`."""
        return await self._set([(keys.idempotency(partition, digest), value, ttl) for partition, digest, value, ttl in items])

    async def reserved(self, items: Sequence[tuple[int, str]]) -> list[bytes | None]:
        """What stands under idempotency keys, each (partition of the digest, digest); reserves nothing."""
        if not items:
            return []
        return await self._store.send([["GET", keys.idempotency(partition, digest)] for partition, digest in items])

    async def _set(self, items: Sequence[tuple[str, bytes, int]]) -> list[bytes | None]:
        if not items:
            return []
        commands: list[Command] = [["SET", key, value, "NX", "GET", "EX", ttl_s] for key, value, ttl_s in items]
        return await self._store.send(commands)
