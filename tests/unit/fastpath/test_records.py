from typing import Any

import pytest

from fastpath import layout
from fastpath.errors import FrameError
from tests.unit.fastpath.twins import ID, Implementation

VALUES: dict[str, Any] = {
    "type": "order_shipped",
    "recipient_id": "usr_456",
    "email": "zoë@example.com",
    "data": b'{"total": 9.5}',
    "priority": 2,
    "attempt": 65_535,
    "version": 4_294_967_295,
    "at_ms": -1,
    "accepted_ms": 1_700_000_000_000,
}


def test_gives_back_what_it_was_given_and_nothing_for_the_rest(fast: Implementation) -> None:
    made = fast.records.record(layout.NOTIFICATION, id=ID, **VALUES)
    assert {name: getattr(made, name) for name in VALUES} == VALUES
    assert (made.kind, made.id, made.length) == (layout.NOTIFICATION, ID, len(made.raw))
    assert (made.phone, made.devices, made.expires_ms) == ("", b"", 0)


def test_bytes_are_those_of_the_layout(fast: Implementation) -> None:
    raw = fast.records.record(layout.OUTCOME, id=ID, type="ab", verdicts=b"[]", status=6, at_ms=-2).raw
    count = len(layout.STRINGS[layout.OUTCOME])
    assert raw[:4] == (layout.HEADER + 4 * count + 4).to_bytes(4, "little")
    assert (raw[4], raw[8], raw[24:40]) == (layout.OUTCOME, 6, ID)
    assert raw[48:56] == (-2).to_bytes(8, "little", signed=True)
    ends = [int.from_bytes(raw[80 + 4 * index : 84 + 4 * index], "little") for index in range(count)]
    assert ends == [2] * (count - 1) + [4]
    assert raw[80 + 4 * count :] == b"ab[]"


