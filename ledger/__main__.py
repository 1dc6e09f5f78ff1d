"""`python -m ledger`: one process of the ledger station. Brings the database up to date before it reads."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from core import keys
from core.process import Context, Runnable, run_station
from core.station import StationLoop
from ledger import Ledger
from ledger.station import BUDGET, STATION, LedgerHandler, Upkeep


def sources(partition: int) -> list[str]:
    """The streams of a partition that the ledger reads."""
    return [keys.outcomes(partition)]


@asynccontextmanager
async def build(context: Context) -> AsyncIterator[Sequence[Runnable]]:
    """The ledger's loop and its upkeep."""
    settings, clock = context.settings, context.clock
    ledger = await Ledger.open(settings.database_url, migrate=True)
    try:
        yield [
            StationLoop(
                context.store,
                STATION,
                keys.LEDGERS,
                sources,
                LedgerHandler(ledger, clock=clock),
                partitions=settings.partitions,
                poison_limit=settings.poison_limit,
                budget=BUDGET,
                clock=clock,
            ),
            Upkeep(ledger, clock=clock),
        ]
    finally:
        await ledger.close()


if __name__ == "__main__":
    run_station(STATION, build)
