"""What a lane reads next, and what it never hands out twice."""

import asyncio

from core.lane import FAIR_TURN, FEW, Lane
from core.streams import Entry

SOURCES = ["critical", "high", "medium", "low"]


def entry(id_: str, *, waiting: bool = False, deliveries: int = 1) -> Entry:
    return Entry("low", id_, b"", waiting, deliveries)


def test_the_order_is_strict_but_now_and_then_reversed() -> None:
    lane = Lane(0, SOURCES)
    turns = [lane.readable(4) for _ in range(2 * FAIR_TURN)]
    assert turns.count(SOURCES[::-1]) == 2
    assert all(turn in (SOURCES, SOURCES[::-1]) for turn in turns)


def test_with_all_hands_full_only_the_most_urgent_stream_is_read() -> None:
    lane = Lane(0, SOURCES)
    for _ in range(2):
        lane.begin()
    assert lane.readable(2) == ["critical"]


async def test_there_are_as_many_places_again_for_the_most_urgent() -> None:
    lane = Lane(0, SOURCES)
    for _ in range(3):
        lane.begin()
    await asyncio.wait_for(lane.room(2), 1)
    lane.begin()
    waiting = asyncio.create_task(lane.room(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    lane.end()
    await asyncio.wait_for(waiting, 1)


async def test_who_is_behind_waits_while_slices_ahead_are_full_but_for_a_fair_turn() -> None:
    ahead = Lane(0, SOURCES[:1])
    behind = Lane(0, SOURCES[1:], ahead)
    assert await behind.let_by(0.001)
    let_by = []
    for _ in range(2 * FAIR_TURN):
        ahead.note_slice(100, 100)
        let_by.append(await behind.let_by(0.001))
    assert let_by == ([False] * (FAIR_TURN - 1) + [True]) * 2
    ahead.note_slice(100, 100)
    waiting = asyncio.create_task(behind.let_by(10))
    await asyncio.sleep(0)
    ahead.note_slice(99, 100)
    assert await asyncio.wait_for(waiting, 1)


def test_only_the_most_urgent_stream_of_all_is_urgent() -> None:
    whole, ahead = Lane(0, SOURCES), Lane(0, SOURCES[:1])
    behind = Lane(0, SOURCES[1:], ahead)
    critical, high = Entry("critical", "1-0", b""), Entry("high", "1-0", b"")
    assert [whole.is_urgent([critical, high]), whole.is_urgent([high])] == [True, False]
    assert [ahead.is_urgent([critical]), behind.is_urgent([high])] == [True, False]


def test_an_entry_in_hand_is_not_admitted_again() -> None:
    lane = Lane(0, SOURCES)
    assert lane.admit([entry("1-0"), entry("1-0", waiting=True)]) == [entry("1-0"), entry("1-0", waiting=True)]
    assert lane.admit([entry("1-0", deliveries=2)]) == []
    lane.begin()
    lane.end()
    assert lane.admit([entry("1-0", deliveries=2)]) == []  # Redis does not know yet
    lane.forget([entry("1-0")])
    assert lane.admit([entry("1-0", deliveries=2)]) == [entry("1-0", deliveries=2)]


def test_setbacks_and_orphans_are_adopted_when_due_and_only_once() -> None:
    lane = Lane(0, SOURCES)
    lane.set_back(entry("1-0"), 1000)
    lane.set_back(entry("9-0", waiting=True), 0)
    lane.orphans = [("low", "2-0", "bob"), ("low", "3-0", "bob"), ("low", "1-0", "")]
    lane.admit([entry("3-0")])
    assert lane.to_adopt(999) == {("low", "bob"): ["2-0"]}
    assert lane.to_adopt(1000) == {("low", ""): ["1-0"]}
    assert lane.to_adopt(5000) == {}


def test_a_lane_knows_how_many_entries_of_a_stream_it_holds() -> None:
    lane = Lane(0, SOURCES)
    lane.admit([entry("1-0"), entry("2-0"), entry("3-0", waiting=True)])
    lane.set_back(entry("4-0"), 1000)
    assert (lane.holds("low"), lane.holds("high")) == (3, 0)


def test_a_lane_that_is_quiet_waits_for_what_comes_until_it_is_time_to_look_or_much_comes() -> None:
    lane = Lane(0, SOURCES)
    assert lane.quiet_ms() == 0
    lane.note_nothing(100.0)
    lane.note_arrival(FEW)
    assert 90_000 < lane.quiet_ms() <= 100_000
    lane.note_arrival(FEW + 1)
    assert lane.quiet_ms() == 0
    lane.note_nothing(0.0)
    assert lane.quiet_ms() == 0
