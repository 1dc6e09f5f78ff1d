"""Claims: which marks are laid claim to, what is asked of Redis, who is told that he came too late."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import layout
from fastpath.errors import FrameError
from fastpath.values import Letter, Plan, Target
from tests.unit.fastpath.twins import ID, NATIVE, PURE, TEXT, THOROUGH, Implementation, fields, outcome

SENT = Plan((Letter(Target(1, "a@b.c"), "de", b"", b""),), (), 3)
REFUSED = Plan((), (), 3)


def notification(fast: Implementation, **given_fields: Any) -> Any:
    return fast.records.record(layout.NOTIFICATION, id=given_fields.pop("id", ID), **given_fields)


def claims(fast: Implementation, seen: Any = None, now_ms: int = 0) -> Any:
    return fast.claims.Claims(fast.dedupe.LocalFilter(100) if seen is None else seen, 90_000, now_ms)


def test_a_key_is_claimed_by_its_place_in_the_stream(fast: Implementation) -> None:
    made = claims(fast)
    made.ask("5-1", [notification(fast), notification(fast, mark="key")], [None, REFUSED])
    assert made.strange() == (["ikey"], ["5-1:1"], [90_000])


def test_content_is_claimed_by_the_id_if_it_goes_out(fast: Implementation) -> None:
    made = claims(fast)
    record = notification(fast, recipient_id="ada", type="t", template="order", data=b"{}", extra=60)
    made.ask("5-1", [record, record, record, notification(fast)], [None, REFUSED, SENT, SENT])
    digest = fast.dedupe.content_hash(b"ada", "t", "order", 3, b"{}").hex()
    assert made.strange() == ([f"c{digest}"], [ID.hex()], [60])


@pytest.mark.parametrize(
    ("named", "recipient"),
    [
        ({"recipient_id": "r", "email": "e", "phone": "p", "devices": b"d"}, b"r"),
        ({"email": "e", "phone": "p", "devices": b"d"}, b"e"),
        ({"phone": "p", "devices": b"d"}, b"p"),
        ({"devices": b"d"}, b"d"),
        ({}, b""),
    ],
)
def test_content_is_its_recipients(fast: Implementation, named: dict[str, Any], recipient: bytes) -> None:
    made = claims(fast)
    made.ask("1-0", [notification(fast, extra=1, **named)], [SENT])
    assert made.strange()[0] == ["c" + fast.dedupe.content_hash(recipient, "", "", 3, b"").hex()]


def test_who_came_too_late_is_told_whose_it_is(fast: Implementation) -> None:
    made = claims(fast)
    copy, repeated = notification(fast, mark="key"), notification(fast, extra=60)
    made.ask("5-1", [copy], [SENT])
    made.ask("5-2", [notification(fast), repeated], [SENT, SENT])
    made.strange()
    assert made.settle([b"4-0:7", b"abcd"]) == [(0, 0, False, "4-0:7"), (1, 1, True, "abcd")]


def test_ours_is_ours_also_when_asked_again(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(100)
    for _ in range(2):
        made = claims(fast, seen)
        made.ask("5-1", [notification(fast, mark="key", extra=60)], [SENT])
        asked = made.strange()[0]
        assert made.settle([None] * len(asked)) == []
    assert asked == [], "the filter knows it"
    made = claims(fast)
    made.ask("5-1", [notification(fast, mark="key")], [SENT])
    made.strange()
    assert made.settle([b"5-1:0"]) == [], "we died after marking it"


def test_the_filter_answers_for_redis_until_the_time_is_up(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(100)
    first, second = notification(fast, extra=60), notification(fast, extra=60, id=bytes(16))
    made = claims(fast, seen, 1000)
    made.ask("1-0", [first], [SENT])
    made.strange()
    made.settle([None])
    for now_ms, late in ((60_999, [(0, 0, True, ID.hex())]), (61_000, [])):
        made = claims(fast, seen, now_ms)
        made.ask("2-0", [second], [SENT])
        assert made.settle([None] * len(made.strange()[0])) == late


def test_of_anothers_mark_nothing_is_remembered(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(100)
    made = claims(fast, seen)
    made.ask("5-1", [notification(fast, mark="key")], [SENT])
    made.strange()
    made.settle([b"4-0:7"])
    assert len(seen) == 0


@pytest.mark.parametrize("replies", [[], [None, None]])
def test_there_is_a_reply_for_each_mark(fast: Implementation, replies: list[None]) -> None:
    made = claims(fast)
    made.ask("5-1", [notification(fast, mark="key")], [SENT])
    made.strange()
    with pytest.raises(ValueError):
        made.settle(replies)


def test_what_cannot_lay_claim(fast: Implementation) -> None:
    with pytest.raises(ValueError):
        claims(fast).ask("5-1", [notification(fast)], [])
    frame = fast.records.pack_frame([notification(fast, mark="mark-here")])
    (damaged,) = fast.records.unpack_frame(frame.replace(b"mark-here", b"mark-\xff\xff\xff\xff"))
    with pytest.raises(FrameError):
        claims(fast).ask("5-1", [damaged], [None])
    with pytest.raises((TypeError, AttributeError)):
        claims(fast).ask("5-1", [fast.records.record(layout.OUTCOME, id=ID)], [None])


@THOROUGH
@given(st.data())
def test_twins_claim_alike(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 5))
    sources = [data.draw(fields(layout.NOTIFICATION)) for _ in range(count)]
    plans = data.draw(st.lists(st.sampled_from([None, REFUSED, SENT]), min_size=count, max_size=count))
    replies = st.none() | st.sampled_from([b"1-0:0", b"1-0:1", ID.hex().encode()])
    answers: list[Any] = [data.draw(replies) for _ in range(2 * count)]

    def run(fast: Implementation) -> Any:
        made = claims(fast)
        made.ask("1-0", [notification(fast, **each) for each in sources], plans)
        asked = made.strange()
        return asked, made.settle(answers[: len(asked[0])]), outcome(fast.claims.pack_claims, "p:", *asked)

    assert run(NATIVE) == run(PURE)


@THOROUGH
@given(TEXT, st.lists(st.tuples(TEXT, TEXT, st.integers(-1, 1 << 33)), max_size=5))
def test_twins_pack_alike(prefix: str, asks: list[tuple[str, str, int]]) -> None:
    marks, values, ttls = ([ask[i] for ask in asks] for i in range(3))
    native, pure = (outcome(fast.claims.pack_claims, prefix, marks, values, ttls) for fast in (NATIVE, PURE))
    assert native == pure


def test_claims_are_packed_as_redis_reads_them(fast: Implementation) -> None:
    commands = [["SET", "p:a", "1-0:0", "NX", "GET", "EX", 3600], ["SET", "p:\u00e9", "", "NX", "GET", "EX", 1]]
    packed = fast.claims.pack_claims("p:", ["a", "\u00e9"], ["1-0:0", ""], [3600, 1])
    assert packed == fast.resp.pack_commands(commands)
    with pytest.raises(ValueError):
        fast.claims.pack_claims("p:", ["a"], [], [1])
