"""Folding and packing of outcomes: what becomes a row of its own, what an event, which outcome is the status, what is cut."""

import itertools
import random

import pytest

from core.model import Channel, Class, Priority, Station, Status
from fastpath import pack_frame
from fastpath.outcomes import DAY_MS, EPOCH_MS, LARGE, LAST_MS, SMALL, Folded
from ledger.values import Report
from tests.unit.fastpath.copies import EVENT, ROW, WORDS, lines, number, pack, packer, seen
from tests.unit.fastpath.twins import Implementation
from tests.unit.ledger.outcomes import NOW, TRACE, an_id, queued, told, webhook


def rows(folded: Folded) -> list[tuple[bytes | None, int, int, int, list[int]]]:
    """(id, channel, device, status, statuses told) of each delivery's row."""
    return [
        (r["id"], number(r["channel"]), number(r["device"]), number(r["status"]), [s.status for s in seen(r)])
        for r in lines(folded.deliveries, ROW)
    ]


def events(folded: Folded) -> list[tuple[bytes | None, int]]:
    """(id, status) of each event."""
    return [(row["id"], number(row["status"])) for row in lines(folded.events, EVENT)]


# Folding ------------------------------------------------------------------------------------------------------------------


def test_a_usual_life_in_one_batch_is_one_row_in_any_order(fast: Implementation) -> None:
    one = an_id()
    life = [queued(one), told(one, Status.SENT), webhook(one, Status.DELIVERED)]
    for order in itertools.permutations(life):
        folded = pack(fast, *order)
        assert rows(folded) == [(one, Channel.EMAIL, 0, Status.DELIVERED, [each.status for each in order])]
        assert folded.events == b""


def test_outcomes_of_one_frame_and_of_several_are_alike(fast: Implementation) -> None:
    one, other = an_id(), an_id()
    life = [queued(one), told(one, Status.SENT), told(other, Status.SENT)]
    assert packer(fast).pack([pack_frame(life)]) == pack(fast, *life)


def test_outcomes_without_the_first_are_events(fast: Implementation) -> None:
    one, other = an_id(), an_id()
    folded = pack(fast, told(one, Status.SENT), queued(other))
    assert events(folded) == [(one, Status.SENT)]
    assert [row[0] for row in rows(folded)] == [other]


def test_channels_and_devices_are_deliveries_of_their_own(fast: Implementation) -> None:
    one = an_id()
    folded = pack(
        fast,
        queued(one),
        queued(one, channel=Channel.PUSH, device=0),
        queued(one, channel=Channel.PUSH, device=1),
        told(one, Status.SENT, channel=Channel.PUSH, device=1),
    )
    assert [row[1:4] for row in rows(folded)] == [
        (Channel.EMAIL, 0, Status.QUEUED),
        (Channel.PUSH, 0, Status.QUEUED),
        (Channel.PUSH, 1, Status.SENT),
    ]


def test_a_first_told_twice_makes_one_row(fast: Implementation) -> None:
    one = an_id()
    folded = pack(fast, queued(one), queued(one))
    assert len(rows(folded)) == 1 and not folded.events


def test_a_delivery_that_has_its_row_gets_events_only(fast: Implementation) -> None:
    one, other = an_id(), an_id()
    folded = pack(fast, queued(one), told(one, Status.SENT), queued(other), written={(one, int(Channel.EMAIL), 0)})
    assert events(folded) == [(one, Status.QUEUED), (one, Status.SENT)]
    assert [row[0] for row in rows(folded)] == [other]


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        pytest.param([(Status.RETRYING, 1), (Status.SENT, 2)], Status.SENT, id="the later attempt"),
        pytest.param([(Status.SENT, 2), (Status.RETRYING, 1)], Status.SENT, id="the later attempt, told first"),
        pytest.param([(Status.DEAD, 1), (Status.RETRYING, 2)], Status.RETRYING, id="a replay of a dead letter"),
        pytest.param([(Status.DEAD, 3), (Status.QUEUED, 3)], Status.QUEUED, id="a replay that waits"),
        pytest.param([(Status.SENT, 1), (Status.FAILED, 0)], Status.FAILED, id="a late bounce"),
        pytest.param([(Status.UNKNOWN, 1), (Status.DELIVERED, 0)], Status.DELIVERED, id="the webhook knows better"),
    ],
)
def test_status(fast: Implementation, outcomes: list[tuple[Status, int]], status: Status) -> None:
    one = an_id()
    folded = pack(fast, queued(one), *(told(one, each, attempt=attempt) for each, attempt in outcomes))
    assert rows(folded)[0][3] == status


