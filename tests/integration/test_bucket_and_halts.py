"""The shared token bucket keeps its laws whatever is asked when; halts are agreed on."""

import asyncio

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core import keys
from core.bucket import Bucket, Grant, Rate
from core.clock import ManualClock
from core.halts import Halts
from core.model import Channel
from core.store import Store
from core.wellbeing import STALE_MS, Wellbeing, Wellbeings
from tests.helpers import eventually

NOW = 1_700_000_000_000
ASKS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40), st.booleans()), max_size=30)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(per_s=st.integers(1, 200), burst=st.integers(1, 100), reserve=st.integers(0, 50), asks=ASKS)
def test_no_sequence_of_asks_gets_more_than_the_rate(
    redis_url: str, per_s: int, burst: int, reserve: int, asks: list[tuple[int, int, bool]]
) -> None:
    async def run() -> None:
        store = await Store.connect(redis_url)
        await store.redis.flushdb()
        bucket = await Bucket(store, "account", Rate(per_s, burst, reserve)).open()
        now_ms, granted, usual = NOW, 0, 0
        for step, wanted, critical in asks:
            now_ms += step
            grant = await bucket.take(wanted, critical=critical, now_ms=now_ms)
            assert 0 <= grant.tokens <= wanted
            assert grant.tokens == wanted or grant.wait_ms > 0
            granted += grant.tokens
            usual += 0 if critical else grant.tokens
            assert granted <= burst + per_s * (now_ms - NOW) / 1000 + 1e-6
        if usual == granted:  # only usual ones asked: the reserve is untouched
            left = await bucket.take(10**6, critical=True, now_ms=now_ms)
            assert left.tokens >= min(reserve, burst - 1)
        await store.close()

    asyncio.run(run())


@pytest.fixture
async def bucket(store: Store) -> Bucket:
    return await Bucket(store, "account", Rate(per_s=100, burst=50, reserve=10)).open()


async def test_it_fills_at_its_rate(bucket: Bucket) -> None:
    assert (await bucket.take(100, now_ms=NOW)).tokens == 40
    empty = await bucket.take(1, now_ms=NOW)
    assert (empty.tokens, empty.wait_ms) == (0, 10)
    assert (await bucket.take(100, now_ms=NOW + 100)).tokens == 10
    assert (await bucket.take(100, critical=True, now_ms=NOW + 100)).tokens == 10


async def test_senders_share_it(store: Store, bucket: Bucket) -> None:
    other = await Bucket(store, "account", bucket.rate).open()
    assert (await bucket.take(30, now_ms=NOW)).tokens + (await other.take(30, now_ms=NOW)).tokens == 40


async def test_refusals_slow_it_down_and_quiet_time_brings_it_back(bucket: Bucket) -> None:
    assert (await bucket.slow_down(now_ms=NOW)).per_s == 50
    assert (await bucket.slow_down(now_ms=NOW + 10)).per_s == 50  # the same second's news
    assert (await bucket.slow_down(now_ms=NOW + 1000)).per_s == 25
    for second in range(2, 60):
        last = await bucket.take(0, now_ms=NOW + second * 1000)
    assert last.per_s == 100


async def test_it_never_stops_for_good(bucket: Bucket) -> None:
    for second in range(20):
        slow = await bucket.slow_down(now_ms=NOW + second * 1000)
    assert slow.per_s == 5


async def test_a_clock_that_was_set_back_fills_nothing_twice(bucket: Bucket) -> None:
    await bucket.take(100, critical=True, now_ms=NOW)
    assert (await bucket.take(100, critical=True, now_ms=NOW - 60_000)).tokens == 0
    assert (await bucket.take(100, critical=True, now_ms=NOW)).tokens == 0


async def test_redis_own_clock_serves_too(bucket: Bucket) -> None:
    assert (await bucket.take(5)).tokens == 5
    await bucket.take(50, critical=True)  # all that is left

    async def filled() -> bool:
        return (await bucket.take(1, critical=True)).tokens == 1

    await eventually(filled)


# Without a limit --------------------------------------------------------------------------------------------------------


async def unlimited(store: Store, member: str = "alice") -> Bucket:
    return await Bucket(store, "free", None, member).open()


async def test_without_a_limit_all_is_granted_and_nothing_kept(store: Store) -> None:
    bucket = await unlimited(store)
    assert not bucket.in_force
    assert await bucket.take(10_000, now_ms=NOW) == Grant(10_000, 0, 0.0)
    assert await store.send([["EXISTS", keys.bucket("free")]]) == [0]


async def test_a_refusal_begins_at_half_of_what_was_seen_lately(store: Store) -> None:
    bucket = await unlimited(store)
    assert (await bucket.slow_down(seen_per_s=80, now_ms=NOW)).per_s == 40
    assert bucket.in_force
    assert (await bucket.take(100, now_ms=NOW)).tokens == 0
    assert 35 <= (await bucket.take(100, critical=True, now_ms=NOW + 1_000)).tokens <= 44
    assert (await bucket.slow_down(seen_per_s=80, now_ms=NOW + 2_000)).per_s < 27  # and its own rate counts once


