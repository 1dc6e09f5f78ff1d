"""Stations as their __main__ puts them together: settings reach the loops, dead letters the halt, and the halt the streams."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from core import keys
from core.census import census
from core.clock import ManualClock
from core.halts import Halts
from core.model import Channel, ErrorClass, Priority
from core.process import Build, Context
from core.settings import Settings
from core.store import Store
from core.streams import Append, Streams
from dispatcher.__main__ import build as dispatcher
from ledger.__main__ import build as ledger_station
from senders.__main__ import runnables
from senders.provider import Carrier, Desk, Message, fault
from senders.routes import Routes
from tests.helpers import eventually
from tests.integration.test_failover import Post, depth_is, put, routes_of, well
from tests.integration.test_senders_station import depth
from tests.unit.senders.kit import NOW, delivery

DEAD = keys.dead(0, Channel.EMAIL)


@asynccontextmanager
async def channel(
    store: Store, clock: ManualClock, carrier: Carrier, routes: Routes | None, **changes: object
) -> AsyncIterator[None]:
    """The e-mail channel of one process."""
    context = Context(Settings.model_validate({"partitions": 1, **changes}), store, clock)
    parts = runnables(Channel.EMAIL, carrier, routes, context)
    tasks = [asyncio.create_task(each.run()) for each in parts]
    try:
        yield
    finally:
        for each in parts:
            each.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        await carrier.close()


async def halted(store: Store, clock: ManualClock) -> bool:
    clock.advance(100)
    return bool(await Halts(store).list())


async def unread(store: Store) -> int:
    return sum(state.lag for state in await census(store, 1) if state.stream == "out:email:low")


async def test_dead_letters_above_the_limit_halt_the_channel_and_its_streams_are_not_read(store: Store) -> None:
    clock = ManualClock(NOW)
    post = Post("post", lambda message: fault(ErrorClass.TEMPORARY, "503", "a bad deploy"))
    routes = routes_of([post], clock)
    async with channel(store, clock, routes, routes, dead_letter_limit=2, retry_schedule_s=()):
        await put(store, [delivery(f"u{i}@example.org") for i in range(100)], frame=5)
        await eventually(lambda: halted(store, clock), 20)
        assert await depth(store, DEAD) < 50
        post.script = well
        clock.advance(120_000)  # the breaker would let it go on
        await asyncio.sleep(0.5)  # a read that blocked when the halt came is over
        await put(store, [delivery("late@example.org", priority=Priority.LOW)], Priority.LOW)
        await asyncio.sleep(0.5)  # time in which it could be read
        assert (await unread(store), post.taken) == (1, [])
        await Halts(store).resume(Channel.EMAIL)

        async def drained() -> bool:
            clock.advance(100)
            return await depth_is(store, 0)

        await eventually(drained, 20)
        assert len(post.taken) == 101 - await depth(store, DEAD)


async def test_poison_is_set_aside_after_the_limit_and_counts_for_the_halt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.station.SETBACK_S", 0.001)
    seen = Counter[str]()

    class Broken(Post):
        async def send(self, messages: Sequence[Message], desk: Desk) -> None:
            seen.update(message.record.address for message in messages)
            raise ZeroDivisionError

    clock = ManualClock(NOW)
    broken = Broken("post", well)
    async with channel(store, clock, broken, None, poison_limit=1, dead_letter_limit=2):
        await put(store, [delivery(f"u{i}@example.org") for i in range(5)], frame=1)
        await eventually(lambda: halted(store, clock), 20)
    assert await depth(store, DEAD) > 2
    assert set(seen.values()) == {1}


@pytest.mark.parametrize(
    ("build", "stream"), [(dispatcher, keys.inbound(0, Priority.HIGH)), (ledger_station, keys.outcomes(0))]
)
async def test_what_breaks_a_station_is_set_aside_after_as_many_tries_as_the_settings_say(
    build: Build,
    stream: str,
    settings: Settings,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("core.station.SETBACK_S", 0.001)
    caplog.set_level(logging.ERROR, "tidings.station")
    damaged = b"no frame at all"
    await Streams(store).append([Append(stream, damaged)])
    async with build(Context(settings.model_copy(update={"partitions": 1, "poison_limit": 1}), store)) as parts:
        tasks = [asyncio.create_task(each.run()) for each in parts]

        async def set_aside() -> bool:
            return [frame for _, frame in await Streams(store).peek(keys.dead(0, None), 0, 2**53, 10)] == [damaged]

        await eventually(set_aside, 20)
        for each in parts:
            each.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert [record.message.split(",")[0] for record in caplog.records] == ["batch failed", "an entry is set aside as poison"]
