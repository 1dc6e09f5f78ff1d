"""The gate without Redis: who waits, who passes first, what the breaker's states mean to them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import senders.gate
from core.clock import ManualClock
from core.model import ErrorClass, Priority
from senders.breaker import MIN_FAILURES, PAUSE_FIRST_MS, PROBES, State
from senders.gate import NOBODY, Gate, Pass
from senders.provider import fault, sent
from senders.selection import Condition
from tests.helpers import eventually
from tests.unit.senders.kit import NOW

LONG = 30.0
IDLE = asyncio.Event


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders.gate, "POLL_S", 0.01)


@pytest.fixture
async def gate(clock: ManualClock) -> AsyncIterator[Gate]:
    made = Gate("p", clock=clock)
    yield made
    await made.close()


def trip(gate: Gate) -> None:
    for _ in range(MIN_FAILURES):
        gate.report(fault(ErrorClass.TEMPORARY, "503", ""))


def waiters(gate: Gate, *urgencies: int, wanted: int = 1) -> list[asyncio.Task[Pass]]:
    return [asyncio.create_task(gate.enter(urgency, wanted, IDLE(), LONG)) for urgency in urgencies]


async def test_a_well_provider_without_limit_lets_all_pass_at_once(gate: Gate) -> None:
    assert await gate.enter(Priority.LOW, 700, IDLE(), LONG) == Pass(700)
    assert gate._server is None  # and nothing runs for it


async def test_an_open_gate_lets_nobody_pass_until_its_pause_is_over(gate: Gate, clock: ManualClock) -> None:
    trip(gate)
    assert (gate.state, gate.passable) == (State.OPEN, False)
    assert await gate.enter(Priority.CRITICAL, 1, IDLE(), 0.05) == NOBODY
    (waiter,) = waiters(gate, Priority.LOW, wanted=9)
    await asyncio.sleep(0.05)
    assert not waiter.done()
    clock.advance(PAUSE_FIRST_MS)
    assert await waiter == Pass(1, probe=True)


async def test_one_probe_at_a_time_the_most_urgent_first(gate: Gate, clock: ManualClock) -> None:
    trip(gate)
    low, high, critical, medium = waiters(gate, Priority.LOW, Priority.HIGH, Priority.CRITICAL, Priority.MEDIUM)
    await asyncio.sleep(0)
    clock.advance(PAUSE_FIRST_MS)
    for nth, waiter in enumerate((critical, high, medium)):
        assert await waiter == Pass(1, probe=True)
        assert not low.done()
        assert nth < PROBES
        gate.report(sent(), probe=True)
    assert gate.passable
    assert await low == Pass(1)


async def test_a_failed_probe_turns_all_away(gate: Gate, clock: ManualClock) -> None:
    trip(gate)
    first, second = waiters(gate, Priority.HIGH, Priority.LOW)
    await asyncio.sleep(0)
    clock.advance(PAUSE_FIRST_MS)
    assert (await first).probe
    gate.report(fault(ErrorClass.UNREACHABLE, "connect", ""), probe=True)
    assert gate.state is State.OPEN
    assert await second == NOBODY


async def test_a_probe_that_was_not_sent_leaves_its_place(gate: Gate, clock: ManualClock) -> None:
    trip(gate)
    clock.advance(PAUSE_FIRST_MS)
    assert gate.condition.wanting
    first, second = waiters(gate, Priority.HIGH, Priority.LOW)
    assert (await first).probe
    assert gate.condition == Condition(State.HALF_OPEN, gate.failures)  # it has its probe
    assert not second.done()
    gate.forgo()
    assert (await second).probe


async def test_late_answers_from_before_it_opened_decide_nothing(gate: Gate, clock: ManualClock) -> None:
    trip(gate)
    clock.advance(PAUSE_FIRST_MS)
    gate.report(fault(ErrorClass.AMBIGUOUS, "no_answer", ""))
    for _ in range(PROBES):
        gate.report(sent())
    assert gate.state is State.HALF_OPEN


async def test_a_calls_answer_is_one_piece_of_news(gate: Gate) -> None:
    answer = fault(ErrorClass.TEMPORARY, "503", "")
    for _ in range(1000):
        gate.report(answer)
    assert gate.state is State.CLOSED


async def test_throttling_is_no_illness(gate: Gate) -> None:
    for _ in range(100):
        gate.report(fault(ErrorClass.THROTTLED, "429", ""))
    assert (gate.state, gate.failures) == (State.CLOSED, 0.0)


async def test_a_drain_wakes_who_waits(gate: Gate) -> None:
    trip(gate)
    draining = asyncio.Event()
    waiting = [asyncio.create_task(gate.enter(Priority.LOW, 5, draining, LONG)) for _ in range(3)]
    await asyncio.sleep(0.02)
    draining.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [NOBODY] * 3
    assert await gate.enter(Priority.LOW, 5, draining, LONG) == NOBODY
    await eventually(lambda: gate._server is None)


async def test_a_held_gate_lets_nobody_pass(gate: Gate) -> None:
    gate.held = True
    (waiter,) = waiters(gate, Priority.CRITICAL)
    await asyncio.sleep(0.05)
    assert not waiter.done()
    assert not gate.passable
    gate.held = False
    assert await waiter == Pass(1)


async def test_who_lost_patience_is_not_remembered_behind_a_more_urgent_one(gate: Gate) -> None:
    gate.held = True
    (urgent,) = waiters(gate, Priority.HIGH)
    for _ in range(20):
        assert await gate.enter(Priority.LOW, 5, IDLE(), 0.001) == NOBODY
    assert len(gate._waiters) == 1
    gate.held = False
    assert await urgent == Pass(1)


async def test_who_gave_up_takes_nobodys_place(gate: Gate, clock: ManualClock) -> None:
    trip(gate)
    gone, stays = waiters(gate, Priority.CRITICAL, Priority.LOW)
    await asyncio.sleep(0)
    gone.cancel()
    clock.advance(PAUSE_FIRST_MS)
    assert (await stays).probe
