"""The ledger's handler: frames of outcomes in, rows in PostgreSQL, then the entries are settled; nothing goes further.

Applied first, settled second: a crash in between hands the entries in again, and the applier knows them.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from core import metrics
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import LedgerError
from core.model import Status
from core.station import Batch
from core.streams import Settlement
from fastpath import Record, unpack_frame
from ledger.applier import Frame
from ledger.ledger import Ledger

log = logging.getLogger("tidings.ledger")

STATION = "ledger"
BUDGET = 8192  # outcomes in one transaction
BUSY = 256  # from so many outcomes in a batch on it pays to let more of each delivery's life gather
GATHER_S = 0.2  # how long it gathers
UPKEEP_S = 600.0  # partitions are made and settled entries forgotten this often

_NAMES = {int(status): status.name.lower() for status in Status}


class LedgerHandler:
    """core.station.Handler of the ledger.

    Under load it pauses after a batch: what comes in meanwhile is read at once, and a delivery that was queued, sent and
    delivered in that time is one row. With little to do, or so much that batches are full anyway, it never pauses.
    """

    def __init__(self, ledger: Ledger, *, budget: int = BUDGET, clock: Clock = SYSTEM_CLOCK) -> None:
        self._applier = ledger.applier
        self._budget = budget
        self._clock = clock

    async def handle(self, batch: Batch) -> list[Settlement]:
        """Applies a batch in one transaction; see core.station.Handler."""
        frames = [Frame(entry.id, unpack_frame(entry.frame), entry.waiting) for entry in batch.entries]
        await self._applier.apply(batch.partition, frames)
        self._count(frames)
        if BUSY <= sum(len(frame.outcomes) for frame in frames) < self._budget:
            with suppress(TimeoutError):
                await asyncio.wait_for(batch.draining.wait(), GATHER_S)
        return [Settlement(entry) for entry in batch.entries]

    def _count(self, frames: Sequence[Frame]) -> None:
        groups: dict[tuple[int, int, int], list[Record]] = defaultdict(list)
        for frame in frames:
            for outcome in frame.outcomes:
                groups[outcome.channel, outcome.priority, outcome.status].append(outcome)
        now_ms = self._clock.now_ms()
        for (channel, priority, status), records in groups.items():
            metrics.handled(STATION, channel, priority, _NAMES[status], records, now_ms=now_ms)


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