def test_a_string_of_another_kind_is_an_attribute_error(fast: Implementation) -> None:
    made = fast.records.record(layout.DELIVERY, id=ID)
    with pytest.raises(AttributeError):
        _ = made.email
    assert made.address == ""


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"emial": "x"}, TypeError),
        ({"address": "x"}, TypeError),  # a delivery's
        ({"length": 1}, TypeError),
        ({"kind": 2}, TypeError),
        ({"raw": b""}, TypeError),
        ({"email": b"x"}, TypeError),
        ({"email": None}, TypeError),
        ({"data": "{}"}, TypeError),
        ({"priority": "2"}, TypeError),
        ({"priority": 2.0}, TypeError),
        ({"priority": 256}, ValueError),
        ({"priority": -1}, ValueError),
        ({"attempt": 65_536}, ValueError),
        ({"at_ms": 1 << 63}, ValueError),
        ({"at_ms": 10**30}, ValueError),
        ({"email": "\ud800"}, ValueError),
    ],
)
def test_refuses_what_does_not_fit(fast: Implementation, fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        fast.records.record(layout.NOTIFICATION, id=ID, **fields)
    with pytest.raises(error):
        fast.records.record(layout.NOTIFICATION, id=ID).replace(**fields)


@pytest.mark.parametrize(("id", "error"), [(b"short", ValueError), (b"", ValueError), ("x" * 16, TypeError), (None, TypeError)])
def test_an_id_is_sixteen_bytes(fast: Implementation, id: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        fast.records.record(layout.NOTIFICATION, id=id)
    with pytest.raises(error):
        fast.records.record(layout.NOTIFICATION, id=ID).replace(id=id)


@pytest.mark.parametrize("kind", [0, 4, 255, 256, -1])
def test_refuses_unknown_kinds(fast: Implementation, kind: int) -> None:
    with pytest.raises(ValueError):
        fast.records.record(kind, id=ID)
    with pytest.raises(ValueError):
        fast.records.Writer(kind, ())


def test_replace_changes_only_what_it_is_told(fast: Implementation) -> None:
    before = fast.records.record(layout.NOTIFICATION, id=ID, **VALUES)
    after = before.replace(email="someone.longer@example.com", priority=4, phone="+15550100", id=ID[::-1])
    assert (after.email, after.priority, after.phone, after.id) == ("someone.longer@example.com", 4, "+15550100", ID[::-1])
    unchanged = VALUES.keys() - {"email", "priority"}
    assert {name: getattr(after, name) for name in unchanged} == {name: VALUES[name] for name in unchanged}
    assert {name: getattr(before, name) for name in VALUES} == VALUES
    assert after.replace(email=VALUES["email"], priority=2, phone="", id=ID) == before


def test_equal_by_bytes(fast: Implementation) -> None:
    one, other = (fast.records.record(layout.NOTIFICATION, id=ID, **VALUES) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != other.replace(priority=1)
    assert one != one.raw


def test_a_repr_carries_the_id_and_nothing_personal(fast: Implementation) -> None:
    text = repr(fast.records.record(layout.NOTIFICATION, id=ID, **VALUES))
    assert ID.hex() in text
    assert "example.com" not in text
    assert "usr_456" not in text


def test_records_are_made_by_functions_only(fast: Implementation) -> None:
    with pytest.raises(TypeError):
        fast.records.Record()
    empty = fast.records.Record.__new__(fast.records.Record)
    for use in (lambda: empty.raw, lambda: empty.email, lambda: fast.records.pack_frame([empty]), lambda: hash(empty)):
        with pytest.raises((TypeError, AttributeError)):
            use()


def test_a_writer_makes_what_record_makes(fast: Implementation) -> None:
    writer = fast.records.Writer(layout.NOTIFICATION, tuple(VALUES))
    assert writer(ID, *VALUES.values()) == fast.records.record(layout.NOTIFICATION, id=ID, **VALUES)


def test_a_writer_refuses_what_record_refuses(fast: Implementation) -> None:
    for names in (("address",), ("kind",), ("id",), ("nonsense",)):
        with pytest.raises(TypeError):
            fast.records.Writer(layout.NOTIFICATION, names)
    writer = fast.records.Writer(layout.NOTIFICATION, ("type", "priority"))
    for values, error in ((("a",), TypeError), (("a", 1, 2), TypeError), ((1, 1), TypeError), (("a", 256), ValueError)):
        with pytest.raises(error):
            writer(ID, *values)
    with pytest.raises(ValueError):
        writer(b"short", "a", 1)


def test_a_frame_gives_its_records_back_in_order(fast: Implementation) -> None:
    records = [fast.records.record(layout.NOTIFICATION, id=ID, type=f"t{index}", data=b"x" * index) for index in range(300)]
    frame = fast.records.pack_frame(tuple(records))
    assert fast.records.unpack_frame(frame) == records
    assert fast.records.pack_frame(fast.records.unpack_frame(frame)) == frame


def test_a_record_outlives_its_frame(fast: Implementation) -> None:
    (view,) = fast.records.unpack_frame(
        fast.records.pack_frame([fast.records.record(layout.OUTCOME, id=ID, reason="no such mailbox")])
    )
    assert view.reason == "no such mailbox"
    assert view.raw == view.replace().raw


def test_a_frame_is_of_one_kind_and_not_empty(fast: Implementation) -> None:
    with pytest.raises(ValueError):
        fast.records.pack_frame([])
    with pytest.raises(ValueError):
        fast.records.pack_frame([fast.records.record(kind, id=ID) for kind in (layout.NOTIFICATION, layout.OUTCOME)])


def test_text_that_is_not_utf8_is_a_frame_error_when_it_is_read(fast: Implementation) -> None:
    frame = fast.records.pack_frame([fast.records.record(layout.OUTCOME, id=ID, reason="abc", code="x")])
    (view,) = fast.records.unpack_frame(frame.replace(b"abc", b"\xff\xfe\xfd"))
    assert view.code == "x"
    with pytest.raises(FrameError, match="reason"):
        _ = view.reason


def test_parts(fast: Implementation) -> None:
    parts = {1: b"", 255: "ü".encode(), 2: b"x" * 70_000}
    content = fast.records.pack_parts(list(parts.items()))
    assert content[:6] == b"\x01\0\0\0\0\xff"
    assert fast.records.unpack_parts(content) == parts
    assert list(fast.records.unpack_parts(content)) == [1, 255, 2]
    assert fast.records.unpack_parts(b"") == {}
    for number in (-1, 256):
        with pytest.raises(ValueError):
            fast.records.pack_parts([(number, b"")])


def test_ages_counts_records_by_their_acceptance(fast: Implementation) -> None:
    made = [fast.records.record(layout.OUTCOME, id=ID, accepted_ms=at) for at in (7, 7, -1, 7, 2**40, -1)]
    assert fast.records.ages(made) == {7: 3, -1: 2, 2**40: 1}
    assert fast.records.ages([]) == {}
