"""Requests read from their bytes: what is plainly good becomes a record, from both implementations the same one."""

import zlib
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from fastpath import Checks, Terms, intake
from fastpath.pure import intake as pure_intake
from tests.unit.fastpath.twins import TEXT, THOROUGH
from tests.unit.gateway.samples import NOW_MS, notification
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.notifications_pb2 import Notification

PARTITIONS = 7
RANDOM = bytes(range(200, 208))
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
TERMS = Terms("order_confirmation", 5, frozenset({"order_id"}), 0b0011)
KNOWN = {("order_confirmation", 3): TERMS, ("order_confirmation", 0): TERMS, ("gone", 0): None}


def refuse(text: str) -> str:
    raise ValueError(text)


def lower(text: str) -> str:
    return text.lower()


CHECKS = Checks(email=lower, phone=str, language=lower, timezone=str, undeliverable=frozenset({"invalid"}))
STRICT = Checks(refuse, refuse, refuse, refuse, frozenset({"invalid"}))
TWINS = [pytest.param(intake.Reader, id="native"), pytest.param(pure_intake.Reader, id="pure")]


def good(change: Callable[[Notification], object] = lambda n: None) -> Notification:
    """One that is taken, and with everything in it that may be taken."""
    made = notification()
    made.recipient.ClearField("devices")
    made.ClearField("idempotency_key")
    change(made)
    return made


def batch(*notifications: Notification | bytes) -> bytes:
    parts = [n if isinstance(n, bytes) else n.SerializeToString() for n in notifications]
    return b"".join(b"\n" + size_of(part) + part for part in parts)


def size_of(part: bytes) -> bytes:
    size, found = len(part), bytearray()
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    return bytes([*found, size])


def read(reader: Any, wire: bytes, count: int = 1, first: int = 0, admitted: int = 15, checks: Checks = CHECKS) -> list[Any]:
    """What is taken of a request; the reader is a class."""
    found: list[Any] = reader(PARTITIONS, checks).read(
        wire,
        first,
        KNOWN,
        admitted=admitted,
        now_ms=NOW_MS,
        random=RANDOM * count,
        traceparent=TRACE,
        mark=lambda key: f"mark of {key}",
    )
    return found


