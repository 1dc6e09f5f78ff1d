"""What an idempotency key gives, as a table."""

import pytest

from gateway.idempotency import Ask, Reserved, judge

ID, OTHER = b"i" * 16, b"o" * 16
CONTENT, CHANGED = b"c" * 16, b"d" * 16


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, Reserved(ID)),
        (ID + CONTENT, Reserved(ID)),  # our own write, repeated after a lost reply
        (OTHER + CONTENT, Reserved(OTHER, duplicate=True)),
        (OTHER + CHANGED, Reserved(OTHER, duplicate=True, conflict=True)),
        (ID + CHANGED, Reserved(ID, duplicate=True, conflict=True)),
    ],
)
def test_judge(before: bytes | None, expected: Reserved) -> None:
    assert judge(Ask("mark", ID, CONTENT), before) == expected
