"""The books of one entry: what is done, what Redis is told and when it is final."""

import random

import pytest

from core import keys
from core.model import Channel, ErrorClass
from core.streams import Entry
from fastpath import FrameError, pack_frame, unpack_frame
from senders.aftermath import Aftermath, RetryPolicy, after_answer
from senders.provider import Answer, fault, sent
from senders.tally import Tally
from tests.unit.senders.kit import NOW, delivery

POLICY = RetryPolicy((1000,), (1000,), random.Random(1))


def entry(count: int, done: bytes = b"") -> Entry:
    return Entry("out", "1-1", pack_frame([delivery() for _ in range(count)]), done=done)


def aftermath(tally: Tally, index: int, answer: Answer) -> Aftermath:
    return after_answer(tally.records[index], "smtp", answer, begun_ms=NOW, now_ms=NOW, policy=POLICY)


def test_progress_then_the_end() -> None:
    tally = Tally(entry(10))
    assert tally.take(0, Channel.EMAIL) is None  # no news
    tally.add(0, aftermath(tally, 0, sent()))
    tally.add(9, aftermath(tally, 9, sent()))
    first = tally.take(3, Channel.EMAIL)
    assert first is not None
    assert first.done == bytes([0b0000_0001, 0b0000_0010])
    assert [a.stream for a in first.appends] == [keys.outcomes(3)]
    assert len(unpack_frame(first.appends[0].frame)) == 2
    for index in range(1, 9):
        tally.add(index, aftermath(tally, index, sent()))
    last = tally.take(3, Channel.EMAIL)
    assert last is not None
    assert last.done is None
    assert len(unpack_frame(last.appends[0].frame)) == 8
    assert tally.take(3, Channel.EMAIL) is None
    assert tally.rest() is None


def test_resumes_where_another_stopped() -> None:
    tally = Tally(entry(9, done=bytes([0b1111_1110, 0])))
    assert [i for i in range(9) if not tally.is_done(i)] == [0, 8]
    tally.add(0, aftermath(tally, 0, sent()))
    rest = tally.rest()
    assert rest is not None
    assert Tally(rest).is_done(0)
    tally.add(8, aftermath(tally, 8, sent()))
    settlement = tally.take(0, Channel.EMAIL)
    assert settlement is not None
    assert settlement.done is None


def test_an_entry_that_is_done_already_is_only_ended() -> None:
    settlement = Tally(entry(2, done=bytes([0b11]))).take(0, Channel.EMAIL)
    assert settlement is not None
    assert (settlement.appends, settlement.waits, settlement.done) == ((), (), None)


def test_an_item_is_noted_once() -> None:
    tally = Tally(entry(2))
    tally.add(0, aftermath(tally, 0, sent()))
    tally.add(0, aftermath(tally, 0, sent()))
    settlement = tally.take(0, Channel.EMAIL)
    assert settlement is not None
    assert len(unpack_frame(settlement.appends[0].frame)) == 1


def test_waits_and_letters_go_with_their_outcomes() -> None:
    tally = Tally(entry(2))
    tally.add(0, aftermath(tally, 0, fault(ErrorClass.TEMPORARY, "451", "")))
    settlement = tally.take(0, Channel.EMAIL)
    assert settlement is not None
    assert len(settlement.waits) == 1
    tried = unpack_frame(settlement.waits[0].frame)
    again = Tally(Entry("out", "2-1", pack_frame(tried), waiting=True))
    again.add(0, aftermath(again, 0, fault(ErrorClass.TEMPORARY, "451", "")))
    settlement = again.take(0, Channel.EMAIL)
    assert settlement is not None
    assert [a.stream for a in settlement.appends] == [keys.outcomes(0), keys.dead(0, Channel.EMAIL)]


def test_what_another_has_claimed_is_forgotten() -> None:
    tally = Tally(entry(1))
    tally.add(0, aftermath(tally, 0, sent()))
    tally.lost = True
    assert tally.take(0, Channel.EMAIL) is None
    assert tally.rest() is None


def test_a_damaged_frame_is_an_error() -> None:
    with pytest.raises(FrameError):
        Tally(Entry("out", "1-1", b"rubbish"))
