"""Frames on their way through Redis."""

import random

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Part
from core.squeeze import LEAST, MOST, restore, squeeze
from fastpath import FrameError, pack_frame, unpack_frame
from tests.unit.senders.kit import delivery

NEWS = pack_frame([delivery(f"u{i}@example.org", {Part.HTML: f"<h1>Dear {i},</h1>" + "news " * 50}) for i in range(50)])


def test_a_frame_of_one_template_takes_a_fifth() -> None:
    small = squeeze(NEWS)
    assert len(small) < len(NEWS) / 5
    assert small[3:8] == NEWS[3:8]  # kind and count stand where Redis' scripts read them
    assert restore(small) == NEWS


def test_what_is_small_or_does_not_shrink_goes_as_it_is() -> None:
    single = pack_frame([delivery("u@example.org")])
    assert squeeze(single) == single
    noise = NEWS[:8] + random.Random(1).randbytes(10_000)
    assert squeeze(noise) == noise
    assert restore(single) == single
    assert restore(noise) == noise


@given(st.binary(max_size=3 * LEAST))
def test_whatever_goes_in_comes_out(body: bytes) -> None:
    for frame in (body, NEWS[:8] + body, NEWS[:8] + body * 5):
        assert restore(squeeze(frame)) == frame


@given(st.data())
def test_damage_is_left_for_whoever_unpacks_it(data: st.DataObject) -> None:
    small = bytearray(squeeze(NEWS))
    cut = data.draw(st.integers(2, len(small)))
    place, value = data.draw(st.integers(8, len(small) - 1)), data.draw(st.integers(0, 255))
    small[place] = value
    for damaged in (bytes(small), bytes(small[:cut])):
        found = restore(damaged)
        assert found == damaged or found.startswith(NEWS[:4])


@pytest.mark.parametrize("tail", [b"", b"\xff", (MOST + 1).to_bytes(4, "little") + b"x", b"\xff\xff\xff\xffxxxx"])
def test_a_damaged_frame_is_no_frame(tail: bytes) -> None:
    damaged = squeeze(NEWS)[:8] + tail
    assert restore(damaged) == damaged
    with pytest.raises(FrameError):
        unpack_frame(damaged)


def test_the_format_is_that_of_every_lz4() -> None:
    assert lz4.block.decompress(squeeze(NEWS)[8:]) == NEWS[8:]
