"""The ledger station between real Redis and real PostgreSQL: its handler in a loop, and as a process that is killed."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core import keys
from core.config import Settings, child_environment
from core.model import Status
from core.station import Batch, StationLoop
from core.store import Store
from core.streams import Append, Entry, Settlement, Streams
from fastpath import Record, pack_frame, unpack_frame
from ledger import Ledger, station
from ledger.__main__ import sources
from ledger.station import LedgerHandler, Upkeep
from tests.helpers import eventually, psql
from tests.unit.ledger.outcomes import NOW, an_id, queued, told, webhook

PARTITIONS = 2


async def report(store: Store, partition: int, *frames: list[Record]) -> None:
    stream = keys.outcomes(partition)
    await Streams(store).append([Append(stream, pack_frame(records)) for records in frames])


async def left(store: Store) -> int:
    """Entries in the outcomes streams and beside them."""
    names = [name for p in range(PARTITIONS) for name in (keys.outcomes(p), keys.waiting(keys.outcomes(p)))]
    return sum(await store.send([["XLEN", name] for name in names]))


async def drained(store: Store) -> bool:
    return await left(store) == 0


@asynccontextmanager
async def running(store: Store, ledger: Ledger, poison_limit: int = 3) -> AsyncIterator[None]:
    handler = LedgerHandler(ledger)
    loop = StationLoop(store, station.STATION, keys.LEDGERS, sources, handler, partitions=PARTITIONS, poison_limit=poison_limit)
    task = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        loop.stop()
        await asyncio.wait_for(task, 20)


async def test_outcomes_become_rows_and_leave_redis(store: Store, ledger: Ledger, database_url: str) -> None:
    ids = [an_id(NOW + n) for n in range(50)]
    await report(store, 0, [queued(i) for i in ids], [told(i, Status.SENT) for i in ids[:30]])
    await report(store, 1, [webhook(i, Status.DELIVERED) for i in ids[:10]])
    async with running(store, ledger):
        await eventually(lambda: drained(store))
    assert psql(database_url, "select count(*) from deliveries") == "50"
    found = [await ledger.deliveries.get(i) for i in ids]
    statuses = [each.deliveries[0].status for each in found if each]
    assert statuses == [Status.DELIVERED] * 10 + [Status.SENT] * 20 + [Status.QUEUED] * 20


async def test_outcomes_of_a_busy_moment_meet_in_one_row(store: Store, ledger: Ledger, database_url: str) -> None:
    """First, sent and delivered are in three entries; they are read together, so nothing is left for the table of events."""
    ids = [an_id(NOW + n) for n in range(100)]
    await report(
        store, 0, [queued(i) for i in ids], [told(i, Status.SENT) for i in ids], [webhook(i, Status.DELIVERED) for i in ids]
    )
    async with running(store, ledger):
        await eventually(lambda: drained(store))
    assert psql(database_url, "select (select count(*) from deliveries), (select count(*) from events)") == "100|0"


async def test_an_outcome_that_cannot_be_stored_does_not_hold_up_others(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.station.SETBACK_S", 0.001)
    monkeypatch.setattr("core.poison.SPLIT_DELAY_MS", 1)
    monkeypatch.setattr("core.streams.LEASE_MS", 50)
    good, bad, late = [an_id(partition=0) for _ in range(3)]
    await report(store, 0, [queued(good), queued(bad, status=77)], [queued(late)])
    async with running(store, ledger, poison_limit=2):
        await eventually(lambda: drained(store), 30)
    for one in (good, late):
        assert await ledger.deliveries.get(one) is not None
    ((_, letter),) = await Streams(store).peek(keys.dead(0, None), 0, 2**47, 10)
    assert [record.id for record in unpack_frame(letter)] == [bad]


# The handler alone -------------------------------------------------------------------------------------------------------


async def settle(settlements: object) -> list[bool]:
    raise AssertionError("the ledger has no progress to note")


def batch(records: list[Record]) -> Batch:
    return Batch(0, [Entry(keys.outcomes(0), f"{NOW}-1", pack_frame(records))], settle)


async def test_with_little_to_do_it_does_not_pause(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "GATHER_S", 3600.0)
    given = batch([queued(an_id()) for _ in range(station.BUSY - 1)])
    assert await LedgerHandler(ledger).handle(given) == [Settlement(given.entries[0])]


async def test_with_full_batches_it_does_not_pause(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "GATHER_S", 3600.0)
    await LedgerHandler(ledger, budget=300).handle(batch([queued(an_id()) for _ in range(300)]))


async def test_when_busy_it_gathers_after_it_has_applied_and_a_drain_ends_that(
    ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "GATHER_S", 3600.0)
    given = batch([queued(an_id()) for _ in range(station.BUSY)])
    handling = asyncio.create_task(LedgerHandler(ledger).handle(given))
    await eventually(lambda: psql(database_url, "select count(*) from deliveries") == str(station.BUSY))
    assert not handling.done()
    given.draining.set()
    assert len(await handling) == 1


async def test_upkeep_makes_partitions_and_stops(ledger: Ledger, database_url: str) -> None:
    upkeep = Upkeep(ledger)
    task = asyncio.create_task(upkeep.run())
    day = "to_char(now() at time zone 'UTC' + interval '1 day', '\"deliveries_\"YYYYMMDD')"
    await eventually(lambda: psql(database_url, f"select to_regclass({day}) is not null") == "t")
    upkeep.stop()
    await asyncio.wait_for(task, 10)


# The process -------------------------------------------------------------------------------------------------------------


async def start(settings: Settings) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ledger", env=child_environment(settings), stderr=asyncio.subprocess.DEVNULL
    )


async def test_killed_in_the_middle_and_started_again(
    store: Store, ledger: Ledger, settings: Settings, database_url: str
) -> None:
    settings = settings.model_copy(update={"partitions": PARTITIONS, "allow_pure": True})
    ids = [an_id(NOW + n) for n in range(600)]

    async def feed() -> None:
        for i in ids:  # an entry each, so that the kill falls between some of them
            await report(store, 0, [queued(i)], [told(i, Status.SENT)])

    victim = await start(settings)
    feeding = asyncio.create_task(feed())
    await eventually(lambda: ledger.deliveries.get(ids[50]), 30)
    victim.kill()
    await victim.wait()
    second = await start(settings)
    await feeding
    await eventually(lambda: drained(store), 40)
    second.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(second.wait(), 20) == 0
    assert psql(database_url, "select count(*) from deliveries") == str(len(ids))
    found = [await ledger.deliveries.get(i) for i in ids[::100]]
    assert all(each and [e.status.name for e in each.deliveries[0].timeline] == TIMELINE for each in found)
    told_twice = "select count(*) from (select from events group by notification_id, status having count(*) > 1)"
    assert psql(database_url, told_twice) == "0"


TIMELINE = ["ACCEPTED", "QUEUED", "SENDING", "SENT"]
