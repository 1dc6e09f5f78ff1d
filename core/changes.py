"""Who must look again: changed recipients and templates (caches drop them), news in an inbox (see core/pokes.py). Pub/sub only.

Messages may be lost (a subscriber was away), so every listener has a time limit of its own as well.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import aclosing, suppress

from redis.exceptions import RedisError

from core import keys
from core.store import Store

RECIPIENT = "recipient"
TEMPLATE = "template"
RECONNECT_S = 1.0  # pause before listening again after Redis was away


class Changes:
    """Tells and hears of changes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def publish(self, kind: str, key: str) -> None:
        """Says that the recipient or template `key` changed."""
        await self._store.send([["PUBLISH", keys.changes(), f"{kind} {key}"]])

    async def listen(self, callback: Callable[[str, str], None]) -> None:
        """Calls `callback(kind, key)` for each change, until cancelled; goes on after Redis was away."""
        while True:
            with suppress(RedisError, OSError):
                await self._listen(callback)
            await asyncio.sleep(RECONNECT_S)

    async def poke_inbox(self, *recipient_ids: str) -> None:
        """Says that these recipients' inboxes have news."""
        await self._store.send([["PUBLISH", inbox_channel(recipient_id), "1"] for recipient_id in recipient_ids])

    async def _listen(self, callback: Callable[[str, str], None]) -> None:
        async with aclosing(self._store.redis.pubsub(ignore_subscribe_messages=True)) as pubsub:
            await pubsub.subscribe(keys.changes())
            while True:
                message = await pubsub.get_message(timeout=None)
                if message is not None:
                    kind, _, key = message["data"].decode().partition(" ")
                    callback(kind, key)


def inbox_channel(recipient_id: str) -> str:
    """The channel of a recipient's inbox; ids may be e-mail addresses, which do not belong into a name."""
    return keys.inbox(hashlib.blake2b(recipient_id.encode(), digest_size=12).hexdigest())
