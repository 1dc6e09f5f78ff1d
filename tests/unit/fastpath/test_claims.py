"""Claims: which marks are laid claim to, what is asked of Redis, who is told that he came too late."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import layout
from fastpath.values import CONTENT_SPANS_S, KEY_SPAN_S, Letter, Lot, Plan, Target
from tests.unit.fastpath.twins import ID, NATIVE, PURE, THOROUGH, Implementation, fields, outcome

SENT = Plan((Letter(Target(1, "a@b.c"), "de", b"", b""),), (), 3)
REFUSED = Plan((), (), 3)
KEY_TTL_S = 90_000
NOW = 1_700_000_000_123
OTHER = b"somebody else's!"


def notification(fast: Implementation, **given_fields: Any) -> Any:
    return fast.records.record(layout.NOTIFICATION, id=given_fields.pop("id", ID), **given_fields)


def claims(fast: Implementation, seen: Any = None, now_ms: int = NOW) -> Any:
    return fast.claims.Claims(fast.dedupe.LocalFilter(100) if seen is None else seen, KEY_TTL_S, now_ms)


def claim(mark: bytes, value: bytes, ttl_s: int) -> bytes:
    """As it stands in a lot."""
    return mark + value + (NOW + 1000 * ttl_s).to_bytes(6)


def number(span_s: int, ttl_s: int) -> int:
    return (NOW + 1000 * ttl_s) // (1000 * span_s)


def content_of(fast: Implementation, **named: Any) -> Any:
    """The mark of content, of a notification with the given recipient."""
    made = claims(fast)
    made.ask("1-0", [notification(fast, extra=1, **named)], [SENT])
    (lot,) = made.strange()
    return lot.claims[:16]


def test_the_id_of_what_has_a_key_is_claimed_by_its_place_in_the_stream(fast: Implementation) -> None:
    made = claims(fast)
    made.ask("5-1", [notification(fast), notification(fast, mark="key")], [None, REFUSED])
    expected = claim(fast.dedupe.murmur3(ID), fast.dedupe.murmur3(b"5-1:1"), KEY_TTL_S)
    assert made.strange() == [Lot(False, KEY_SPAN_S, number(KEY_SPAN_S, KEY_TTL_S), expected)]


def test_a_key_with_another_id_is_another_notification(fast: Implementation) -> None:
    """The gateway gives one only when the key's day is over, and has answered OK for it."""
    seen = fast.dedupe.LocalFilter(100)
    for entry, id_ in (("5-1", ID), ("5-2", ID[::-1])):
        made = claims(fast, seen)
        made.ask(entry, [notification(fast, id=id_, mark="key")], [SENT])
        assert [made.settle([[] for _ in made.strange()]), len(seen)] == [[], int(entry[-1])]
    made = claims(fast, seen)
    made.ask("5-3", [notification(fast, mark="key")], [SENT])
    assert made.strange() == []
    assert made.settle([]) == [(0, 0, False, fast.dedupe.murmur3(b"5-1:0"))], "appended once more"


def test_content_is_claimed_by_the_id_if_it_goes_out(fast: Implementation) -> None:
    made = claims(fast)
    record = notification(fast, recipient_id="ada", type="t", template="order", data=b"{}", extra=60)
    made.ask("5-1", [record, record, record, notification(fast)], [None, REFUSED, SENT, SENT])
    digest = fast.dedupe.content_hash(b"ada", "t", "order", 3, b"{}")
    assert made.strange() == [Lot(True, 3600, number(3600, 60), claim(digest, ID, 60))]


@pytest.mark.parametrize(
    ("window_s", "span_s", "holds_s"),
    [(1, 3600, 1), (3600, 3600, 3600), (3601, 21_600, 3601), (86_401, 604_800, 86_401), (2**32 - 1, 604_800, 604_800)],
)
def test_a_window_says_with_which_others_it_is_kept(fast: Implementation, window_s: int, span_s: int, holds_s: int) -> None:
    made = claims(fast)
    made.ask("1-0", [notification(fast, extra=window_s)], [SENT])
    (lot,) = made.strange()
    assert lot[1:3] == (span_s, number(span_s, holds_s))
    assert lot.claims[32:] == (NOW + 1000 * holds_s).to_bytes(6)
    assert lot.number - NOW // (1000 * span_s) in (0, 1), "whoever looks for it looks there"


