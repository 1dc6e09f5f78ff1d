"""What became of what providers took, counted by provider and minute of acceptance: senders and webhooks add, senders read.

A notification's id tells both sides the same minute, so a minute's receipts are held against what was sent of that minute.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from core import keys
from core.store import Command, Store

MINUTE_MS = 60_000
KEEP_S = 2 * 3600  # longer than anybody looks back


class Counts(NamedTuple):
    """Of one provider and minute.

    Attributes:
        sent: messages that it took and will tell about later, if it ever does.
        told: those it told the end of: delivered or failed.
        blocked: those of `told` that failed by the provider's doing, not by the recipient's.
    """

    sent: int = 0
    told: int = 0
    blocked: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sums."""
        return Counts(self.sent + other.sent, self.told + other.told, self.blocked + other.blocked)


class Arrivals:
    """The counters of all processes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, news: Mapping[tuple[str, int], Counts]) -> None:
        """Adds counts by (provider, minute since the epoch); one round trip.

        Raises:
            StoreError: some may have been added.
        """
        commands: list[Command] = []
        for (provider, minute), counts in news.items():
            key = keys.arrivals(provider, minute)
            commands += [["HINCRBY", key, name, n] for name, n in zip(Counts._fields, counts, strict=True) if n]
            commands.append(["EXPIRE", key, KEEP_S])
        await self._store.send(commands)

    async def read(self, provider: str, minutes: Iterable[int]) -> dict[int, Counts]:
        """A provider's counts of these minutes."""
        asked = list(minutes)
        replies = await self._store.send([["HMGET", keys.arrivals(provider, m), *Counts._fields] for m in asked])
        return {minute: Counts(*(int(n or 0) for n in reply)) for minute, reply in zip(asked, replies, strict=True)}
