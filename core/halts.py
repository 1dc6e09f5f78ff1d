"""Halted channels: a channel that an operator, or the dead-letter limit, has told not to send. Its queue is the buffer."""

from dataclasses import dataclass

import orjson

from core import keys
from core.clock import SYSTEM_CLOCK, Clock
from core.keys import CHANNEL_NAMES
from core.model import Channel
from core.store import Store


@dataclass(frozen=True, slots=True)
class Halt:
    """Why a channel stands still, and since when (milliseconds since the epoch)."""

    channel: Channel
    reason: str
    since_ms: int


class Halts:
    """Which channels are halted, in Redis, so that all processes agree."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock

    async def halt(self, channel: Channel, reason: str) -> bool:
        """Halts a channel; False if it was halted already (the first reason stays)."""
        value = orjson.dumps({"reason": reason, "since_ms": self._clock.now_ms()})
        (new,) = await self._store.send([["HSETNX", keys.halts(), CHANNEL_NAMES[channel], value]])
        return bool(new)

    async def resume(self, channel: Channel) -> bool:
        """Lets a channel go on; False if it was not halted."""
        (gone,) = await self._store.send([["HDEL", keys.halts(), CHANNEL_NAMES[channel]]])
        return bool(gone)

    async def list(self) -> list[Halt]:
        """All halted channels."""
        (flat,) = await self._store.send([["HGETALL", keys.halts()]])
        found = {flat[i].decode(): orjson.loads(flat[i + 1]) for i in range(0, len(flat), 2)}
        return [Halt(c, found[n]["reason"], found[n]["since_ms"]) for c, n in CHANNEL_NAMES.items() if n in found]
