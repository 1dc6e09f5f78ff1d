import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.values import MARK_BYTES
from tests.unit.fastpath.twins import NATIVE, PURE, TEXT, THOROUGH, Implementation

CONTENT = (b"usr_456", "order_shipped", "order", 3, b'{"id":1}')


def test_murmur3_is_murmur3(fast: Implementation) -> None:
    """SMHasher's verification value of MurmurHash3_x64_128: the hash of the hashes of 0, 0 1, 0 1 2, ..."""
    hashes = b"".join(fast.dedupe.murmur3(bytes(range(size)), 256 - size) for size in range(256))
    assert fast.dedupe.murmur3(hashes)[:4] == (0x6384_BA69).to_bytes(4, "little")


def test_equal_content_has_an_equal_hash(fast: Implementation) -> None:
    assert fast.dedupe.content_hash(*CONTENT) == fast.dedupe.content_hash(*CONTENT)
    assert len(fast.dedupe.content_hash(*CONTENT)) == 16


@pytest.mark.parametrize("field", range(5))
def test_every_field_counts(fast: Implementation, field: int) -> None:
    other = (b"usr_457", "order_shippec", "ordeR", 4, b'{"id":2}')[field]
    changed = (*CONTENT[:field], other, *CONTENT[field + 1 :])
    assert fast.dedupe.content_hash(*changed) != fast.dedupe.content_hash(*CONTENT)


def test_fields_do_not_run_into_each_other(fast: Implementation) -> None:
    assert fast.dedupe.content_hash(b"ab", "c", "", 0, b"") != fast.dedupe.content_hash(b"a", "bc", "", 0, b"")


def test_version_is_a_u32(fast: Implementation) -> None:
    for version in (-1, 1 << 32):
        with pytest.raises(ValueError):
            fast.dedupe.content_hash(b"", "", "", version, b"")


@THOROUGH
@given(st.binary(max_size=100), TEXT, TEXT, st.integers(0, 0xFFFF_FFFF), st.binary(max_size=2000), st.integers(0, 0xFFFF_FFFF))
def test_twins_hash_alike(recipient: bytes, type: str, template: str, version: int, data: bytes, seed: int) -> None:
    content = (recipient, type, template, version, data)
    assert NATIVE.dedupe.content_hash(*content) == PURE.dedupe.content_hash(*content)
    assert NATIVE.dedupe.murmur3(recipient, seed) == PURE.dedupe.murmur3(recipient, seed)


def test_a_filter_remembers_until_the_time_is_up(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(10)
    assert seen.get(b"a", 0) is None
    seen.put(b"a", b"1-0:3", 1000)
    assert seen.get(b"a", 999) == b"1-0:3"
    assert seen.get(b"a", 1000) is None
    seen.put(b"a", b"2-0:1", 3000)
    assert seen.get(b"a", 2000) == b"2-0:1"
    assert len(seen) == 1


def test_a_full_filter_forgets_what_came_first(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(3)
    for mark in (b"a", b"b", b"c"):
        seen.put(mark, mark, 10)
    seen.put(b"a", b"again", 10)  # keeps its place
    seen.put(b"d", b"d", 10)
    assert [seen.get(mark, 0) for mark in (b"a", b"b", b"c", b"d")] == [None, b"b", b"c", b"d"]
    assert len(seen) == 3


def test_a_filter_holds_something(fast: Implementation) -> None:
    with pytest.raises(ValueError):
        fast.dedupe.LocalFilter(0)


def test_what_is_long_is_not_remembered_and_nothing_stale_in_its_place(fast: Implementation) -> None:
    seen = fast.dedupe.LocalFilter(3)
    fits, longer = b"a" * (MARK_BYTES // 2), b"a" * (MARK_BYTES // 2) + b"x"
    seen.put(fits, fits, 10)
    assert seen.get(fits, 0) == fits
    seen.put(longer, fits, 10)
    seen.put(b"x" * 5000, b"", 10)
    assert (seen.get(longer, 0), seen.get(b"x" * 5000, 0), len(seen)) == (None, None, 1)
    seen.put(fits, longer, 10)
    assert (seen.get(fits, 0), len(seen)) == (None, 1)
    seen.put(fits, b"short", 10)
    assert (seen.get(fits, 0), len(seen)) == (b"short", 1)


LETTERS = [bytes((letter,)) for letter in b"abcdef"]
STEPS = st.lists(st.tuples(st.sampled_from(LETTERS), st.integers(0, 5), st.integers(0, 5)), max_size=40)


@THOROUGH
@given(st.integers(1, 4), STEPS)
def test_twins_remember_alike(capacity: int, steps: list[tuple[bytes, int, int]]) -> None:
    native, pure = NATIVE.dedupe.LocalFilter(capacity), PURE.dedupe.LocalFilter(capacity)
    for mark, expires, now in steps:
        for each in (native, pure):
            each.put(mark, mark + bytes((expires,)), expires)
        assert [native.get(letter, now) for letter in LETTERS] == [pure.get(letter, now) for letter in LETTERS]
        assert len(native) == len(pure)


@THOROUGH
@given(st.integers(1, 300), st.integers(0, 2**32), st.integers(1, 6))
def test_twins_forget_alike(capacity: int, seed: int, spread: int) -> None:
    """Long runs, so that the table fills, wraps around and closes gaps."""
    dice = random.Random(seed)
    native, pure = NATIVE.dedupe.LocalFilter(capacity), PURE.dedupe.LocalFilter(capacity)
    marks = [b"mark %d" % i for i in range(spread * capacity)]
    for step in range(4 * capacity):
        mark = dice.choice(marks)
        for each in (native, pure):
            each.put(mark, b"%d" % step, 10)
    assert [native.get(mark, 0) for mark in marks] == [pure.get(mark, 0) for mark in marks]
    assert len(native) == len(pure)
