"""Day partitions of deliveries and events: which days a batch needs, and making them before they are needed.

A day is that of the notification's id, so any day may come: a replay of last week's dead letter, a webhook at midnight, a
gateway whose clock is ahead. What is needed is made on demand; ahead of time it is only made so that no batch has to wait.
"""

from collections.abc import Iterable
from datetime import date

from fastpath.outcomes import DAY_MS
from ledger.database import Database
from ledger.sql import load

_SQL = load("applier")

FIRST_DAY = date(2020, 1, 1).toordinal() - date(1970, 1, 1).toordinal()  # days outside of these have a partition that
LAST_DAY = date(2100, 1, 1).toordinal() - date(1970, 1, 1).toordinal()  # they share, see migration 0002


class Partitions:
    """Knows which days this process has seen to exist, so that a batch of a known day costs no query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[int] = set()

    async def ensure(self, days: Iterable[int]) -> None:
        """Makes the partitions of these days that do not exist yet. Any number of processes may do this at once.

        Args:
            days: (UTC) since the epoch; those that share a partition need nothing.
        """
        for day in sorted(set(days) - self._known):
            if FIRST_DAY <= day < LAST_DAY:
                await self._database.execute(_SQL["make_day"], [date.fromordinal(day + date(1970, 1, 1).toordinal())])
                self._known.add(day)

    async def ensure_ahead(self, now_ms: int) -> None:
        """Makes those of today and tomorrow, before the first notification of the day asks for them."""
        today = now_ms // DAY_MS
        await self.ensure((today, today + 1))

    def forget(self) -> None:
        """Makes the next `ensure` ask again: somebody has dropped a partition."""
        self._known.clear()
