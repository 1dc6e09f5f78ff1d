"""The gate with a real bucket: tokens go to the most urgent, refusals slow it down, without Redis nobody passes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import senders.gate
from core.bucket import HALF, Bucket, Grant, Rate
from core.clock import ManualClock
from core.errors import StoreUnavailable
from core.model import ErrorClass, Priority
from core.settings import LimitSettings, Settings
from core.store import Store
from senders.accounts import account, open_gates, rate
from senders.gate import Gate, Pass
from senders.provider import fault
from tests.helpers import eventually
from tests.unit.senders.kit import NOW

LONG = 30.0


class TurnedBucket(Bucket):
    """A bucket that goes by a clock which the test turns; away while `away`."""

    def __init__(self, store: Store, rate: Rate | None, clock: ManualClock, member: str = "alice") -> None:
        super().__init__(store, "account", rate, member)
        self.clock = clock
        self.away = False

    async def take(self, wanted: int, *, critical: bool = False, now_ms: int = 0) -> Grant:
        if self.away:
            raise StoreUnavailable("away")
        return await super().take(wanted, critical=critical, now_ms=now_ms or self.clock.now_ms())

    async def slow_down(self, *, seen_per_s: float = 0.0, keep: float = HALF, now_ms: int = 0) -> Grant:
        return await super().slow_down(seen_per_s=seen_per_s, keep=keep, now_ms=now_ms or self.clock.now_ms())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    monkeypatch.setattr(senders.gate, "POLL_S", 0.02)
    return ManualClock(NOW)


@pytest.fixture
async def bucket(store: Store, clock: ManualClock) -> TurnedBucket:
    made = TurnedBucket(store, Rate(per_s=10, burst=20, reserve=5), clock)
    await made.open()
    return made


@pytest.fixture
async def gate(bucket: TurnedBucket, clock: ManualClock) -> AsyncIterator[Gate]:
    made = Gate("p", bucket, clock=clock)
    yield made
    await made.close()


def enter(gate: Gate, urgency: int, wanted: int) -> asyncio.Task[Pass]:
    return asyncio.create_task(gate.enter(urgency, wanted, asyncio.Event(), LONG))


async def test_waves_as_large_as_the_rate_allows(gate: Gate, clock: ManualClock) -> None:
    assert await enter(gate, Priority.LOW, 100) == Pass(15)  # the reserve is not theirs
    waiting = enter(gate, Priority.LOW, 85)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    clock.advance(1_000)
    assert await waiting == Pass(10)
    assert gate.per_s == 10.0


async def test_critical_takes_the_reserve_and_goes_first(gate: Gate, clock: ManualClock) -> None:
    assert await enter(gate, Priority.LOW, 15) == Pass(15)
    low = enter(gate, Priority.LOW, 5)
    await asyncio.sleep(0.05)
    assert await enter(gate, Priority.CRITICAL, 5) == Pass(5)
    assert not low.done()
    critical = enter(gate, Priority.CRITICAL, 2)
    await asyncio.sleep(0.05)
    clock.advance(200)
    assert await critical == Pass(2)
    assert not low.done()
    clock.advance(1_000)
    assert (await low).count == 5


async def test_refusals_slow_it_down(gate: Gate) -> None:
    gate.report(fault(ErrorClass.THROTTLED, "429", ""))
    await eventually(lambda: gate.per_s == 5.0)


async def test_without_redis_they_wait(gate: Gate, bucket: TurnedBucket) -> None:
    bucket.away = True
    waiting = enter(gate, Priority.HIGH, 3)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    bucket.away = False
    assert await waiting == Pass(3)


async def free_gate(store: Store, clock: ManualClock, member: str = "alice") -> Gate:
    """The gate of an account without a limit."""
    bucket = TurnedBucket(store, None, clock, member)
    await bucket.open()
    return Gate("free", bucket, clock=clock)


async def test_without_a_limit_a_429_makes_one_that_disappears_when_it_is_quiet(store: Store, clock: ManualClock) -> None:
    gate = await free_gate(store, clock)
    assert await enter(gate, Priority.LOW, 700) == Pass(700)
    assert gate._server is None  # and nobody asked Redis
    for _ in range(300):
        clock.advance(10)
        gate.note_begun(1)
    gate.report(fault(ErrorClass.THROTTLED, "429", ""))
    assert gate.limited
    await eventually(lambda: 30 < gate.per_s < 60)  # half of what it was doing
    waiting = enter(gate, Priority.LOW, 700)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    clock.advance(1_000)
    assert 0 < (await waiting).count < 100
    clock.advance(80_000)
    assert await enter(gate, Priority.LOW, 700) == Pass(700)
    assert gate.per_s == 0.0
    await gate.close()


async def test_other_processes_learn_of_a_429(store: Store, clock: ManualClock) -> None:
    alice, bob = await free_gate(store, clock), await free_gate(store, clock, "bob")
    alice.report(fault(ErrorClass.THROTTLED, "429", ""))
    await eventually(lambda: alice.per_s > 0)
    assert (bob.limited, bob.per_s) == (False, 0.0)
    await bob.look()
    assert (bob.limited, bob.per_s) == (True, alice.per_s)
    clock.advance(120_000)
    await bob.look()
    assert (bob.limited, bob.per_s) == (False, 0.0)
    await alice.close()
    await bob.close()


async def test_limits_of_the_settings_make_gates(store: Store) -> None:
    settings = Settings.model_validate(
        {
            "limits": {"twilio": {"per_s": 2.5, "reserve": 1}},
            "twilio": {"account_sid": "AC1", "from_number": "+1500"},
            "sendgrid": {"api_key": "SG.secret"},
        }
    )
    gates = await open_gates(settings, store)
    assert {name: gate.per_s for name, gate in gates.items() if gate.limited} == {"twilio": 2.5}
    assert gates.keys() == {"sendgrid", "smtp", "twilio", "fcm", "apns"}
    assert rate(settings.limits["twilio"]) == Rate(2.5, 3, 1)
    assert rate(LimitSettings(per_s=0.1, burst=7)).burst == 7
    assert account(settings, "twilio") == "twilio:AC1:+1500"
    assert "secret" not in account(settings, "sendgrid")
