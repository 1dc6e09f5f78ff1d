"""The bound on calls in flight: never passed, the urgent first, nothing lost by cancelling."""

import asyncio
from collections.abc import Sequence

import pytest

from core.model import Priority
from senders.provider import Answer, Message, sent
from senders.turnstile import AHEAD, Turnstile, one_by_one
from tests.helpers import eventually
from tests.unit.senders.kit import Notes, delivery, messages


async def test_the_urgent_go_first() -> None:
    gate = Turnstile(1)
    order: list[str] = []
    held = asyncio.Event()

    async def pass_(name: str, urgency: int) -> None:
        async with gate.pass_(urgency):
            order.append(name)
            if name == "first":
                await held.wait()

    tasks = [asyncio.create_task(pass_("first", 4))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(pass_(name, urgency)) for name, urgency in (("low", 4), ("low2", 4), ("critical", 1))]
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "critical", "low", "low2"]


async def test_a_cancelled_waiter_leaves_its_place_to_others() -> None:
    gate = Turnstile(1)
    async with gate.pass_(1):
        waiters = [asyncio.create_task(gate.enter(1)) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
    await asyncio.wait_for(waiters[1], 1)  # it got the place
    late = asyncio.create_task(gate.enter(1))
    await asyncio.sleep(0)
    gate.leave()  # hands the place to `late`,
    late.cancel()  # which is cancelled before it knows
    await asyncio.gather(late, return_exceptions=True)
    async with asyncio.timeout(1), gate.pass_(1):
        pass


async def test_one_by_one_never_passes_its_limit() -> None:
    running = peak = 0

    async def attempt(message: Message) -> Answer:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1
        return sent(str(message.place))

    gate, desks = Turnstile(3), [Notes(), Notes(refuse=[2, 5])]
    sends = [one_by_one(gate, messages(delivery() for _ in range(10)), desk, attempt) for desk in desks]
    await asyncio.gather(*sends)
    assert peak == 3
    assert sorted(desks[0].answers) == list(range(10))
    assert sorted(desks[1].answers) == [0, 1, 3, 4, 6, 7, 8, 9]
    assert desks[0].answers[4].provider_id == "4"


async def test_a_bug_leaves_its_message_open_and_sees_to_the_others() -> None:
    async def attempt(message: Message) -> Answer:
        if message.place == 1:
            raise ZeroDivisionError
        return sent()

    desk = Notes()
    with pytest.raises(ZeroDivisionError):
        await one_by_one(Turnstile(2), messages(delivery() for _ in range(4)), desk, attempt)
    assert sorted(desk.answers) == [0, 2, 3]
    assert sorted(desk.begun) == [0, 1, 2, 3]


async def test_a_bug_of_the_desk_is_raised_once_the_others_are_in_its_books() -> None:
    class Torn(Notes):
        def end_all(self, messages: Sequence[Message], answer: Answer) -> None:
            if messages[0].place == 1:
                raise ZeroDivisionError
            super().end_all(messages, answer)

    async def attempt(message: Message) -> Answer:
        await asyncio.sleep(0)  # all are answered in one turn of the loop
        return sent()

    desk = Torn()
    with pytest.raises(ZeroDivisionError):
        await one_by_one(Turnstile(4), messages(delivery() for _ in range(4)), desk, attempt)
    assert sorted(desk.answers) == [0, 2, 3]


async def test_an_answer_is_in_the_books_while_others_are_waited_for() -> None:
    go = asyncio.Event()

    async def attempt(message: Message) -> Answer:
        if message.place:
            await go.wait()
        return sent()

    desk = Notes()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(one_by_one(Turnstile(2), messages(delivery() for _ in range(2)), desk, attempt))
        await eventually(lambda: 0 in desk.answers)
        assert 1 not in desk.answers
        go.set()


async def test_messages_are_prepared_a_few_at_a_time_before_they_begin() -> None:
    told, taken = list[int](), list[tuple[int, int]]()

    def prepare(some: Sequence[Message]) -> None:
        told.extend(message.place for message in some)

    async def attempt(message: Message) -> Answer:
        taken.append((message.place, len(told)))
        return sent()

    await one_by_one(Turnstile(1), messages(delivery() for _ in range(AHEAD + 1)), Notes(), attempt, prepare)
    assert told == list(range(AHEAD + 1))
    assert taken == [*((place, AHEAD) for place in range(AHEAD)), (AHEAD, AHEAD + 1)]


async def test_critical_overtakes_a_slice_of_low() -> None:
    gate, order = Turnstile(1), list[Priority]()
    go = asyncio.Event()

    async def attempt(message: Message) -> Answer:
        order.append(Priority(message.record.priority))
        await go.wait()
        return sent()

    low = messages(delivery(priority=Priority.LOW) for _ in range(5))
    critical = messages([delivery(priority=Priority.CRITICAL)])
    first = asyncio.create_task(one_by_one(gate, low, Notes(), attempt))
    await eventually(lambda: order)
    second = asyncio.create_task(one_by_one(gate, critical, Notes(), attempt))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, second)
    assert order[1] is Priority.CRITICAL


async def test_who_came_first_is_served_first_however_many_they_are() -> None:
    gate, order = Turnstile(2), list[str]()

    async def attempt(message: Message) -> Answer:
        order.append(message.record.address)
        await asyncio.sleep(0)
        return sent()

    batches = [messages(delivery(name) for _ in range(6)) for name in "abc"]
    sends = [asyncio.create_task(one_by_one(gate, batch, Notes(), attempt)) for batch in batches]
    await eventually(lambda: order)
    await asyncio.gather(*sends)
    assert order == ["a"] * 6 + ["b"] * 6 + ["c"] * 6


async def test_after_the_urgent_ones_who_came_first_goes_on() -> None:
    gate, order, go = Turnstile(1), list[str](), asyncio.Event()

    async def attempt(message: Message) -> Answer:
        order.append(message.record.address)
        await go.wait()
        return sent()

    def start(name: str, priority: Priority = Priority.LOW) -> asyncio.Task[None]:
        batch = messages(delivery(name, priority=priority) for _ in range(4))
        return asyncio.create_task(one_by_one(gate, batch, Notes(), attempt))

    sends = [start("a"), start("b")]
    await eventually(lambda: order)
    sends.append(start("critical", Priority.CRITICAL))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*sends)
    assert order[1] == "critical"
    assert [name for name in order if name != "critical"] == ["a"] * 4 + ["b"] * 4


async def test_places_are_free_again_after_a_bug_a_refusal_and_a_cancelled_send() -> None:
    gate, hanging = Turnstile(2), asyncio.Event()

    async def attempt(message: Message) -> Answer:
        if message.place == 1:
            raise ZeroDivisionError
        await hanging.wait()
        return sent()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await one_by_one(gate, messages(delivery() for _ in range(5)), Notes(refuse=[0]), attempt)
    async with asyncio.timeout(1), gate.pass_(1), gate.pass_(1):
        pass
