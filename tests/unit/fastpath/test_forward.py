"""What is forwarded: the same frames from both implementations, whatever the notification and the plan; damage is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import layout
from fastpath.errors import FrameError
from fastpath.values import Letter, Plan, Refusal, Target
from tests.unit.fastpath.twins import ID, NATIVE, PURE, TEXT, THOROUGH, Implementation, fields, outcome

LETTER = Letter(Target(1, "a@b.c", 0, 0), "de", b"content", b"[]")
BYTE = st.integers(-1, 256)
TARGETS = st.builds(Target, BYTE, TEXT, BYTE, BYTE)
LETTERS = st.builds(Letter, TARGETS, TEXT, st.binary(max_size=40), st.binary(max_size=40))
REFUSALS = st.builds(Refusal, BYTE, BYTE, TEXT, TEXT, st.binary(max_size=40), BYTE)
PLANS = st.builds(
    Plan, st.lists(LETTERS, max_size=3).map(tuple), st.lists(REFUSALS, max_size=3).map(tuple), st.integers(0, 1 << 32)
)


def outgoing(fast: Implementation, max_records: int = 9, max_bytes: int = 9999) -> Any:
    return fast.forward.Outgoing(7, station=2, queued=3, max_records=max_records, max_bytes=max_bytes)


def notification(fast: Implementation, **given_fields: Any) -> Any:
    return fast.records.record(layout.NOTIFICATION, id=ID, **given_fields)


def sent(fast: Implementation, given_fields: list[Any], plans: list[Any], traceparents: Any, limits: tuple[int, int]) -> Any:
    """Everything that can be read of what was added."""

    def add() -> Any:
        made = outgoing(fast, *limits)
        made.add([notification(fast, **each) for each in given_fields], plans, traceparents)
        tally = {key: [record.raw for record in records] for key, records in made.tally().items()}
        return made.deliveries(), made.outcomes(), tally

    return outcome(add)


@THOROUGH
@given(st.data())
def test_twins_forward_alike(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 5))
    sources = [data.draw(fields(layout.NOTIFICATION)) for _ in range(count)]
    plans = [data.draw(st.none() | PLANS) for _ in range(count)]
    traceparents = data.draw(st.none() | st.lists(TEXT, min_size=count, max_size=count))
    limits = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 999))
    assert sent(NATIVE, sources, plans, traceparents, limits) == sent(PURE, sources, plans, traceparents, limits)


def test_a_frame_ends_before_it_has_too_many_records_or_bytes(fast: Implementation) -> None:
    source, plan = notification(fast), Plan((LETTER,))
    made = outgoing(fast, max_records=2)
    made.add([source] * 3, [plan] * 3)
    ((channel, priority, frames),) = made.deliveries()
    assert (channel, priority, [len(fast.records.unpack_frame(frame)) for frame in frames]) == (1, 0, [2, 1])
    size = len(frames[1]) - layout.FRAME_HEADER
    for limit, counts in ((2 * size, [2, 1]), (2 * size - 1, [1, 1, 1]), (1, [1, 1, 1])):
        made = outgoing(fast, max_bytes=limit)
        made.add([source] * 3, [plan] * 3)
        assert [len(fast.records.unpack_frame(frame)) for frame in made.deliveries()[0][2]] == counts


def test_what_was_handed_out_stays_while_more_is_added(fast: Implementation) -> None:
    made = outgoing(fast)
    made.add([notification(fast, type="one")], [Plan((LETTER,))])
    first = made.outcomes()[0]
    made.add([notification(fast, type="two")], [Plan((LETTER,))])
    assert [record.type for record in fast.records.unpack_frame(first)] == ["one"]
    assert [record.type for frame in made.outcomes() for record in fast.records.unpack_frame(frame)] == ["one", "two"]


@pytest.mark.parametrize("name", ["type", "recipient_id", "template", "source", "traceparent"])
def test_text_that_is_not_utf_8_goes_no_further(fast: Implementation, name: str) -> None:
    frame = fast.records.pack_frame([notification(fast, **{name: "text-here"})])
    (source,) = fast.records.unpack_frame(frame.replace(b"text-here", b"text-\xff\xfe\xfd\xfc"))
    with pytest.raises(FrameError, match=f"{name} is not UTF-8"):
        outgoing(fast).add([source], [Plan((LETTER,))])


NO_PLANS: list[Any] = [
    (),
    (((),), (), 1),
    ((((), "", b"", b""),), (), 1),
    ((), ((1,),), 1),
    (((LETTER[0], "de", "x", b""),), (), 1),
]


@pytest.mark.parametrize("plan", NO_PLANS)
def test_what_is_no_plan_is_refused(fast: Implementation, plan: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        outgoing(fast).add([notification(fast)], [plan])


def test_only_notifications_are_forwarded() -> None:
    delivery = NATIVE.records.record(layout.DELIVERY, id=ID)
    with pytest.raises(TypeError):
        outgoing(NATIVE).add([delivery], [Plan((LETTER,))])
    with pytest.raises(TypeError):
        outgoing(NATIVE).add([NATIVE.records.Record.__new__(NATIVE.records.Record)], [Plan((LETTER,))])


def test_lists_of_different_lengths_are_refused(fast: Implementation) -> None:
    for plans, traceparents in (([], None), ([None], []), ([None] * 2, None)):
        with pytest.raises(ValueError):
            outgoing(fast).add([notification(fast)], plans, traceparents)