def test_of_equals_the_later_one_counts(fast: Implementation) -> None:
    one = an_id()
    opened = [webhook(one, Status.OPENED, at_ms=NOW + at) for at in (9000, 5000)]
    (row,) = lines(pack(fast, queued(one), *opened).deliveries, ROW)
    assert number(row["status_at"]) == (NOW + 9000 - EPOCH_MS) * 1000


def test_a_suppressed_notification_is_a_row_without_a_channel(fast: Implementation) -> None:
    one = an_id()
    assert rows(pack(fast, queued(one, channel=0, status=Status.SUPPRESSED))) == [
        (one, 0, 0, Status.SUPPRESSED, [Status.SUPPRESSED])
    ]


def test_nothing_to_pack(fast: Implementation) -> None:
    assert packer(fast).pack([]) == Folded(b"", b"", set(), {})


def test_many_deliveries_find_their_groups(fast: Implementation) -> None:
    chance = random.Random(3)
    ids = [chance.randbytes(16) for _ in range(3000)]
    life = [queued(each) for each in ids] + [told(each, Status.SENT) for each in ids]
    chance.shuffle(life)
    folded = packer(fast).pack([pack_frame(life[at : at + 100]) for at in range(0, len(life), 100)])
    assert {row[0]: row[3] for row in rows(folded)} == dict.fromkeys(ids, Status.SENT)
    assert len(rows(folded)) == len(ids) and not folded.events


# Columns ------------------------------------------------------------------------------------------------------------------


def test_a_delivery_has_its_columns(fast: Implementation) -> None:
    one = an_id()
    (row,) = lines(pack(fast, queued(one), told(one, Status.SENT, extra=2)).deliveries, ROW)
    assert row["id"] == one
    assert (number(row["accepted_at"]), number(row["status_at"])) == ((NOW - EPOCH_MS) * 1000, (NOW + 100 - EPOCH_MS) * 1000)
    codes = ("version", "channel", "device", "priority", "klass", "status", "attempt", "units")
    expected = [3, Channel.EMAIL, 0, Priority.HIGH, Class.TRANSACTIONAL, Status.SENT, 1, 2]
    assert [number(row[name]) for name in codes] == expected
    assert row["trace_id"] == bytes.fromhex(TRACE)
    words = [row[name] for name in ("type", "recipient_id", "template", "language", "source", "provider")]
    assert words == [b"order_confirmation", b"ada", b"order_confirmation_v1", b"de", b"order-service", b"sendgrid"]
    assert row["verdicts"] == queued(one).verdicts
    assert seen(row)[1] == Report(Status.SENT, Station.SENDER, 1, NOW + 100, NOW + 50, 0, 2, "sendgrid", "msg-1")


def test_outcomes_are_packed_in_few_bytes(fast: Implementation) -> None:
    one = an_id()
    outcome = told(one, Status.SENT, attempt=300, extra=2, error_class=4, reason="ü")
    (row,) = lines(pack(fast, queued(one), outcome).deliveries, ROW)
    opening = bytes((Status.QUEUED, Station.DISPATCHER, 0, 0, 0, 20)) + bytes(4)
    sent = bytes((Status.SENT, 128 + Station.SENDER, 4, 0xAC, 2, 2, 0xC8, 1, 99))
    assert row["outcomes"] == b"\x80" + opening + sent + b"\x08sendgrid\x05msg-1\x00\x02\xc3\xbc"


def test_an_event_has_its_columns(fast: Implementation) -> None:
    one = an_id()
    outcome = told(one, Status.FAILED, device=3, attempt=2, error_class=3, extra=4, code="550", reason="no such user", type="x")
    (row,) = lines(pack(fast, outcome).events, EVENT)
    assert row["id"] == one
    assert (number(row["at"]), number(row["sending_at"])) == ((NOW + 100 - EPOCH_MS) * 1000, (NOW + 50 - EPOCH_MS) * 1000)
    codes = ("channel", "device", "status", "station", "attempt", "error_class", "units")
    assert [number(row[name]) for name in codes] == [Channel.EMAIL, 3, Status.FAILED, Station.SENDER, 2, 3, 4]
    assert (row["type"], row["recipient_id"]) == (b"x", None)
    assert [row[name] for name in WORDS] == [b"sendgrid", b"msg-1", b"550", b"no such user"]


def test_the_provider_is_that_of_the_last_outcome_or_the_first_that_names_one(fast: Implementation) -> None:
    one = an_id()
    sent = [told(one, Status.SENT, provider=name) for name in ("", "ses", "sendgrid")]
    (row,) = lines(pack(fast, queued(one), *sent).deliveries, ROW)
    assert row["provider"] == b"sendgrid"  # of equals the later told is the last
    (row,) = lines(pack(fast, queued(one), *sent, webhook(one, Status.DELIVERED, provider="")).deliveries, ROW)
    assert row["provider"] == b"ses"


