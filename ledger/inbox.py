"""The in-app inbox in PostgreSQL. A recipient's messages are in order of arrival; a retry may change that."""

from collections.abc import Sequence
from uuid import UUID

from core.ids import partition_of
from ledger.arrays import Packed, bigints, texts, uuids
from ledger.database import Database, Row
from ledger.sql import load
from ledger.values import InboxItem

_SQL = load("inbox")


class InboxStore:
    """Stores, reads and marks messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, items: Sequence[InboxItem]) -> None:
        """Stores messages in this order; those that are there already stay as they are."""
        if not items:
            return
        partitions = sorted({partition_of(i.notification_id) for i in items})
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["lock"], {"partitions": partitions})
            await connection.execute(_SQL["store"], columns(items))

    async def after(self, recipient_id: str, notification_id: bytes, limit: int = 200) -> list[InboxItem]:
        """The messages that arrived after one, oldest first; what arrives later never sorts before them."""
        params = {"recipient_id": recipient_id, "after": UUID(bytes=notification_id), "limit": limit}
        return [_item(row) for row in await self._database.fetch(_SQL["after"], params)]

    async def fetch(self, recipient_id: str, ids: Sequence[bytes]) -> list[InboxItem]:
        """Those of these messages that are in this inbox, in any order."""
        params = {"recipient_id": recipient_id, "ids": [UUID(bytes=i) for i in ids]}
        return [_item(row) for row in await self._database.fetch(_SQL["fetch"], params)]

    async def mark_read(self, recipient_id: str, ids: Sequence[bytes], at_ms: int) -> list[bytes]:
        """Marks messages as read; the ids of those that were not before."""
        params = {"recipient_id": recipient_id, "ids": [UUID(bytes=i) for i in ids], "at_ms": at_ms}
        return [row[0].bytes for row in await self._database.fetch(_SQL["mark_read"], params)]

    async def unread(self, recipient_id: str) -> int:
        """How many messages of the whole inbox are not read yet."""
        ((count,),) = await self._database.fetch(_SQL["unread"], {"recipient_id": recipient_id})
        return int(count)

    async def list(
        self, recipient_id: str, unread_only: bool = False, limit: int = 50, before: bytes | None = None
    ) -> list[InboxItem]:
        """A recipient's messages, newest first; `before` is the id of the last message of the page before."""
        params = {
            "recipient_id": recipient_id,
            "unread_only": unread_only,
            "limit": limit,
            "before": UUID(bytes=before) if before else None,
        }
        return [_item(row) for row in await self._database.fetch(_SQL["list"], params)]


def columns(items: Sequence[InboxItem]) -> dict[str, Packed]:
    """Messages as the parameters of the statement `store`: an array for each column."""
    return {
        "recipient_id": texts([i.recipient_id for i in items]),
        "notification_id": uuids([i.notification_id for i in items]),
        "type": texts([i.type for i in items]),
        "title": texts([i.title for i in items]),
        "body": texts([i.body for i in items]),
        "action": texts([i.action for i in items]),
        "created_ms": bigints([i.created_ms for i in items]),
    }


def _item(row: Row) -> InboxItem:
    notification_id, *rest = row
    return InboxItem(notification_id.bytes, *rest)
