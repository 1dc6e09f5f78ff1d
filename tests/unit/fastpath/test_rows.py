"""Folding and packing of outcomes: what becomes a row of its own, what an event, which outcome is the status, what is cut."""

import itertools
import random
import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Channel, Class, Priority, Station, Status
from fastpath import layout, pack_frame, record, unpack_frame
from fastpath.errors import FrameError
from fastpath.layout import FIRST
from fastpath.outcomes import COPY_END, COPY_HEAD, DAY_MS, EPOCH_MS, LAST_MS, PACKED, SMALL, Folded
from ledger.timeline import ORDER
from tests.unit.fastpath.twins import ID, NATIVE, PURE, TEXT, THOROUGH, Implementation, fields, numbers
from tests.unit.ledger.outcomes import NOW, TRACE, an_id, queued, told, webhook

WORDS = ("provider", "provider_id", "code", "reason")
ROW = [
    *("id", "accepted_at", "status_at", "version", "channel", "device", "priority", "klass", "status", "attempt", "units"),
    *("trace_id", "type", "recipient_id", "template", "language", "source", "provider", "outcomes", "verdicts"),
]
EVENT = [
    *("id", "at", "sending_at", "channel", "device", "status", "station", "attempt", "error_class", "units"),
    *("type", "recipient_id", *WORDS),
]
KNOWN = (frozenset(map(int, Station)), frozenset({0, *map(int, Channel)}))


def packer(fast: Implementation) -> Any:
    return fast.rows.RowPacker(ORDER, *KNOWN)


def pack(fast: Implementation, *outcomes: Any, written: Any = ()) -> Folded:
    folded: Folded = packer(fast).pack([pack_frame([each]) for each in outcomes], written)
    return folded


def lines(body: bytes, names: list[str]) -> list[dict[str, bytes | None]]:
    """The rows of a COPY's body, column by column."""
    if not body:
        return []
    assert body.startswith(COPY_HEAD) and body.endswith(COPY_END)
    found, at = [], len(COPY_HEAD)
    while body[at : at + 2] != COPY_END:
        assert int.from_bytes(body[at : at + 2], "big") == len(names)
        at += 2
        row: dict[str, bytes | None] = {}
        for name in names:
            size = int.from_bytes(body[at : at + 4], "big", signed=True)
            at += 4
            row[name] = None if size < 0 else body[at : at + size]
            at += max(size, 0)
        found.append(row)
    assert at == len(body) - 2
    return found


def number(raw: bytes | None) -> int:
    assert raw is not None
    return int.from_bytes(raw, "big", signed=True)


class Seen(NamedTuple):
    """An outcome as it is packed in a row."""

    numbers: tuple[int, ...]  # status, station, error class, attempt, units, at_ms, sending_ms
    words: dict[str, str]


def seen(outcomes: bytes | None) -> list[Seen]:
    assert outcomes is not None
    found, at = [], 0
    while at < len(outcomes):
        head = PACKED.unpack_from(outcomes, at)
        at += PACKED.size
        words = {}
        for name, size in zip(WORDS, head[7:], strict=True):
            words[name] = outcomes[at : at + size].decode()
            at += size
        found.append(Seen(head[:7], words))
    return found