def test_claims_that_end_together_are_laid_together(fast: Implementation) -> None:
    made = claims(fast)
    windows = [60, 3600, 61, 100_000]
    records = [notification(fast, type=str(window), extra=window, mark="key" * (window == 61)) for window in windows]
    made.ask("1-0", records, [SENT] * 4)
    lots = {(lot.content, lot.span_s, lot.number): len(lot.claims) // 38 for lot in made.strange()}
    assert lots == {
        (True, 3600, number(3600, 60)): 2,
        (True, 3600, number(3600, 3600)): 1,
        (True, CONTENT_SPANS_S[-1], number(CONTENT_SPANS_S[-1], 100_000)): 1,
        (False, KEY_SPAN_S, number(KEY_SPAN_S, KEY_TTL_S)): 1,
    }


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
    assert content_of(fast, **named) == fast.dedupe.content_hash(recipient, "", "", 3, b"")


def test_who_came_too_late_is_told_whose_it_is(fast: Implementation) -> None:
    made = claims(fast)
    copy, repeated = notification(fast, mark="key"), notification(fast, extra=60)
    made.ask("5-1", [copy], [SENT])
    made.ask("5-2", [notification(fast), repeated], [SENT, SENT])
    assert [lot.content for lot in made.strange()] == [False, True]
    assert made.settle([[0, OTHER], [0, ID[::-1]]]) == [(0, 0, False, OTHER), (1, 1, True, ID[::-1])]


def test_of_two_in_one_batch_the_first_is_asked_for(fast: Implementation) -> None:
    def ask(*ids: int, seen: Any = None) -> Any:
        made = claims(fast, seen)
        made.ask("1-0", [notification(fast, id=bytes((i,)) * 16, extra=60, type="same") for i in ids], [SENT] * len(ids))
        return made

    made = ask(1, 2, 1)
    (lot,) = made.strange()
    assert lot.claims[16:32] == b"\1" * 16 and len(lot.claims) == 38
    assert made.settle([[]]) == [(0, 1, True, b"\1" * 16)], "the third is the first one, appended again"
    made = ask(1, 2)
    made.strange()
    assert made.settle([[0, OTHER]]) == [(0, 0, True, OTHER), (0, 1, True, OTHER)]


def test_marks_that_begin_alike_are_told_apart(fast: Implementation) -> None:
    alike = [b"---an id-%7d" % i for i in (37_727, 48_781)]
    first, second = (fast.dedupe.murmur3(id_) for id_ in alike)
    assert first[:4] == second[:4]
    made = claims(fast)
    made.ask("1-0", [notification(fast, id=id_, mark="key") for id_ in alike], [None, None])
    (lot,) = made.strange()
    assert (lot.claims[:16], lot.claims[38:54]) == (first, second)
    assert made.settle([[]]) == []


def test_a_key_and_content_do_not_meet(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(100)
    made = claims(fast, seen)
    made.ask("1-0", [notification(fast, mark="key", extra=60)], [SENT])
    made.strange()
    made.settle([[], []])
    digests = fast.dedupe.murmur3(ID), content_of(fast)
    kept = [[seen.get(kind + digest, NOW) is not None for digest in digests] for kind in (b"i", b"c")]
    assert kept == [[True, False], [False, True]]


def test_ours_is_ours_also_when_asked_again(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(100)
    for _ in range(2):
        made = claims(fast, seen)
        made.ask("5-1", [notification(fast, mark="key", extra=60)], [SENT])
        asked = made.strange()
        assert made.settle([[] for _ in asked]) == []
    assert asked == [], "the filter knows it"
    made = claims(fast)
    made.ask("5-1", [notification(fast, mark="key")], [SENT])
    made.strange()
    assert made.settle([[0, fast.dedupe.murmur3(b"5-1:0")]]) == [], "we died after marking it"


def test_the_filter_answers_for_redis_until_the_time_is_up(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(100)
    first, second = notification(fast, extra=60), notification(fast, extra=60, id=bytes(16))
    made = claims(fast, seen)
    made.ask("1-0", [first], [SENT])
    made.strange()
    made.settle([[]])
    for later_ms, late in ((59_999, [(0, 0, True, ID)]), (60_000, [])):
        made = claims(fast, seen, NOW + later_ms)
        made.ask("2-0", [second], [SENT])
        assert made.settle([[] for _ in made.strange()]) == late


def test_of_anothers_mark_nothing_is_remembered(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(100)
    made = claims(fast, seen)
    made.ask("5-1", [notification(fast, mark="key")], [SENT])
    made.strange()
    made.settle([[0, OTHER]])
    assert len(seen) == 0


@pytest.mark.parametrize("replies", [[], [[], []], [[0]], [[1, OTHER]], [[-1, OTHER]], [[0, b"short"]], [[0, None]]])
def test_there_is_a_reply_for_each_lot_and_it_makes_sense(fast: Implementation, replies: list[Any]) -> None:
    made = claims(fast)
    made.ask("5-1", [notification(fast, mark="key")], [SENT])
    made.strange()
    with pytest.raises(ValueError):
        made.settle(replies)


def test_nobody_is_told_before_redis_was_asked(fast: Implementation) -> None:
    made = claims(fast)
    made.ask("5-1", [notification(fast, mark="key")], [SENT])
    with pytest.raises(ValueError):
        made.settle([])


def test_what_cannot_lay_claim(fast: Implementation) -> None:
    with pytest.raises(ValueError):
        claims(fast).ask("5-1", [notification(fast)], [])
    with pytest.raises(ValueError):
        claims(fast, now_ms=-1)
    with pytest.raises((TypeError, AttributeError)):
        claims(fast).ask("5-1", [fast.records.record(layout.OUTCOME, id=ID)], [None])


@THOROUGH
@given(st.data())
def test_twins_claim_alike(data: st.DataObject) -> None:
    """Batches of any size, with repeats, some of them known from an earlier batch, some answered as another's."""
    sources = data.draw(st.lists(fields(layout.NOTIFICATION), max_size=4))
    picked = data.draw(st.lists(st.integers(0, 3), max_size=150)) if sources else []
    plans = data.draw(st.lists(st.sampled_from([None, REFUSED, SENT]), min_size=len(picked), max_size=len(picked)))
    others = data.draw(st.lists(st.integers(0, 9), max_size=3, unique=True))
    early = data.draw(st.integers(0, len(picked)))

    def run(fast: Implementation) -> Any:
        seen = fast.dedupe.LocalFilter(100)
        records = [notification(fast, **sources[i % len(sources)]) for i in picked]
        results = []
        for entry, chosen in (("1-0", slice(0, early)), ("2-0", slice(early, None))):
            made = claims(fast, seen)
            made.ask(entry, records[chosen], plans[chosen])
            asked = made.strange()
            replies = [[x for i in others if 38 * i < len(lot.claims) for x in (i, OTHER)] for lot in asked]
            results.append((asked, outcome(made.settle, replies)))
        return results

    assert run(NATIVE) == run(PURE)
