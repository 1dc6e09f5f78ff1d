"""Ids carry time, partition and priority, and survive their text form."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ids
from core.errors import BadId
from core.model import Priority


@given(st.integers(0, ids.MAX_PARTITIONS - 1), st.sampled_from(list(Priority)), st.integers(0, 2**48 - 1))
def test_an_id_says_where_its_notification_lives(partition: int, priority: Priority, now_ms: int) -> None:
    raw = ids.new_id(partition, priority, now_ms)
    assert (ids.partition_of(raw), ids.priority_of(raw), ids.time_of(raw)) == (partition, priority, now_ms)
    assert ids.parse_id(ids.format_id(raw)) == raw


def test_an_id_is_a_version_7_uuid_and_never_repeats() -> None:
    made = {ids.new_id(1, Priority.LOW, 1_700_000_000_000) for _ in range(1000)}
    assert len(made) == 1000
    assert all(uuid.UUID(bytes=raw).version == 7 and uuid.UUID(bytes=raw).variant == uuid.RFC_4122 for raw in made)


@pytest.mark.parametrize("text", ["", "42", "notif_abc123", "0" * 36, "9f3c1a52-6c1e-4b7e-9d35-0f2f4e8a7c11"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadId):
        ids.parse_id(text)


def test_a_recipient_keeps_its_partition() -> None:
    assert {ids.partition_for(b"usr_456", 8) for _ in range(5)} == {ids.partition_for(b"usr_456", 8)}
    assert {ids.partition_for(f"usr_{i}".encode(), 8) for i in range(200)} == set(range(8))
