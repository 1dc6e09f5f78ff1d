"""The ledger's handler: frames of outcomes in, rows in PostgreSQL, then the entries are settled; nothing goes further.

Applied first, settled second: a crash in between hands the entries in again, and the applier knows them.
"""

import asyncio
import logging
from contextlib import suppress

from core import metrics
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import LedgerError
from core.model import Status
from core.station import Batch
from core.streams import Settlement
from ledger.applier import Frame
from ledger.ledger import Ledger

log = logging.getLogger("tidings.ledger")

STATION = "ledger"
BUDGET = 8192  # outcomes in one transaction
BUSY = 4  # from so many outcomes in a batch on others are about to come: it pays to let more of each delivery's life gather
GATHER_S = 0.2  # how long it gathers
UPKEEP_S = 600.0  # partitions are made and settled entries forgotten this often

_NAMES = {int(status): status.name.lower() for status in Status}


class LedgerHandler:
    """core.station.Handler of the ledger.

    Under load it pauses after a batch: what comes in meanwhile is read at once, and a delivery that was queued, sent and
    delivered in that time is one row. A transaction costs as much as the rows of a hundred deliveries, so this begins early:
    with 600 notifications a second, one by one, each costs less than half of what it costs without a pause. With little to
    do, or so much that batches are full anyway, it never pauses.
    """

    def __init__(self, ledger: Ledger, *, budget: int = BUDGET, clock: Clock = SYSTEM_CLOCK) -> None:
        self._applier = ledger.applier
        self._budget = budget
        self._clock = clock

    async def handle(self, batch: Batch) -> list[Settlement]:
        """Applies a batch in one transaction; see core.station.Handler."""
        tally = await self._applier.apply(batch.partition, [Frame(e.id, e.frame, e.waiting) for e in batch.entries])
        now_ms = self._clock.now_ms()
        for (channel, priority, status), accepted in tally.items():
            metrics.handled_ages(STATION, channel, priority, _NAMES[status], accepted, now_ms=now_ms)
        if BUSY <= sum(entry.records for entry in batch.entries) < self._budget:
            with suppress(TimeoutError):
                await asyncio.wait_for(batch.draining.wait(), GATHER_S)
        return [Settlement(entry) for entry in batch.entries]


class Upkeep:
    """Keeps the ledger's tables in shape beside the station's loop. Every process may do it: each step is safe to repeat."""

    def __init__(self, ledger: Ledger, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._ledger = ledger
        self._clock = clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Once now and then every UPKEEP_S, until `stop`. A failure is logged: the applier makes what it lacks by itself."""
        while not self._stopping.is_set():
            try:
                await self._ledger.partitions.ensure_ahead(self._clock.now_ms())
                await self._ledger.applier.prune()
            except LedgerError as error:
                log.warning("upkeep failed, next try in %.0f s: %s", UPKEEP_S, error, extra={"station": STATION})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), UPKEEP_S)

    def stop(self) -> None:
        """Ends `run`."""
        self._stopping.set()
