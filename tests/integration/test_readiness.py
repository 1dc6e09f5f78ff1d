"""Whether a channel is read: halts, open breakers, the dead-letter limit; and what operators see of it."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from core.arrivals import MINUTE_MS, Arrivals, Counts
from core.clock import ManualClock
from core.errors import StoreUnavailable
from core.halts import Halts
from core.model import Channel, ErrorClass
from core.store import Store
from core.wellbeing import Wellbeings
from senders.breaker import MIN_FAILURES, State
from senders.gate import Gate
from senders.health import RECENT_MIN, USUAL_MIN
from senders.provider import Provider, fault
from senders.readiness import WINDOW_MS, Readiness
from senders.routes import Routes
from senders.selection import Candidate, Selection
from tests.helpers import eventually
from tests.integration.test_gate_bucket import TurnedBucket
from tests.unit.senders.kit import NOW, delivery
from tests.unit.senders.test_routes import Echo

LIMIT = 10


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def routes(clock: ManualClock) -> AsyncIterator[Routes]:
    providers: dict[str, Provider] = {name: Echo(name) for name in ("a", "b")}
    made = Routes(Channel.EMAIL, providers, {0: Selection([Candidate("a", 3), Candidate("b")])}, clock=clock)
    yield made
    await made.close()


@pytest.fixture
def readiness(store: Store, routes: Routes, clock: ManualClock) -> Readiness:
    return Readiness(Channel.EMAIL, store, routes, dead_letter_limit=LIMIT, clock=clock)


def trip(gate: Gate) -> None:
    for _ in range(MIN_FAILURES):
        gate.report(fault(ErrorClass.TEMPORARY, "503", ""))


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_nothing_is_read_before_redis_was_asked(readiness: Readiness) -> None:
    assert not readiness.may_read()
    await readiness.refresh()
    assert readiness.may_read()


async def test_it_is_not_read_while_all_breakers_are_open(readiness: Readiness, routes: Routes, clock: ManualClock) -> None:
    await readiness.refresh()
    trip(routes.gates["a"])
    assert readiness.may_read()
    trip(routes.gates["b"])
    assert not readiness.may_read()
    clock.advance(60_000)
    assert readiness.may_read()


async def test_a_halt_stops_what_is_in_hand_too(readiness: Readiness, routes: Routes, store: Store) -> None:
    await Halts(store).halt(Channel.SMS, "another channel")
    await readiness.refresh()
    assert readiness.may_read()
    await Halts(store).halt(Channel.EMAIL, "by an operator")
    await readiness.refresh()
    assert not readiness.may_read()
    assert not any(gate.passable for gate in routes.gates.values())
    assert gauge("tidings_channel_halted", channel="email") == 1.0
    await Halts(store).resume(Channel.EMAIL)
    await readiness.refresh()
    assert readiness.may_read()
    assert all(gate.passable for gate in routes.gates.values())
    assert gauge("tidings_channel_halted", channel="email") == 0.0


async def test_operators_see_providers(readiness: Readiness, routes: Routes, store: Store, clock: ManualClock) -> None:
    await readiness.refresh()
    assert gauge("tidings_provider_share", provider="a") == 0.75
    trip(routes.gates["a"])
    await readiness.refresh()
    told = {w.provider: w for _, _, w in await Wellbeings(store, clock).ask()}
    assert (told["a"].breaker, told["a"].share) == (State.OPEN, 0.0)
    assert told["a"].failures > 0.3
    assert (told["b"].breaker, told["b"].share, told["b"].per_s) == (State.CLOSED, 1.0, 0.0)
    assert gauge("tidings_provider_breaker", provider="a") == 2.0


async def test_too_many_dead_letters_halt_the_channel(
    readiness: Readiness, store: Store, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    running = asyncio.create_task(readiness.run())
    await eventually(readiness.may_read)
    for _ in range(LIMIT):
        readiness.note_dead()
    clock.advance(WINDOW_MS)
    readiness.note_dead(LIMIT)  # a minute later the same number is still below it
    assert readiness.may_read()
    with caplog.at_level(logging.ERROR, "tidings.senders"):
        readiness.note_dead()
    assert not readiness.may_read()  # at once, not when Redis knows
    (halt,) = await eventually(lambda: Halts(store).list())
    assert halt.channel is Channel.EMAIL
    assert "tidings resume email" in halt.reason
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    await Halts(store).resume(Channel.EMAIL)
    await eventually(readiness.may_read)
    readiness.note_dead()  # and the count began anew
    assert readiness.may_read()
    readiness.stop()
    await asyncio.wait_for(running, 5)


async def test_a_halt_is_not_forgotten_while_redis_is_away(
    readiness: Readiness, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await readiness.refresh()
    readiness.note_dead(LIMIT + 1)

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "send", away)
        with pytest.raises(StoreUnavailable):
            await readiness.refresh()
    assert not readiness.may_read()
    await readiness.refresh()
    assert len(await Halts(store).list()) == 1


async def test_a_limit_of_zero_never_halts(store: Store) -> None:
    readiness = Readiness(Channel.IN_APP, store)
    await readiness.refresh()
    readiness.note_dead(100_000)
    assert readiness.may_read()


async def test_it_learns_which_accounts_were_asked_for_patience_elsewhere(store: Store, clock: ManualClock) -> None:
    elsewhere = await TurnedBucket(store, None, clock, "elsewhere").open()
    gate = Gate("a", await TurnedBucket(store, None, clock, "here").open(), clock=clock)
    routes = Routes(Channel.EMAIL, {"a": Echo("a")}, {0: Selection([Candidate("a")])}, {"a": gate}, clock)
    readiness = Readiness(Channel.EMAIL, store, routes, clock=clock)
    await readiness.refresh()
    assert not gate.limited
    await elsewhere.slow_down(seen_per_s=100.0)
    await readiness.refresh()
    assert (gate.limited, gate.per_s) == (True, 50.0)
    await routes.close()


async def test_receipts_that_stay_away_move_the_weights_of_every_process(
    readiness: Readiness, routes: Routes, store: Store, clock: ManualClock
) -> None:
    """Both providers take as much; the webhooks of one stop."""
    arrivals, now_min = Arrivals(store), NOW // MINUTE_MS
    for minute in range(now_min - USUAL_MIN, now_min):
        silent = minute >= now_min - RECENT_MIN
        routes.gates["a"].taken[minute] = routes.gates["b"].taken[minute] = 100
        await arrivals.add({("a", minute): Counts(told=0 if silent else 95), ("b", minute): Counts(told=95)})
    await readiness.refresh()
    assert routes.gates["a"].taken == {}
    await readiness.refresh()
    conditions = routes.conditions()
    assert conditions["a"].trust < 0.1
    assert conditions["b"].trust > 0.95
    assert routes.selection(delivery()).shares(conditions)["b"] > 0.7  # of a weight of a quarter
    assert gauge("tidings_provider_health", provider="a", by="receipts") == conditions["a"].trust
    other = Routes(Channel.EMAIL, {"a": Echo("a")}, {0: Selection([Candidate("a")])}, clock=clock)
    await Readiness(Channel.EMAIL, store, other, clock=clock).refresh()
    assert other.gates["a"].trust == conditions["a"].trust
    clock.advance(2 * USUAL_MIN * MINUTE_MS)
    await readiness.refresh()
    assert routes.gates["a"].trust == 1.0


async def test_what_was_sent_is_not_forgotten_while_redis_is_away(
    readiness: Readiness, routes: Routes, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes.gates["a"].taken[NOW // MINUTE_MS] = 7

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Arrivals, "add", away)
        with pytest.raises(StoreUnavailable):
            await readiness.refresh()
    await readiness.refresh()
    assert await Arrivals(store).read("a", [NOW // MINUTE_MS]) == {NOW // MINUTE_MS: Counts(sent=7)}