def rows(folded: Folded) -> list[tuple[bytes | None, int, int, int, list[int]]]:
    """(id, channel, device, status, statuses told) of each delivery's row."""
    return [
        (r["id"], number(r["channel"]), number(r["device"]), number(r["status"]), [s.numbers[0] for s in seen(r["outcomes"])])
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
    assert seen(row["outcomes"])[1] == Seen(
        (Status.SENT, Station.SENDER, 0, 1, 2, NOW + 100, NOW + 50),
        {"provider": "sendgrid", "provider_id": "msg-1", "code": "", "reason": ""},
    )


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
        assert seen(row["outcomes"])[0].numbers[5] == at_ms
        assert number(row["status_at"]) == (at_ms - EPOCH_MS) * 1000


@pytest.mark.parametrize("ms", [-1, LAST_MS + 1, (1 << 63) - 1, -(1 << 63)])
def test_a_time_that_no_column_holds_is_the_last_one(fast: Implementation, ms: int) -> None:
    (row,) = lines(pack(fast, queued(an_id(), at_ms=ms)).deliveries, ROW)
    assert number(row["status_at"]) == (LAST_MS - EPOCH_MS) * 1000


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
    (row,) = lines(pack(fast, queued(one), outcome).deliveries, ROW)
    assert (number(row["attempt"]), number(row["units"])) == (SMALL, SMALL)
    assert seen(row["outcomes"])[1].words["reason"] == "x" + "€" * 666


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


# What is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"status": 99}, {"status": 0}, {"station": 0}, {"channel": 9}])
def test_what_could_not_be_read_back_is_refused(fast: Implementation, changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="there is no"):
        pack(fast, queued(an_id()), queued(an_id(), **changes))  # type: ignore[arg-type]


def test_another_kind_of_frame_is_refused(fast: Implementation) -> None:
    with pytest.raises(FrameError, match="kind 2 among outcomes"):
        packer(fast).pack([pack_frame([queued(ID)]), pack_frame([record(layout.DELIVERY, id=ID)])])


def test_text_that_is_not_utf8_is_refused(fast: Implementation) -> None:
    frame = pack_frame([queued(ID, recipient_id="ABCD")])
    with pytest.raises(FrameError, match="recipient_id is not UTF-8"):
        packer(fast).pack([frame.replace(b"ABCD", b"AB\xffD")])


def told_by(fast: Implementation, frames: list[bytes], written: Any = ()) -> Any:
    """What packing gives, or what is raised and with which words; of several texts that are none, either may be named."""
    try:
        return packer(fast).pack(frames, written)
    except ValueError as error:  # a FrameError is one
        return type(error), re.sub(r"^\w+ (is not UTF-8)", r"\1", str(error))


def test_any_beginning_of_a_frame_is_a_frame_error(fast: Implementation) -> None:
    frame = pack_frame([queued(ID), told(ID, Status.SENT)])
    for end in range(len(frame)):
        with pytest.raises(FrameError):
            packer(fast).pack([frame[:end]])
    with pytest.raises(FrameError):
        packer(fast).pack([frame + b"\0"])


def test_flipped_bytes_are_seen_alike() -> None:
    frame, chance = pack_frame([queued(ID), told(ID, Status.SENT)]), random.Random(5)
    for at in range(len(frame)):
        for _ in range(3):
            damaged = frame[:at] + bytes((frame[at] ^ 1 << chance.randrange(8),)) + frame[at + 1 :]
            assert told_by(NATIVE, [frame, damaged]) == told_by(PURE, [frame, damaged])


@THOROUGH
@given(st.data())
def test_spliced_frames_are_seen_alike(data: st.DataObject) -> None:
    words = st.sampled_from([0, 1, 4, 79, 80, 123, 124, 125, 131, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFC])
    damaged = bytearray(pack_frame([queued(ID), told(ID, Status.SENT)]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 4))
        damaged[at : at + 4] = data.draw(words).to_bytes(4, "little")
    assert told_by(NATIVE, [bytes(damaged)]) == told_by(PURE, [bytes(damaged)])


@pytest.mark.parametrize("frames", [[b""], [b"TF"], [None], None, ["TF"]])
def test_what_is_no_frame(fast: Implementation, frames: Any) -> None:
    with pytest.raises((FrameError, TypeError)):
        packer(fast).pack(frames)


# Twins --------------------------------------------------------------------------------------------------------------------

MANY = st.text(alphabet="a\0ä€😀", min_size=60, max_size=1200)
ODD = st.sampled_from(["", "00-" + "0a" * 16, "00-" + "0A" * 15 + " g", "é" * 40, "00-" + "é" * 16])
NEAR = st.integers(0, 5)


@st.composite
def outcomes(draw: st.DrawFn) -> Any:
    """An outcome of one of few deliveries, mostly such as can be stored, with any values in the other fields."""
    given_ = draw(fields(layout.OUTCOME))
    given_["station"] = draw(st.sampled_from(list(Station)))
    given_["channel"] = draw(st.sampled_from([0, 1, 1, 1, 4]))
    given_["device"] = draw(st.sampled_from([0, 0, 255]))
    given_["status"] = draw(st.sampled_from([*Status, *Status, *Status, 99 if draw(st.booleans()) else Status.SENT]))
    given_["flags"] = draw(st.sampled_from([0, FIRST, 255, 254]))
    given_["attempt"] = draw(st.one_of(NEAR, numbers("attempt")))
    given_["extra"] = draw(st.one_of(NEAR, numbers("extra")))
    given_["at_ms"] = draw(st.one_of(NEAR, st.just(NOW), numbers("at_ms")))
    given_["traceparent"] = draw(ODD)
    for name in draw(st.lists(st.sampled_from([*WORDS, "type"]), max_size=2)):
        given_[name] = draw(st.one_of(TEXT, MANY))
    id_ = draw(st.sampled_from([ID, an_id(NOW, priority=Priority.LOW)[:15] + b"\1", bytes(16), b"\xff" * 16]))
    return record(layout.OUTCOME, id=id_, **given_)


@THOROUGH
@given(st.lists(st.lists(outcomes(), min_size=1, max_size=12), max_size=4), st.booleans())
def test_twins_agree(batch: list[list[Any]], again: bool) -> None:
    frames = [pack_frame(each) for each in batch]
    written = {(o.id, o.channel, o.device) for each in batch for o in each[:1]} if again else ()
    assert told_by(NATIVE, frames, written) == told_by(PURE, frames, written)


def test_many_deliveries_find_their_groups(fast: Implementation) -> None:
    chance = random.Random(3)
    ids = [chance.randbytes(16) for _ in range(3000)]
    life = [queued(each) for each in ids] + [told(each, Status.SENT) for each in ids]
    chance.shuffle(life)
    folded = packer(fast).pack([pack_frame(life[at : at + 100]) for at in range(0, len(life), 100)])
    assert {row[0]: row[3] for row in rows(folded)} == dict.fromkeys(ids, Status.SENT)
    assert len(rows(folded)) == len(ids) and not folded.events
    assert len(unpack_frame(pack_frame(life))) == len(life)
