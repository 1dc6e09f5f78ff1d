"""Whose fault it was: an entry that was handed out often is worked on alone, and a mark in Redis says so only meanwhile.

A process may be killed again and again with thousands of entries in hand, most of which wait for a provider and did nothing.
Who is found with its mark was being worked on when its consumer vanished; all others are tried once more.
"""

from collections.abc import Callable

from core.errors import StoreError
from core.store import persist
from core.streams import Entry, Streams


class Trial:
    """The trial of one entry in one delivery. `on`: it is worked on now, and whatever happens is its doing."""

    def __init__(self, streams: Streams, entry: Entry, on_retry: Callable[[StoreError, float], None]) -> None:
        self.on = False
        self._streams = streams
        self._entry = entry
        self._on_retry = on_retry

    async def begin(self) -> bool:
        """Marks it; False if an earlier delivery ended while it was marked. Waits for Redis, however long it is away."""
        self.on = True
        before = await persist(lambda: self._streams.mark(self._entry), on_retry=self._on_retry)
        return before in (None, self._entry.deliveries)  # its own: the reply to a call was lost

    async def rest(self) -> None:
        """Takes the mark away: it waits, or is done."""
        if self.on:
            self.on = False
            await persist(lambda: self._streams.unmark(self._entry), on_retry=self._on_retry)
