"""Dead letters against a real Redis: found, filtered, replayed once, dropped."""

from typing import Any

import pytest

from core import keys
from core.clock import ManualClock
from core.deadletters import DeadLetters, Fate, Filter, Letter
from core.ids import new_id
from core.model import Channel, ErrorClass, Priority, Status
from core.store import Store
from core.streams import Append, Streams
from fastpath import Record, pack_frame, record, unpack_frame
from fastpath.layout import DELIVERY

CLOCK = ManualClock()
EVERYTHING = Filter()


def delivery(type_: str = "otp", channel: Channel = Channel.SMS, partition: int = 1, **more: int) -> Record:
    id_ = new_id(partition, Priority.HIGH, CLOCK.now_ms())
    fields: dict[str, Any] = {"attempt": 4, "error_class": ErrorClass.TEMPORARY, **more}
    return record(DELIVERY, id=id_, priority=2, klass=1, channel=channel, type=type_, address="+491", code="503", **fields)


async def bury(store: Store, *items: Record) -> None:
    await Streams(store).append([Append(keys.dead(1, Channel(item.channel)), pack_frame([item])) for item in items])


@pytest.fixture
async def letters(store: Store) -> DeadLetters:
    return await DeadLetters(store, 2, CLOCK).open()


async def found(letters: DeadLetters, wanted: Filter = EVERYTHING) -> list[Letter]:
    return [letter async for letter in letters.find(wanted)]


async def frames(store: Store, stream: str) -> list[Record]:
    return [unpack_frame(frame)[0] for _, frame in await Streams(store).peek(stream, 0, 2**47, 100)]


async def test_letters_are_found_by_channel_type_class_and_time(store: Store, letters: DeadLetters) -> None:
    await bury(store, delivery("otp"), delivery("news", Channel.EMAIL), delivery("otp", error_class=ErrorClass.POISON))
    everything = await found(letters)
    assert len(everything) == 3
    assert [x.record.type for x in await found(letters, Filter(channels=(Channel.EMAIL,))) if x.record] == ["news"]
    assert len(await found(letters, Filter(type="otp"))) == 2
    assert len(await found(letters, Filter(error_classes=frozenset({ErrorClass.POISON})))) == 1
    last = max(x.died_ms for x in everything)
    assert await found(letters, Filter(after_ms=last + 1)) == []
    assert len(await found(letters, Filter(until_ms=last + 1))) == 3


async def test_more_letters_than_a_page_are_found_once_each(store: Store, letters: DeadLetters) -> None:
    await bury(store, *[delivery() for _ in range(450)])
    assert len({x.entry_id for x in await found(letters)}) == 450


async def test_a_replayed_letter_goes_out_under_its_id_with_a_fresh_allowance(store: Store, letters: DeadLetters) -> None:
    item = delivery()
    await bury(store, item)
    (letter,) = await found(letters)
    assert await letters.replay(letter) is Fate.REPLAYED
    (again,) = await frames(store, keys.outbound(1, Channel.SMS, Priority.HIGH))
    assert (again.id, again.attempt, again.extra, again.queued_ms) == (item.id, 4, 4, CLOCK.now_ms())
    (note,) = await frames(store, keys.outcomes(1))
    assert (note.status, note.attempt) == (Status.QUEUED, 4)
    assert await found(letters) == []


async def test_two_operators_replay_a_letter_once(store: Store, letters: DeadLetters) -> None:
    await bury(store, delivery())
    (letter,) = await found(letters)
    assert [await letters.replay(letter), await letters.replay(letter)] == [Fate.REPLAYED, Fate.GONE]
    assert len(await frames(store, keys.outbound(1, Channel.SMS, Priority.HIGH))) == 1


async def test_a_letter_whose_time_is_over_ends_as_expired(store: Store, letters: DeadLetters) -> None:
    await bury(store, delivery(expires_ms=CLOCK.now_ms()))
    (letter,) = await found(letters)
    assert await letters.replay(letter) is Fate.EXPIRED
    assert [note.status for note in await frames(store, keys.outcomes(1))] == [Status.EXPIRED]
    assert await frames(store, keys.outbound(1, Channel.SMS, Priority.HIGH)) == []


async def test_a_dropped_letter_is_gone_and_its_timeline_says_so(store: Store, letters: DeadLetters) -> None:
    await bury(store, delivery())
    (letter,) = await found(letters)
    assert [await letters.drop(letter), await letters.drop(letter)] == [True, False]
    assert [note.status for note in await frames(store, keys.outcomes(1))] == [Status.CANCELLED]


async def test_what_cannot_be_read_can_be_dropped_but_not_replayed(store: Store, letters: DeadLetters) -> None:
    await Streams(store).append([Append(keys.dead(0, None), b"rubbish")])
    (letter,) = await found(letters)
    assert letter.record is None
    assert await letters.replay(letter) is Fate.UNREADABLE
    assert await letters.drop(letter)
    assert await found(letters) == []
