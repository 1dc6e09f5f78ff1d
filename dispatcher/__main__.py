"""`python -m dispatcher`: one process of the dispatcher. Wires rooms together; decides nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from core import changes, keys, tasks
from core.changes import Changes
from core.marks import Marks
from core.model import Priority
from core.process import Context, Runnable, run_station
from core.station import StationLoop
from dispatcher.decide import Decider
from dispatcher.dedupe import Dedupe
from dispatcher.people import People
from dispatcher.rules import configured
from dispatcher.station import STATION, DispatcherHandler
from dispatcher.templates import Templates
from fastpath import RenderCache
from ledger import Ledger

SLICE = 240  # records at a stretch, two usual frames: each costs round trips, and critical ones wait for the computing of one
RENDER_BYTES = 64 * 1024 * 1024  # rendered content kept for equal inputs


def sources(partition: int) -> list[str]:
    """The streams of a partition that the dispatcher reads, most urgent first."""
    return [keys.inbound(partition, priority) for priority in Priority]


@asynccontextmanager
async def build(context: Context) -> AsyncIterator[Sequence[Runnable]]:
    """The dispatcher's loop, with caches that hear of changes while it runs."""
    settings, clock = context.settings, context.clock
    ledger = await Ledger.open(settings.database_url)
    people = People(ledger.recipients.contacts, clock=clock)
    templates = Templates(ledger.templates.get, clock=clock)
    decider = Decider(RenderCache(RENDER_BYTES), configured(settings.routing_rules))
    handler = DispatcherHandler(people, templates, decider, Dedupe(await Marks(context.store).open()), clock=clock)

    def changed(kind: str, key: str) -> None:
        if kind == changes.RECIPIENT:
            people.forget(key)
        elif kind == changes.TEMPLATE:
            templates.changed(key)

    listening = asyncio.create_task(Changes(context.store).listen(changed))
    try:
        yield [
            StationLoop(
                context.store,
                STATION,
                keys.DISPATCHERS,
                sources,
                handler,
                partitions=settings.partitions,
                poison_limit=settings.poison_limit,
                budget=SLICE,
                apart=True,
                clock=clock,
            )
        ]
    finally:
        await tasks.end(listening)
        await ledger.close()


if __name__ == "__main__":
    run_station(STATION, build)