@pytest.mark.parametrize("reader", TWINS)
class TestScan:
    """How many there are, of which templates."""

    def test_counts_notifications_and_names_each_template_once(self, reader: Any) -> None:
        other = good(lambda n: n.ClearField("template_version"))
        wire = batch(good(), other, good(), other, Notification(template="a b"), b"\xff\xff")
        names = {("order_confirmation", 3), ("order_confirmation", 0)}
        assert reader(PARTITIONS, CHECKS).scan(wire) == (6, names)
        assert reader(PARTITIONS, CHECKS).scan(b"") == (0, set())

    @pytest.mark.parametrize("odd", [b"\x12\x00", b"\x08\x01", b"\n", b"\n\x05", b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"])
    def test_anything_else_in_a_request_is_for_protobuf(self, reader: Any, odd: bytes) -> None:
        assert reader(PARTITIONS, CHECKS).scan(batch(good()) + odd) is None


@pytest.mark.parametrize("reader", TWINS)
class TestRead:
    """What each of the two takes."""

    def test_everything_that_the_caller_said_is_in_the_record(self, reader: Any) -> None:
        (record,) = read(reader, batch(good()))
        assert (record.priority, record.klass, record.channel, record.version, record.extra) == (2, 1, 3, 5, 60)
        assert (record.accepted_ms, record.at_ms, record.expires_ms) == (NOW_MS, NOW_MS - 1000, NOW_MS + 60_000)
        assert (record.type, record.template, record.source) == ("order_confirmation", "order_confirmation", "order-service")
        assert (record.recipient_id, record.email, record.phone) == ("usr_456", "user@example.com", "+4915112345678")
        assert (record.language, record.timezone, record.devices) == ("de-at", "Europe/Vienna", b"")
        assert (record.traceparent, record.mark) == (TRACE, "")
        assert record.data == b'{"count":3,"items":[{"sku":"a"},null,true],"order_id":"ord_789","total":99.99}'

    def test_the_id_says_when_where_and_how_urgent(self, reader: Any) -> None:
        (record,) = read(reader, batch(good()))
        high = zlib.crc32(b"usr_456") % PARTITIONS << 2 | 1
        assert (
            record.id == NOW_MS.to_bytes(6, "big") + bytes([0x70 | high >> 8, high & 255, 0x80 | RANDOM[0] & 63]) + RANDOM[1:]
        )

    @pytest.mark.parametrize(("missing", "who"), [("recipient_id", b"user@example.com"), ("email", b"+4915112345678")])
    def test_who_has_no_id_is_told_by_an_address(self, reader: Any, missing: str, who: bytes) -> None:
        def change(n: Notification) -> None:
            n.ClearField("channels")
            n.recipient.ClearField("recipient_id")
            n.recipient.ClearField(missing)  # type: ignore[arg-type]

        (record,) = read(reader, batch(good(change)))
        assert (int.from_bytes(record.id[6:8], "big") & 0xFFF) >> 2 == zlib.crc32(who) % PARTITIONS

    def test_what_was_not_said_has_its_default(self, reader: Any) -> None:
        made = Notification(type="t", template="order_confirmation")
        made.recipient.recipient_id = "ada"
        made.data["order_id"] = 1
        (record,) = read(reader, batch(made))
        assert (record.priority, record.klass, record.channel, record.extra, record.at_ms) == (3, 1, 0, 0, 0)
        made.notification_class = 2  # type: ignore[assignment]
        assert read(reader, batch(made))[0].extra == 3600
        made.dedupe_window.SetInParent()
        assert read(reader, batch(made))[0].extra == 0

    def test_a_key_gives_a_mark_and_a_digest_of_what_the_caller_said(self, reader: Any) -> None:
        ((record, content),) = read(reader, batch(good(lambda n: setattr(n, "idempotency_key", "k"))))
        assert record.mark == "mark of k"
        said = record.replace(id=bytes(16), version=3, accepted_ms=0, traceparent="", mark="")
        assert content == blake2b(said.raw, digest_size=16).digest()

    def test_only_a_part_is_read_if_only_that_is_asked_for(self, reader: Any) -> None:
        wire = batch(*(good(lambda n, i=i: setattr(n, "source", f"s{i}")) for i in range(5)))  # type: ignore[misc]
        assert [record.source for record in read(reader, wire, 2, first=3)] == ["s3", "s4"]
        assert read(reader, wire, 0) == []
        for count, first in ((3, 3), (1, 5), (1, -1)):
            with pytest.raises(ValueError):
                read(reader, wire, count, first)
        with pytest.raises(ValueError):
            read(reader, b"\x12\x00")

    def test_values_that_are_not_plain_are_asked_about(self, reader: Any) -> None:
        def change(n: Notification) -> None:
            n.recipient.email = "Ada@Example.com"

        assert read(reader, batch(good(change)))[0].email == "ada@example.com"
        assert read(reader, batch(good(change)), checks=STRICT) == [None]
        plain = good(lambda n: n.recipient.CopyFrom(type(n.recipient)(recipient_id="a", email="a.b+c@x-1.example.com")))
        assert read(reader, batch(plain), checks=STRICT)[0].email == "a.b+c@x-1.example.com"

    @pytest.mark.parametrize(
        "email",
        [
            "a@b",
            "a@@b.de",
            ".a@b.de",
            "a.@b.de",
            "a..b@b.de",
            "a@-b.de",
            "a@b-.de",
            "a@b--c.de",
            "a@b.d",
            "a@b.d1",
            "a@b.invalid",
            "a@.de",
            "@b.de",
            "a@b.de.",
            "a",
            "A@b.de",
            "a@b.dE",
            "a b@c.de",
            "ä@b.de",
            f"{'a' * 65}@b.de",
            f"a@{'b' * 64}.de",
            f"a@{'b.' * 126}de",
        ],
    )
    def test_addresses_that_are_not_plain(self, reader: Any, email: str) -> None:
        strange = good(lambda n: n.recipient.CopyFrom(type(n.recipient)(recipient_id="a", email=email)))
        assert read(reader, batch(strange), checks=STRICT) == [None]

    def test_priorities_that_are_not_admitted_need_a_closer_look(self, reader: Any) -> None:
        assert read(reader, batch(good()), admitted=0b0010) != [None]
        assert read(reader, batch(good()), admitted=0b1101) == [None]

    @pytest.mark.parametrize(
        "change",
        [
            lambda n: setattr(n, "type", ""),
            lambda n: setattr(n, "type", "-a"),
            lambda n: setattr(n, "type", "x" * 129),
            lambda n: setattr(n, "priority", 5),
            lambda n: setattr(n, "priority", -1),
            lambda n: setattr(n, "notification_class", 4),
            lambda n: n.channels.append(1),
            lambda n: n.channels.append(4),  # the template has nothing for it
            lambda n: n.channels.append(9),
            lambda n: n.ClearField("recipient"),
            lambda n: n.recipient.Clear(),
            lambda n: n.recipient.devices.add(platform=1, token="t"),
            lambda n: setattr(n.recipient, "recipient_id", " a"),
            lambda n: setattr(n.recipient, "recipient_id", "a "),
            lambda n: setattr(n.recipient, "recipient_id", "a\x7f"),
            lambda n: setattr(n.recipient, "recipient_id", "ä\u00a0"),
            lambda n: setattr(n.recipient, "recipient_id", "ä" * 129),
            lambda n: n.recipient.CopyFrom(type(n.recipient)(phone="+4915112345678")),  # e-mail is asked for
            lambda n: n.recipient.CopyFrom(type(n.recipient)(email="a@b.de")),
            lambda n: setattr(n, "template", "gone"),
            lambda n: setattr(n, "template", "unheard"),
            lambda n: setattr(n, "template_version", 2**31),
            lambda n: n.data.Clear(),
            lambda n: n.data.update({"order_id": None}),
            lambda n: n.data.update({"x": float("nan")}),
            lambda n: setattr(n, "source", "a\nb"),
            lambda n: setattr(n, "source", "x" * 129),
            lambda n: setattr(n.created_at, "nanos", 10**9),
            lambda n: setattr(n.created_at, "seconds", -1),
            lambda n: setattr(n.created_at, "seconds", 253_402_300_800),
            lambda n: n.expires_at.FromMilliseconds(NOW_MS),
            lambda n: n.expires_at.Clear(),
            lambda n: setattr(n, "idempotency_key", "k\t"),
            lambda n: setattr(n, "idempotency_key", "k" * 256),
            lambda n: setattr(n.dedupe_window, "seconds", 604_801),
            lambda n: setattr(n.dedupe_window, "seconds", -1),
            lambda n: n.dedupe_window.FromNanoseconds(604_800 * 10**9 + 1),
        ],
    )
    def test_what_is_not_plainly_good_needs_a_closer_look(self, reader: Any, change: Callable[[Notification], object]) -> None:
        assert read(reader, batch(good(), good(change), good()), 3)[1] is None

    def test_the_bounds_themselves_are_good(self, reader: Any) -> None:
        def change(n: Notification) -> None:
            n.type, n.source, n.idempotency_key, n.recipient.recipient_id = "x" * 128, "ä" * 128, "k" * 255, "é" * 128
            n.dedupe_window.FromSeconds(604_800)
            n.created_at.seconds = 253_402_300_799
            n.expires_at.FromMilliseconds(NOW_MS + 1)

        assert read(reader, batch(good(change))) != [None]

    @pytest.mark.parametrize(
        "tail", [b"\x78\x01", b"\x0a\x01a", b"\x20\x01", b"\x8a\x00\x01a", b"\x0d1234", b"\x4a\x02\xff\xff"]
    )
    def test_fields_that_are_unknown_twice_or_of_another_kind_need_a_closer_look(self, reader: Any, tail: bytes) -> None:
        made = good(lambda n: n.ClearField("source")).SerializeToString()
        assert read(reader, batch(made)) != [None]
        assert read(reader, batch(made + tail)) == [None]


def all_of(reader: Any, wire: bytes, count: int) -> Any:
    """All that can be seen of what a reader makes of a request."""
    try:
        taken = read(reader, wire, count)
    except ValueError:
        return ValueError
    return [each if each is None else (each[0].raw, each[1]) if isinstance(each, tuple) else each.raw for each in taken]


@THOROUGH
@given(st.data())
def test_both_take_alike(data: st.DataObject) -> None:
    texts = st.sampled_from(["", "a", "a.b", " a", "é", "a@b.de", "A@b.de", "+491", "order_confirmation"]) | TEXT
    made = good()
    for name in ("type", "template", "source", "idempotency_key"):
        if data.draw(st.booleans()):
            setattr(made, name, data.draw(texts))
    for name in ("recipient_id", "email", "phone", "language", "timezone"):
        if data.draw(st.booleans()):
            setattr(made.recipient, name, data.draw(texts))
    made.priority = data.draw(st.integers(0, 5))  # type: ignore[assignment]
    made.channels[:] = data.draw(st.lists(st.integers(0, 5), max_size=4))  # type: ignore[arg-type]
    wire = batch(made, good())
    assert all_of(intake.Reader, wire, 2) == all_of(pure_intake.Reader, wire, 2)
    assert intake.Reader(PARTITIONS, CHECKS).scan(wire) == pure_intake.Reader(PARTITIONS, CHECKS).scan(wire)


@THOROUGH
@given(st.binary(max_size=60), st.integers(0, 2000), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_are_taken_alike_and_only_if_protobuf_reads_them(junk: bytes, at: int, patch: bytes) -> None:
    item = good(lambda n: setattr(n, "idempotency_key", "k")).SerializeToString()
    at %= len(item) + 1
    for damaged in (junk, item[:at], item[:at] + patch + item[at + len(patch) :]):
        for wire, count in ((batch(damaged), 1), (batch(item)[:2] + damaged, 1), (damaged, 1)):
            found = all_of(intake.Reader, wire, count)
            assert found == all_of(pure_intake.Reader, wire, count)
            scanned = intake.Reader(PARTITIONS, CHECKS).scan(wire)
            assert scanned == pure_intake.Reader(PARTITIONS, CHECKS).scan(wire)
            if scanned is not None and scanned[0] == 1 and found[0] is not None:
                pb.SendBatchRequest.FromString(wire)


def test_every_end_of_a_request_is_met() -> None:
    wire = batch(good())
    for end in range(1, len(wire)):
        assert intake.Reader(PARTITIONS, CHECKS).scan(wire[:end]) is None
        with pytest.raises((DecodeError, ValueError)):
            read(intake.Reader, wire[:end])
