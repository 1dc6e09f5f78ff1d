"""Outcomes that are not packed, damaged frames, and odd outcomes: both implementations say the same, byte for byte."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Station, Status
from fastpath import layout, pack_frame, record
from fastpath.errors import FrameError
from fastpath.layout import FIRST
from tests.unit.fastpath.copies import WORDS, pack, packer
from tests.unit.fastpath.twins import ID, NATIVE, PURE, TEXT, THOROUGH, Implementation, fields, numbers
from tests.unit.ledger.outcomes import NOW, an_id, queued, told


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
    """What packing gives, or what is raised and with which words; of several damaged strings either may be named."""
    try:
        return packer(fast).pack(frames, written)
    except ValueError as error:  # a FrameError is one
        words = str(error)
        return type(error), "not UTF-8" if words.endswith("is not UTF-8") else words


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
    id_ = draw(st.sampled_from([ID, ID[:15] + b"\1", bytes(16), b"\xff" * 16]))
    return record(layout.OUTCOME, id=id_, **given_)


@THOROUGH
@given(st.lists(st.lists(outcomes(), min_size=1, max_size=12), max_size=4), st.booleans())
def test_twins_agree(batch: list[list[Any]], again: bool) -> None:
    frames = [pack_frame(each) for each in batch]
    written = {(o.id, o.channel, o.device) for each in batch for o in each[:1]} if again else ()
    assert told_by(NATIVE, frames, written) == told_by(PURE, frames, written)
