"""Runs: rows of deliveries that one process writes one after another, RUN_ROWS of them under one number.

The index by recipient leads with the run. So what is being written touches a part of it that stays small, in the caches and out
of the log's full pages, whatever the day's table holds already, and however many recipients there are. A list looks into each
run that a day has, four a million rows: 0.2 ms for those.
"""

import asyncio

from ledger.database import Database
from ledger.sql import load

_SQL = load("applier")

RUN_ROWS = 250_000


class Runs:
    """The run that this process writes."""

    def __init__(self, database: Database, rows: int = RUN_ROWS) -> None:
        self._database = database
        self._rows = rows
        self._left = 0
        self._number = 0
        self._turn = asyncio.Lock()

    async def current(self) -> int:
        """The run to write to; begins the next one when this one is full."""
        async with self._turn:
            if self._left <= 0:
                ((self._number,),) = await self._database.fetch(_SQL["next_run"])
                self._left = self._rows
            return self._number

    def note(self, rows: int) -> None:
        """So many more were written."""
        self._left -= rows
