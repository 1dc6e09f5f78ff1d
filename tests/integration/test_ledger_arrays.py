"""Arrays packed for PostgreSQL: what the server reads out of them (the inbox's own tests store and read with them)."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from ledger.arrays import Packed, bigints, texts, uuids
from ledger.database import Database

FIRST, SECOND = bytes(range(16)), bytes(range(16, 32))


@pytest.mark.parametrize(
    ("packed", "found"),
    [
        (texts(["a", "", "ü" * 1000]), ["a", "", "ü" * 1000]),
        (texts(["a\0b"]), ["a\ufffdb"]),
        (texts([]), []),
        (uuids([FIRST, SECOND]), [UUID(bytes=FIRST), UUID(bytes=SECOND)]),
        (bigints([0, -1, 2**63 - 1, -(2**63)]), [0, -1, 2**63 - 1, -(2**63)]),
        (bigints([]), []),
    ],
)
async def test_the_server_reads_what_was_packed(database_url: str, packed: Packed, found: Sequence[object]) -> None:
    database = await Database.open(database_url)
    try:
        assert await database.fetch_one(b"select %s", [packed]) == (found,)
    finally:
        await database.close()
