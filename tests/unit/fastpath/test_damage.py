"""Damaged bytes: a FrameError, from both implementations at the same places, and never a read outside of the buffer."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import layout
from fastpath.errors import FrameError
from tests.unit.fastpath.twins import ID, KINDS, NATIVE, PURE, THOROUGH, Implementation, fields, outcome

NAMES = sorted({*layout.SLOTS, "id", "raw", *(name for names in layout.STRINGS.values() for name in names)})


def looked_at(implementation: Implementation, frame: bytes) -> Any:
    """All that can be read of a frame, so that two implementations can be compared."""
    records = outcome(implementation.records.unpack_frame, frame)
    if isinstance(records, type):
        return records
    return [[outcome(getattr, record, name) for name in NAMES] + [record.replace(attempt=1).raw] for record in records]


def sample(count: int = 3, kind: int = layout.NOTIFICATION) -> bytes:
    records = [NATIVE.records.record(kind, id=ID, type="abc", recipient_id="r" * index, source="s") for index in range(count)]
    frame: bytes = NATIVE.records.pack_frame(records)
    return frame


def test_any_beginning_of_a_frame_is_a_frame_error(fast: Implementation) -> None:
    frame = sample()
    for end in range(len(frame)):
        with pytest.raises(FrameError):
            fast.records.unpack_frame(frame[:end])
    with pytest.raises(FrameError):
        fast.records.unpack_frame(frame + b"\0")


def test_a_frame_of_no_records_is_a_frame_error(fast: Implementation) -> None:
    with pytest.raises(FrameError):
        fast.records.unpack_frame(sample()[:4] + bytes(4))


def test_bytes_that_belong_to_no_string_are_a_frame_error(fast: Implementation) -> None:
    frame = sample(1)
    longer = (len(frame) - layout.FRAME_HEADER + 1).to_bytes(4, "little")
    with pytest.raises(FrameError):
        fast.records.unpack_frame(frame[:8] + longer + frame[12:] + b"x")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(0, b"X", id="magic"),
        pytest.param(2, b"\2", id="version"),
        pytest.param(3, b"\0", id="kind"),
        pytest.param(3, b"\2", id="kind of another frame"),
        pytest.param(4, b"\0\0\0\0", id="no records"),
        pytest.param(4, b"\xff\xff\xff\xff", id="four billion records"),
        pytest.param(8, b"\0\0\0\0", id="length 0"),
        pytest.param(8, b"\xff\xff\xff\xff", id="length beyond the frame"),
        pytest.param(8, (layout.HEADER + 4 * 12 - 1).to_bytes(4, "little"), id="length below the header"),
        pytest.param(12, b"\3", id="kind of a record"),
        pytest.param(88, b"\xff\xff\xff\xff", id="first string beyond the record"),
        pytest.param(92, b"\0\0\0\0", id="string ends before it begins"),
        pytest.param(88 + 4 * 11, b"\0\0\0\0", id="last string"),
        pytest.param(88 + 4 * 11, b"\5\0\0\0", id="last string beyond the record"),
    ],
)
def test_each_field_of_a_frame_is_checked(fast: Implementation, at: int, value: bytes) -> None:
    frame = sample()
    with pytest.raises(FrameError):
        fast.records.unpack_frame(frame[:at] + value + frame[at + len(value) :])


def test_flipped_bytes_are_seen_alike() -> None:
    frame, chance = sample(), random.Random(5)
    for at in range(len(frame)):
        damaged = frame[:at] + bytes((frame[at] ^ 1 << chance.randrange(8),)) + frame[at + 1 :]
        assert looked_at(NATIVE, damaged) == looked_at(PURE, damaged)


@THOROUGH
@given(st.data())
def test_spliced_frames_are_seen_alike(data: st.DataObject) -> None:
    frame = sample(2, data.draw(KINDS))
    words = st.sampled_from([0, 1, 4, 79, 80, 127, 128, 129, 131, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFC])
    damaged = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 4))
        damaged[at : at + 4] = data.draw(words).to_bytes(4, "little")
    cut = data.draw(st.integers(0, len(damaged)))
    for each in (bytes(damaged), bytes(damaged[:cut])):
        assert looked_at(NATIVE, each) == looked_at(PURE, each)


@THOROUGH
@given(st.binary(max_size=300))
def test_noise_is_seen_alike(noise: bytes) -> None:
    for frame in (noise, layout.MAGIC + bytes((layout.VERSION, 1)) + noise):
        assert looked_at(NATIVE, frame) == looked_at(PURE, frame)
    assert outcome(NATIVE.records.unpack_parts, noise) == outcome(PURE.records.unpack_parts, noise)


@pytest.mark.parametrize("content", [b"\1", b"\1\0\0\0", b"\1\1\0\0\0", b"\1\xff\xff\xff\xffx", b"\1\0\0\0\0" * 2])
def test_damaged_parts(fast: Implementation, content: bytes) -> None:
    with pytest.raises(FrameError):
        fast.records.unpack_parts(content)


@THOROUGH
@given(st.data())
def test_records_are_made_alike(data: st.DataObject) -> None:
    kind = data.draw(KINDS)
    given_fields, changes = data.draw(fields(kind)), data.draw(fields(kind))
    native, pure = (each.records.record(kind, id=ID, **given_fields) for each in (NATIVE, PURE))
    assert native.raw == pure.raw
    assert native.replace(**changes).raw == pure.replace(**changes).raw
    assert NATIVE.records.pack_frame([native] * 2) == PURE.records.pack_frame([pure] * 2)
    assert looked_at(NATIVE, NATIVE.records.pack_frame([native])) == looked_at(PURE, PURE.records.pack_frame([pure]))
