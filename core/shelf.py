"""A bounded local cache of what the ledger keeps: one fetch a batch for what is missing, stale answers while it is away.

Knows the ledger only by the function it is given; decides nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import LedgerUnavailable

log = logging.getLogger("tidings.shelf")

PATIENCE_S = 2.0  # a fetch that takes longer counts as failed: critical ones wait behind it
STRIDE = 64  # such a part of a full shelf is cleared at a time
PAUSE_MS = 1_000  # after a failed fetch nobody asks again for so long

K = TypeVar("K")
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """Values by key, kept for a while.

    Args:
        what: plural name of the values, for the log.
        fetch: values by key, those that exist; raises LedgerUnavailable.
        lifetime: how long a value (None: nobody has it) is served without another fetch, milliseconds.
        capacity: values kept, and up to 1/STRIDE more; the longest unfetched ones go first.
        clock: for ages.
    """

    def __init__(
        self,
        what: str,
        fetch: Callable[[Sequence[K]], Awaitable[dict[K, V]]],
        lifetime: Callable[[K, V | None], int],
        *,
        capacity: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._what = what
        self._fetch = fetch
        self._lifetime = lifetime
        self._capacity = capacity
        self._clock = clock
        self._kept: dict[K, tuple[V | None, int]] = {}  # key -> (value or nothing, fresh until, ms)
        self._under_way: list[set[K]] = []  # keys that changed while a fetch runs, one set a fetch
        self._closed_until = 0

    async def resolve(self, keys: Iterable[K]) -> dict[K, V | None]:
        """Each key's value, or None if nobody has it. Keys missing from the answer could not be learned now."""
        now = self._clock.now_ms()
        wanted = set(keys)
        missing = [key for key in wanted if (kept := self._kept.get(key)) is None or kept[1] <= now]
        if missing and now >= self._closed_until:
            return await self._refresh(missing, wanted, now)
        return self._answer(wanted)

    def kept(self, key: K) -> tuple[V | None, bool] | None:
        """What is kept of a key, without a fetch: its value (None: nobody has it) and whether that is fresh."""
        kept = self._kept.get(key)
        return (kept[0], kept[1] > self._clock.now_ms()) if kept is not None else None

    @property
    def shelf(self) -> dict[K, tuple[V | None, int]]:
        """What is kept, as it changes, for loops that only read: key -> (value, None if nobody has it; fresh until, ms)."""
        return self._kept

    def forget(self, key: K) -> None:
        """Drops a value that changed, also from fetches under way."""
        self._kept.pop(key, None)
        for changed in self._under_way:
            changed.add(key)

    def _answer(self, wanted: set[K]) -> dict[K, V | None]:
        return {key: kept[0] for key in wanted if (kept := self._kept.get(key)) is not None}

    async def _refresh(self, missing: list[K], wanted: set[K], now: int) -> dict[K, V | None]:
        changed: set[K] = set()
        self._under_way.append(changed)
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await self._fetch(missing)
        except (LedgerUnavailable, TimeoutError) as error:
            self._closed_until = self._clock.now_ms() + PAUSE_MS
            log.warning("%s cannot be fetched, stale ones are served: %s", self._what, error or "no answer in time")
            return self._answer(wanted)
        finally:
            self._under_way = [other for other in self._under_way if other is not changed]
        answer = self._answer(wanted)
        for key in missing:
            value = answer[key] = found.get(key)
            self._kept.pop(key, None)  # so that it goes to the end of the line
            if key not in changed:
                self._kept[key] = (value, now + self._lifetime(key, value))
        self._evict()
        return answer

    def _evict(self) -> None:
        excess = len(self._kept) - self._capacity
        if excess > self._capacity // STRIDE:  # many at a time: where others were before it, the first key is slow to find
            for key in list(islice(self._kept, excess)):
                del self._kept[key]
