"""Who must look again: changed recipients and templates (caches drop them) and news in an inbox. Pub/sub only.

Messages may be lost (a subscriber was away), so every listener has a time limit of its own as well.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

from redis.exceptions import RedisError

from core import keys
from core.errors import StoreError
from core.store import Store, translate

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
            try:
                async for message in self._messages(keys.changes(), poll_s=None):
                    if message is not None:
                        kind, _, key = message.partition(" ")
                        callback(kind, key)
            except StoreError:
                await asyncio.sleep(RECONNECT_S)

    async def poke_inbox(self, recipient_id: str) -> None:
        """Says that a recipient's inbox has news."""
        await self._store.send([["PUBLISH", keys.inbox(_digest(recipient_id)), "1"]])

    async def inbox_pokes(self, recipient_id: str, poll_s: float) -> AsyncIterator[None]:
        """Yields when listening has begun (nothing after that is missed), at each poke, and every `poll_s` seconds."""
        async for _ in self._messages(keys.inbox(_digest(recipient_id)), poll_s=poll_s):
            yield None

    async def _messages(self, channel: str, poll_s: float | None) -> AsyncIterator[str | None]:
        pubsub = self._store.redis.pubsub(ignore_subscribe_messages=True)
        try:
            await pubsub.subscribe(channel)
            while True:
                message = await pubsub.get_message(timeout=poll_s)
                if message is None and poll_s is None:
                    continue
                yield message["data"].decode() if message else None
        except (RedisError, OSError) as error:
            raise translate(error) from error
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]


def _digest(recipient_id: str) -> str:
    """Recipient ids may be e-mail addresses: they do not belong into a channel's name."""
    return hashlib.blake2b(recipient_id.encode(), digest_size=12).hexdigest()