def test_units_are_billed_once_an_attempt(fast: Implementation) -> None:
    one = an_id()
    retried = [told(one, Status.RETRYING, extra=1), told(one, Status.SENT, attempt=2, extra=3)]
    many = [webhook(one, Status.OPENED, extra=each % 4, at_ms=NOW + each) for each in range(40)]  # of the last attempt
    for later in ([webhook(one, Status.DELIVERED, extra=3)], many):
        (row,) = lines(pack(fast, queued(one), *retried, *later).deliveries, ROW)
        assert (number(row["attempt"]), number(row["units"])) == (2, 4)


def test_a_time_that_is_not_told_falls_back(fast: Implementation) -> None:
    one = an_id(NOW + 5)
    for outcome, at_ms in (
        (queued(one, at_ms=0), NOW + 10),
        (queued(one, at_ms=0, queued_ms=0), NOW),
        (queued(one, at_ms=0, queued_ms=0, accepted_ms=0), NOW + 5),
    ):
        (row,) = lines(pack(fast, outcome).deliveries, ROW)
        assert seen(row)[0].at_ms == at_ms
        assert number(row["status_at"]) == (at_ms - EPOCH_MS) * 1000


@pytest.mark.parametrize("ms", [-1, LAST_MS + 1, (1 << 63) - 1, -(1 << 63)])
def test_a_time_that_no_column_holds_is_the_last_one(fast: Implementation, ms: int) -> None:
    (row,) = lines(pack(fast, queued(an_id(), at_ms=ms)).deliveries, ROW)
    assert number(row["status_at"]) == (LAST_MS - EPOCH_MS) * 1000
    assert seen(row)[0].at_ms == ms


def test_words_are_cut_between_characters_and_numbers_to_their_columns(fast: Implementation) -> None:
    one = an_id()
    outcome = told(one, Status.FAILED, attempt=65_535, extra=4_000_000_000).replace(
        code="ä" * 200, provider_id="x" + "ä" * 200, reason="x" + "€" * 2000
    )
    (event,) = lines(pack(fast, outcome).events, EVENT)
    assert event["code"] == ("ä" * 128).encode()
    assert event["provider_id"] == ("x" + "ä" * 127).encode()
    assert event["reason"] == ("x" + "€" * 666).encode()
    assert (number(event["attempt"]), number(event["units"])) == (SMALL, SMALL)
    (row,) = lines(pack(fast, queued(one, version=1 << 31), outcome).deliveries, ROW)
    assert (number(row["attempt"]), number(row["units"]), number(row["version"])) == (SMALL, SMALL, LARGE)
    assert seen(row)[1].reason == "x" + "€" * 666


def test_text_has_no_null_character(fast: Implementation) -> None:
    one = an_id()
    (row,) = lines(pack(fast, queued(one, recipient_id="a\0b\0", verdicts=b"\0")).deliveries, ROW)
    assert (row["recipient_id"], row["verdicts"]) == ("a\ufffdb\ufffd".encode(), "\ufffd".encode())


@pytest.mark.parametrize(
    ("traceparent", "found"),
    [
        ("", None),
        ("nonsense", None),
        (f"00-{TRACE}", bytes.fromhex(TRACE)),
        (f"00-{TRACE.upper()}-00", bytes.fromhex(TRACE)),
        (f"00-{TRACE[:31]}", None),
        (f"00-{TRACE[:31]}g-00", None),
        (f"00-{TRACE[:29]} {TRACE[:2]}-00", None),
        (f"00-{TRACE[:30]}ä-00", None),
        (f"äb{TRACE}", bytes.fromhex(TRACE)),
    ],
)
def test_trace_id(fast: Implementation, traceparent: str, found: bytes | None) -> None:
    (row,) = lines(pack(fast, queued(an_id(), traceparent=traceparent)).deliveries, ROW)
    assert row["trace_id"] == found


def test_days_and_tally_are_of_all_outcomes(fast: Implementation) -> None:
    today, before = an_id(), an_id(NOW - 3 * DAY_MS)
    folded = pack(fast, queued(today), queued(today, channel=Channel.SMS), webhook(before, Status.OPENED), queued(today))
    assert folded.days == {NOW // DAY_MS, NOW // DAY_MS - 3}
    assert folded.tally == {
        (Channel.EMAIL, Priority.HIGH, Status.QUEUED): {NOW: 2},
        (Channel.SMS, Priority.HIGH, Status.QUEUED): {NOW: 1},
        (Channel.EMAIL, 0, Status.OPENED): {0: 1},
    }
