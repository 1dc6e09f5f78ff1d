"""Who waits for news in an inbox, and is woken: any number of inboxes over one connection. Pub/sub only.

A poke may be lost (Redis was away), so whoever waits also looks from time to time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from core.changes import RECONNECT_S, inbox_channel
from core.store import Store

_NOBODY = inbox_channel("")  # a connection without subscriptions cannot be read: this one is always there


class Pokes:
    """Hears pokes while `run` runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pubsub: PubSub | None = None
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def run(self) -> None:
        """Listens until cancelled; goes on after Redis was away."""
        while True:
            with suppress(RedisError, OSError):
                await self._listen()
            for channel in self._waiting:
                self._wake(channel)  # what was said meanwhile was not heard
            await asyncio.sleep(RECONNECT_S)

    @asynccontextmanager
    async def watching(self, recipient_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when listening has begun and at each poke; whoever waits for it clears it."""
        channel, event = inbox_channel(recipient_id), asyncio.Event()
        waiting = self._waiting.setdefault(channel, set())
        waiting.add(event)
        try:
            await self._say("subscribe", channel)
            yield event
        finally:
            waiting.discard(event)
            if not waiting and self._waiting.get(channel) is waiting:
                del self._waiting[channel]
                await self._say("unsubscribe", channel)

    async def _say(self, verb: str, channel: str) -> None:
        if self._pubsub is not None:
            with suppress(RedisError, OSError):  # `run` finds the connection broken, too, and subscribes to all anew
                await getattr(self._pubsub, verb)(channel)

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._store.redis.pubsub()) as pubsub:
            first = {_NOBODY, *self._waiting}
            await pubsub.subscribe(*first)
            self._pubsub = pubsub
            try:
                late = self._waiting.keys() - first
                if late:
                    await pubsub.subscribe(*late)
                while True:
                    message = await pubsub.get_message(timeout=None)
                    if message and message["type"] in ("subscribe", "message"):
                        self._wake(message["channel"].decode())
            finally:
                self._pubsub = None

    def _wake(self, channel: str) -> None:
        for event in self._waiting.get(channel, ()):
            event.set()
