"""How many calls that send are worked on at once, and how many may wait for that: what keeps a flood out of memory.

Critical calls have a door of their own and are never turned away. The others share a few places, the most urgent first; one of
many items takes several, and who finds too many waiting is told to come back, low priority first. So a critical call meets a
handful of others in the loop, however many have arrived. Counts items, knows nothing of them.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.errors import TidingsError
from core.model import Priority

CRITICAL_PLACES = 32  # with PLACES well below the connections to Redis (core/store.py): each call may hold one
PLACES = 16  # so many calls of one item go to Redis together: with four, its round trip was a fifth of a call's cost
BATCHES = 4  # calls of many items at once: more would not be quicker, as the work is one thread's
WAITING = 4_000  # items that wait at most: about a second's work
SHARES: dict[int, float] = {Priority.HIGH: 1.0, Priority.MEDIUM: 0.75}  # how far these may fill it
LEAST = 0.5  # low, and what has no such priority


class Crowded(TidingsError):
    """Too many wait already."""


class Room:
    """The room of one gateway process.

    Args:
        critical: critical calls at once.
        places: other calls at once; one takes a place for each item, a quarter of all at most.
        waiting: items of other calls that wait at most.
    """

    def __init__(self, *, critical: int = CRITICAL_PLACES, places: int = PLACES, waiting: int = WAITING) -> None:
        self._critical = asyncio.Semaphore(critical)
        self._free = places
        self._largest = max(places // BATCHES, 1)
        self._most = waiting
        self._waiting = 0
        self._arrivals = itertools.count()
        self._queue: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._gone = 0  # of the queue: who hung up

    @property
    def waiting(self) -> int:
        """Items that wait for a place."""
        return self._waiting

    @asynccontextmanager
    async def place(self, urgency: int, items: int) -> AsyncIterator[None]:
        """Holds a place while the block runs. `urgency`: a core.model.Priority, the most urgent of the call's items.

        Raises:
            Crowded: so much waits that this call would have to be forgotten or remembered for too long.
        """
        if urgency == Priority.CRITICAL:
            async with self._critical:
                yield
            return
        share = min(items, self._largest)
        await self._enter(urgency, items, share)
        try:
            yield
        finally:
            self._leave(share)

    async def _enter(self, urgency: int, items: int, share: int) -> None:
        if self._free >= share and not self._queue:
            self._free -= share
            return
        if self._waiting and self._waiting + items > self._most * SHARES.get(urgency, LEAST):
            raise Crowded("too many notifications wait to be looked at")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (urgency, next(self._arrivals), share, turn))
        self._waiting += items
        self._call()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(share)  # the place was ours already: hand it on
            else:
                self._gone += 1
                self._forget()
                self._call()  # who was behind may fit in
            raise
        finally:
            self._waiting -= items

    def _forget(self) -> None:
        """Who hung up, once they are the most: behind more urgent calls they would be kept for as long as those come."""
        if self._gone * 2 > len(self._queue):
            self._queue = [each for each in self._queue if not each[-1].done()]
            heapq.heapify(self._queue)
            self._gone = 0

    def _leave(self, share: int) -> None:
        self._free += share
        self._call()

    def _call(self) -> None:
        """Those whose turn it is, as far as there is room. Nobody overtakes a larger call, or it might wait for ever."""
        while self._queue:
            share, turn = self._queue[0][2:]
            if turn.done():
                self._gone -= 1
            elif self._free >= share:
                self._free -= share
                turn.set_result(None)
            else:
                return
            heapq.heappop(self._queue)
