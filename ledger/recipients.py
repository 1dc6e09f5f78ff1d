"""Recipients in PostgreSQL: addresses, devices, language, timezone."""

from collections.abc import Sequence
from dataclasses import replace

from core.model import Platform
from fastpath import Contact
from ledger.arrays import texts
from ledger.database import Database, Row, to_json
from ledger.sql import load
from ledger.values import StoredDevice, StoredRecipient

_SQL = load("recipients")


class RecipientStore:
    """Reads and replaces recipients."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upsert(self, recipient: StoredRecipient) -> StoredRecipient:
        """Stores a recipient whole, replacing what was known under the id; the recipient with its time."""
        params = {
            "recipient_id": recipient.recipient_id,
            "email": recipient.email,
            "phone": recipient.phone,
            "devices": to_json([[d.platform, d.token] for d in recipient.devices]),
            "language": recipient.language,
            "timezone": recipient.timezone,
        }
        ((updated_ms,),) = await self._database.fetch(_SQL["upsert"], params)
        return replace(recipient, updated_ms=updated_ms)

    async def fetch(self, ids: Sequence[str]) -> dict[str, StoredRecipient]:
        """The known ones of these recipients, by id, in one query for all."""
        if not ids:
            return {}
        return {row[0]: _recipient(row) for row in await self._database.fetch(_SQL["fetch"], {"ids": list(ids)})}

    async def contacts(self, ids: Sequence[str]) -> list[Contact]:
        """How the known ones of these recipients are reached, in any order; for a dispatcher, which asks for every message."""
        return await self._database.fetch(_SQL["contacts"], {"ids": texts(ids)}) if ids else []


def _recipient(row: Row) -> StoredRecipient:
    recipient_id, email, phone, devices, language, timezone, updated_ms = row
    known = tuple(StoredDevice(Platform(platform), token) for platform, token in devices)
    return StoredRecipient(recipient_id, email, phone, known, language, timezone, updated_ms)
