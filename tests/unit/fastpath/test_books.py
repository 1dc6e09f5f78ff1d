"""What a sender's books need of many deliveries at once: outcomes as if written one by one, what is late, what is empty."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import layout
from fastpath.errors import FrameError
from tests.unit.fastpath.twins import ID, NATIVE, PURE, TEXT, THOROUGH, Implementation, fields, numbers, outcome

TOLD = {"station": 3, "attempts": 1, "at_ms": 9_000, "begun_ms": 8_000, "units": 2}
WORDS = {"provider": "twilio", "provider_id": "SM1", "code": "queued", "reason": "größer"}
SUBJECT, HTML, TEXT_PART = 1, 2, 3


def delivery(fast: Implementation, **more: Any) -> Any:
    return fast.records.record(layout.DELIVERY, id=ID, **more)


def content(fast: Implementation, *parts: tuple[int, bytes]) -> Any:
    return delivery(fast, content=fast.records.pack_parts(parts))


def test_each_item_gets_an_outcome_for_each_status(fast: Implementation) -> None:
    kept = {"priority": 2, "klass": 1, "channel": 3, "platform": 1, "device": 7, "version": 70_000}
    times = {"accepted_ms": -1, "expires_ms": 1 << 40, "queued_ms": 5}
    items = [delivery(fast, attempt=i * 255, type="x", provider="old", flags=1, extra=9, **kept, **times) for i in range(3)]
    made = fast.records.unpack_frame(fast.books.outcome_frame(items, (5, 6), error_class=4, **TOLD, **WORDS))
    expected = [
        fast.records.record(
            layout.OUTCOME, id=ID, status=status, attempt=i * 255 + 1, station=3, at_ms=9_000, sending_ms=8_000, extra=2,
            error_class=4, **kept, **times, **WORDS,
        )
        for i in range(3)
        for status in (5, 6)
    ]  # fmt: skip
    assert made == expected


def test_what_is_left_out_is_empty(fast: Implementation) -> None:
    (made,) = fast.records.unpack_frame(fast.books.outcome_frame([delivery(fast)], [11], station=3, attempts=0, at_ms=1))
    assert (made.provider, made.sending_ms, made.attempt, made.error_class, made.extra) == ("", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("items", "statuses", "more", "error"),
    [
        pytest.param(0, [5], {}, ValueError, id="no item"),
        pytest.param(1, [], {}, ValueError, id="no status"),
        pytest.param(1, [256], {}, ValueError, id="a status that does not fit"),
        pytest.param(1, [5], {"units": 1 << 32}, ValueError, id="units that do not fit"),
        pytest.param(1, [5], {"attempts": 65_536}, ValueError, id="an attempt that does not fit"),
        pytest.param(1, [5], {"attempts": -1}, ValueError, id="an attempt below zero"),
        pytest.param(1, [5], {"provider": b"x"}, TypeError, id="bytes for text"),
    ],
)
def test_what_does_not_fit_is_an_error(
    fast: Implementation, items: int, statuses: list[int], more: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        fast.books.outcome_frame([delivery(fast)] * items, statuses, **{**TOLD, **more})


def test_frames_are_joined_in_their_order(fast: Implementation) -> None:
    items = [delivery(fast, type=f"t{i}") for i in range(6)]
    pack = fast.records.pack_frame
    assert fast.books.join_frames([pack(items[:1]), pack(items[1:4]), pack(items[4:])]) == pack(items)
    assert fast.books.join_frames([pack(items)]) == pack(items)


def test_only_frames_of_one_kind_are_joined(fast: Implementation) -> None:
    frame = fast.records.pack_frame([delivery(fast)])
    other = fast.records.pack_frame([fast.records.record(layout.OUTCOME, id=ID)])
    with pytest.raises(ValueError, match="at least one"):
        fast.books.join_frames([])
    with pytest.raises(ValueError, match="kinds"):
        fast.books.join_frames([frame, other])
    for damaged in (b"", frame[:7], b"XF" + frame[2:], frame[:2] + b"\2" + frame[3:]):
        with pytest.raises(FrameError):
            fast.books.join_frames([frame, damaged])


def test_more_records_than_a_frame_counts_are_refused(fast: Implementation) -> None:
    many = layout.MAGIC + bytes((layout.VERSION, layout.OUTCOME)) + b"\xff" * 4
    with pytest.raises(ValueError, match="4 bytes"):
        fast.books.join_frames([many, many])


def test_overdue_is_at_its_expiry_and_after_it(fast: Implementation) -> None:
    items = [delivery(fast, expires_ms=ms) for ms in (0, 999, 1000, 1001, -5)]
    assert fast.books.overdue(items, 1000) == [1, 2, 4]
    assert fast.books.overdue([], 1000) == []
    with pytest.raises(ValueError, match="8 bytes"):
        fast.books.overdue(items, 1 << 63)


def test_lacking_are_those_with_none_of_the_parts(fast: Implementation) -> None:
    items = [
        content(fast, (SUBJECT, b"s"), (HTML, b""), (TEXT_PART, b"t")),
        content(fast, (SUBJECT, b"s")),
        content(fast),
        content(fast, (HTML, b"h")),
        content(fast, (SUBJECT, b"s"), (HTML, b""), (TEXT_PART, b"")),
    ]
    assert fast.books.lacking(items, bytes((HTML, TEXT_PART))) == [1, 2, 4]
    assert fast.books.lacking(items, b"") == [0, 1, 2, 3, 4]


def test_only_deliveries_have_content(fast: Implementation) -> None:
    with pytest.raises(TypeError):
        fast.books.lacking([fast.records.record(layout.OUTCOME, id=ID)], b"\1")


def test_damaged_content_is_a_frame_error(fast: Implementation) -> None:
    whole = fast.records.pack_parts([(HTML, b"hello"), (SUBJECT, b"s")])
    for damaged in (whole[:-1], whole[:7], whole[:3], whole + whole, whole[:1] + b"\xff" * 4 + whole[5:]):
        with pytest.raises(FrameError):
            fast.books.lacking([delivery(fast, content=damaged)], bytes((HTML,)))


def test_what_is_no_record_is_a_type_error() -> None:
    for items in ([None], [b"x"], ["x"]):
        with pytest.raises(TypeError):
            NATIVE.books.outcome_frame(items, [5], **TOLD)
        with pytest.raises(TypeError):
            NATIVE.books.overdue(items, 1)
        with pytest.raises(TypeError):
            NATIVE.books.lacking(items, b"\1")
    with pytest.raises(TypeError):
        NATIVE.books.join_frames([None])


SMALL = st.integers(-1, 1 << 16)


@THOROUGH
@given(
    items=st.lists(fields(layout.DELIVERY), max_size=4),
    statuses=st.lists(st.integers(-1, 256), max_size=2),
    attempts=SMALL,
    station=SMALL,
    error_class=SMALL,
    units=numbers("extra"),
    times=st.tuples(numbers("at_ms"), numbers("sending_ms")),
    words=st.tuples(TEXT, TEXT, TEXT, TEXT),
)
def test_both_write_the_same_outcomes(
    items: list[dict[str, Any]],
    statuses: list[int],
    attempts: int,
    station: int,
    error_class: int,
    units: int,
    times: tuple[int, int],
    words: tuple[str, ...],
) -> None:
    told: dict[str, Any] = {"station": station, "attempts": attempts, "error_class": error_class, "units": units}
    told |= {"at_ms": times[0], "begun_ms": times[1]}
    told |= dict(zip(WORDS, words, strict=True))
    made = [outcome(t.books.outcome_frame, [delivery(t, **each) for each in items], statuses, **told) for t in (NATIVE, PURE)]
    assert made[0] == made[1]


@THOROUGH
@given(parts=st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=9))), cut=st.integers(0, 20), junk=st.binary(max_size=9))
def test_both_find_the_same_lacking(parts: list[tuple[int, bytes]], cut: int, junk: bytes) -> None:
    packed = NATIVE.records.pack_parts(parts)
    damaged = packed[: max(len(packed) - cut, 0)] + junk
    for said in (packed, damaged, junk):
        native, pure = (outcome(t.books.lacking, [delivery(t, content=said)], b"\1\2") for t in (NATIVE, PURE))
        assert native == pure