async def test_how_much_is_left_is_for_the_caller_to_say(store: Store, bucket: Bucket) -> None:
    free = await unlimited(store)
    assert (await free.slow_down(seen_per_s=100, keep=0.9, now_ms=NOW)).per_s == 90
    assert (await free.slow_down(seen_per_s=100, keep=0.1, now_ms=NOW + 1_000)).per_s == pytest.approx(9, abs=0.01)
    assert (await bucket.slow_down(keep=0.9, now_ms=NOW)).per_s == 50  # but a set limit is halved


async def test_the_rates_of_all_processes_that_are_refused_add_up(store: Store) -> None:
    alice, bob = await unlimited(store, "alice"), await unlimited(store, "bob")
    assert (await alice.slow_down(seen_per_s=60, now_ms=NOW)).per_s == 30
    assert (await bob.slow_down(seen_per_s=20, now_ms=NOW + 100)).per_s == 40  # the same second's news
    assert (await alice.take(0, now_ms=NOW + 100)).per_s == 40


async def test_some_of_it_is_for_critical_ones(store: Store) -> None:
    bucket = await unlimited(store)
    await bucket.slow_down(seen_per_s=100, now_ms=NOW)
    usual = (await bucket.take(100, now_ms=NOW + 1_000)).tokens
    assert 0 < usual < 50
    assert (await bucket.take(100, critical=True, now_ms=NOW + 1_000)).tokens >= 10


async def test_it_recovers_and_disappears_when_it_is_quiet(store: Store) -> None:
    bucket = await unlimited(store)
    await bucket.slow_down(seen_per_s=100, now_ms=NOW)
    speeds = [(await bucket.take(0, now_ms=NOW + second * 1000)).per_s for second in range(1, 69)]
    assert speeds == sorted(speeds)
    assert 380 < speeds[-1] < 400
    assert (await bucket.take(700, now_ms=NOW + 71_000)) == Grant(700, 0, 0.0)
    assert not bucket.in_force
    assert await store.send([["EXISTS", keys.bucket("free")]]) == [0]


async def test_it_goes_down_to_a_hundredth_and_never_stops_for_good(store: Store) -> None:
    bucket = await unlimited(store)
    for second in range(20):
        slow = await bucket.slow_down(seen_per_s=1_000, now_ms=NOW + second * 1000)
    assert slow.per_s == 10
    assert (await bucket.take(1, now_ms=NOW + 20_000)).tokens == 1


MOST = 4  # times of what was seen
STEPS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40), st.booleans(), st.booleans()), max_size=30)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=st.integers(1, 200), steps=STEPS)
def test_no_sequence_of_refusals_passes_its_bounds(redis_url: str, seen: int, steps: list[tuple[int, int, bool, bool]]) -> None:
    async def run() -> None:
        store = await Store.connect(redis_url)
        await store.redis.flushdb()
        bucket = await unlimited(store)
        await bucket.slow_down(seen_per_s=seen, now_ms=NOW)
        now_ms, granted = NOW, 0
        for step, wanted, critical, refused in steps:
            now_ms += step
            grant = await (
                bucket.slow_down(seen_per_s=seen, now_ms=now_ms)
                if refused
                else bucket.take(wanted, critical=critical, now_ms=now_ms)
            )
            if not bucket.in_force:  # quiet for long enough
                assert grant.tokens == wanted
                break
            granted += grant.tokens
            assert seen * 0.01 <= grant.per_s <= MOST * seen + 0.001
            assert granted <= 1 + MOST * seen * (1 + (now_ms - NOW) / 1000)
        await store.close()

    asyncio.run(run())


# Halts ------------------------------------------------------------------------------------------------------------------


async def test_a_halt_stands_until_it_is_lifted(store: Store) -> None:
    halts = Halts(store)
    assert await halts.list() == []
    assert await halts.halt(Channel.SMS, "too many dead letters")
    assert not await halts.halt(Channel.SMS, "another reason")
    assert [(h.channel, h.reason) for h in await Halts(store).list()] == [(Channel.SMS, "too many dead letters")]
    assert [await halts.resume(Channel.SMS), await halts.resume(Channel.SMS)] == [True, False]
    assert await halts.list() == []


async def test_wellbeing_is_told_and_forgotten_with_its_process(store: Store) -> None:
    clock = ManualClock()
    wellbeings = Wellbeings(store, clock)
    well = Wellbeing("sendgrid", breaker=0, share=1.0, failures=0.0, per_s=100.0)
    await wellbeings.tell(Channel.EMAIL, "alice", [well])
    clock.advance(STALE_MS)
    await wellbeings.tell(Channel.EMAIL, "bob", [well])
    assert {member for _, member, _ in await wellbeings.ask()} == {"alice", "bob"}
    clock.advance(1)
    assert await wellbeings.ask() == [(Channel.EMAIL, "bob", well)]
    assert await store.send([["HLEN", keys.health(Channel.EMAIL)]]) == [1]
