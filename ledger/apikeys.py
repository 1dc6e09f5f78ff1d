"""API keys: shown once when they are made, known ever after by their sha256 alone.

A key has 256 random bits, so its hash need not be slow; it is looked up by the hash, so no comparison's time tells of a key.
"""

import hashlib
import secrets
from collections.abc import Collection

from ledger.database import Database
from ledger.sql import load
from ledger.values import SCOPES, ApiKey

_SQL = load("keys")

PREFIX = "tk_"  # lets a secret scanner recognise a key
KEY_BYTES = 32


class KeyStore:
    """Makes, finds and revokes API keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, scopes: Collection[str]) -> str:
        """A new key, to be shown once: it cannot be read again.

        Raises:
            ValueError: no scope, or one that is not in values.SCOPES.
        """
        if not scopes or not SCOPES.issuperset(scopes):
            raise ValueError(f"scopes are one or more of {', '.join(sorted(SCOPES))}")
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        await self._database.execute(_SQL["create"], {"hash": _hash(key), "name": name, "scopes": sorted(set(scopes))})
        return key

    async def find(self, key: str) -> ApiKey | None:
        """Whose key this is; None if it is not known or was revoked."""
        row = await self._database.fetch_one(_SQL["find"], {"hash": _hash(key)})
        return _api_key(*row) if row else None

    async def list(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        return [_api_key(*row) for row in await self._database.fetch(_SQL["list"])]

    async def revoke(self, key_id: int) -> bool:
        """Ends a key's use; False if there is none or it was revoked before."""
        return await self._database.fetch_one(_SQL["revoke"], {"key_id": key_id}) is not None


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def _api_key(key_id: int, name: str, scopes: Collection[str], created_ms: int, revoked_ms: int) -> ApiKey:
    return ApiKey(key_id, name, frozenset(scopes), created_ms, revoked_ms)
