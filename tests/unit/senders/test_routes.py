"""Which provider takes what."""

import asyncio
from collections.abc import Sequence

import pytest

from core.arrivals import MINUTE_MS
from core.clock import ManualClock
from core.model import Channel, ErrorClass
from fastpath import Record
from senders.breaker import MIN_FAILURES, PAUSE_FIRST_MS
from senders.gate import Gate, Pass
from senders.lanes import Lanes
from senders.provider import Desk, Message, fault, sent
from senders.routes import UNCONFIGURED, Routes
from senders.selection import PUSH_POOLS, Candidate, Selection
from tests.unit.senders.kit import NOW, PUSH, Notes, delivery, messages


class Echo:
    """A provider that takes everything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        for message in messages:
            if await desk.begin(message):
                desk.end(message, sent(self.name))

    async def close(self) -> None:
        self.closed = True


class Broken(Echo):
    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        raise ZeroDivisionError


async def test_each_goes_to_its_own_and_knows_it() -> None:
    fcm, apns = Echo("fcm"), Echo("apns")
    routes, desk = Routes(Channel.PUSH, {"fcm": fcm, "apns": apns}, PUSH_POOLS), Notes()
    found = messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2, 1))
    await routes.send(found, desk)
    assert [desk.answers[i].provider_id for i in range(3)] == ["fcm", "apns", "fcm"]
    assert [m.provider for m in found] == ["fcm", "apns", "fcm"]
    await routes.close()
    assert fcm.closed
    assert apns.closed


async def test_an_unconfigured_provider_is_nobodys_fault_but_ours() -> None:
    routes, desk = Routes(Channel.PUSH, {"fcm": Echo("fcm")}, PUSH_POOLS), Notes()
    await routes.send(messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2)), desk)
    assert desk.answers[0].error_class is ErrorClass.NONE
    assert (desk.answers[1].error_class, desk.answers[1].code) == (ErrorClass.MISCONFIGURED, UNCONFIGURED)


async def test_one_providers_bug_does_not_stop_the_other() -> None:
    routes, desk = Routes(Channel.PUSH, {"fcm": Broken("fcm"), "apns": Echo("apns")}, PUSH_POOLS), Notes()
    with pytest.raises(ZeroDivisionError):
        await routes.send(messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2)), desk)
    assert list(desk.answers) == [1]


class Slow(Echo):
    """A provider that lets so much time pass before it answers."""

    def __init__(self, name: str, clock: ManualClock, took_ms: int) -> None:
        super().__init__(name)
        self.clock = clock
        self.took_ms = took_ms

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        for message in messages:
            assert await desk.begin(message)
            message.begun_ms = self.clock.now_ms()
            self.clock.advance(self.took_ms)
            desk.end(message, sent(f"{self.name}-{message.place}"))


async def test_a_provider_that_became_slow_loses_weight_beside_its_peers() -> None:
    clock = ManualClock(NOW)
    slow, quick = Slow("a", clock, 100), Slow("b", clock, 50)
    selection = Selection([Candidate("a"), Candidate("b")])
    routes = Routes(Channel.EMAIL, {"a": slow, "b": quick}, {0: selection}, clock=clock)
    many = [delivery(f"u{i}@example.org") for i in range(400)]
    await routes.send(messages(many), Notes())
    assert {c.promptness for c in routes.conditions().values()} == {1.0}
    slow.took_ms = 8_000
    await routes.send(messages(many[:100]), Notes())
    assert routes.conditions()["a"].promptness < 0.5
    assert routes.conditions()["b"].promptness == 1.0
    assert selection.shares(routes.conditions())["b"] > 0.65
    await routes.close()


async def test_what_will_be_told_of_later_is_counted_by_its_minute() -> None:
    routes = Routes(Channel.EMAIL, {"a": Echo("a")}, {0: Selection([Candidate("a")])})
    minutes = (5, 5, 7)
    found = messages(delivery(accepted_ms=minute * MINUTE_MS + 1) for minute in minutes)
    await routes.send(found, Notes())
    assert routes.gates["a"].taken == {5: 2, 7: 1}
    await routes.close()


class Toll(Gate):
    """A gate that lets so many pass at a time, and counts what it took from them."""

    def __init__(self, name: str, waves: Sequence[int]) -> None:
        super().__init__(name)
        self.waves = iter(waves)
        self.took = 0

    @property
    def limited(self) -> bool:
        return True

    async def enter(self, urgency: int, wanted: int, draining: asyncio.Event, patience_s: float) -> Pass:
        await asyncio.sleep(0)
        count = min(wanted, next(self.waves, wanted))
        self.took += count
        return Pass(count, paid=True)


class OneLane(Lanes):
    """Every domain's messages pass the one lane."""

    def __init__(self, gate: Gate, lane: Gate) -> None:
        super().__init__(gate)
        self.lane = lane

    def of(self, record: Record) -> Gate | None:
        return self.lane


@pytest.mark.parametrize("waves", [(1, 1, 1), (0, 2, 0, 1)])
async def test_who_paid_in_its_lane_pays_there_once_however_its_gate_lets_it_pass(waves: Sequence[int]) -> None:
    gate, lane = Toll("smtp", waves), Toll("a domain", ())
    routes = Routes(Channel.EMAIL, {"smtp": Echo("smtp")}, {0: Selection([Candidate("smtp")])}, {"smtp": gate})
    routes.lanes["smtp"] = OneLane(gate, lane)
    desk = Notes()
    await routes.send(messages(delivery() for _ in range(5)), desk)
    assert len(desk.answers) == 5
    assert (lane.took, gate.took) == (5, 5)


async def test_a_probe_that_its_provider_never_began_leaves_its_place() -> None:
    clock = ManualClock(NOW)
    gate = Gate("fcm", clock=clock)
    for _ in range(MIN_FAILURES):
        gate.report(fault(ErrorClass.TEMPORARY, "503", ""))
    clock.advance(PAUSE_FIRST_MS)
    routes = Routes(Channel.EMAIL, {"fcm": Broken("fcm")}, {0: Selection([Candidate("fcm")])}, {"fcm": gate})
    with pytest.raises(ZeroDivisionError):
        await routes.send(messages([delivery()]), Notes())
    assert gate.condition.wanting
    await routes.close()


def test_domains_are_told_apart_only_where_mailbox_providers_answer() -> None:
    routes = Routes(Channel.EMAIL, {n: Echo(n) for n in ("sendgrid", "smtp")}, {0: Selection([Candidate("smtp")])})
    assert set(routes.lanes) == {"smtp"}


@pytest.mark.parametrize("beside", [True, False])
async def test_what_only_an_open_provider_may_take_is_put_aside_while_another_takes_the_rest(beside: bool) -> None:
    clock = ManualClock(NOW)
    names = ("fcm", "apns") if beside else ("apns",)
    routes = Routes(Channel.PUSH, {name: Echo(name) for name in names}, PUSH_POOLS, clock=clock)
    gate, desk = routes.gates["apns"], Notes()
    for _ in range(MIN_FAILURES):
        gate.report(fault(ErrorClass.TEMPORARY, "503", ""))
    sending = asyncio.create_task(routes.send(messages([delivery("t", PUSH, channel=Channel.PUSH, platform=2)]), desk))
    done, _ = await asyncio.wait((sending,), timeout=0.2)
    assert bool(done) is beside  # alone its streams are not read, and what is in hand waits
    if beside:
        assert desk.postponed[0] >= gate.reopens_ms
    assert desk.begun == []
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await routes.close()
