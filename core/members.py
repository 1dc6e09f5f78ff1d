"""Which processes of a station live, and which partitions each of them reads. Heartbeats by Redis' clock, no coordinator."""

import os
import secrets
import socket
from collections.abc import Sequence

from core import keys
from core.store import Store

BEAT_S = 1.0  # seconds between heartbeats
TTL_MS = 3_000  # silent for longer is dead: its partitions and entries go to others
FORGET_MS = 600_000  # a name is dropped from the list after this


def new_name() -> str:
    """A name no other process has: host, process id, random. A restarted process is another member."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def share(partitions: int, members: Sequence[str], me: str) -> frozenset[int]:
    """The partitions that `me` reads: dealt out in turn over the sorted names, so every process computes the same."""
    names = sorted(members)
    if me not in names:
        return frozenset()
    return frozenset(range(names.index(me), partitions, len(names)))


class Members:
    """One process' membership in a station ("dispatcher", "sender-email")."""

    def __init__(self, store: Store, station: str, name: str) -> None:
        self._store = store
        self._key = keys.members(station)
        self.name = name

    async def open(self) -> "Members":
        """Loads the script; call once before `beat`."""
        self._script = await self._store.script("beat")
        return self

    async def beat(self) -> list[str]:
        """Says that this process lives; names of all that do."""
        (names,) = await self._store.send([self._script.call([self._key], [self.name, TTL_MS, FORGET_MS])])
        return [name.decode() for name in names]

    async def leave(self) -> None:
        """Says goodbye: what this process still holds is claimed at once instead of after TTL_MS."""
        await self._store.send([["ZREM", self._key, self.name]])


async def list_members(store: Store, station: str) -> list[tuple[str, int]]:
    """Living members of a station: (name, milliseconds since its last heartbeat)."""
    rows, (seconds, micros) = await store.send([["ZRANGE", keys.members(station), 0, -1, "WITHSCORES"], ["TIME"]])
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    ages = [(rows[i].decode(), now_ms - int(float(rows[i + 1]))) for i in range(0, len(rows), 2)]
    return [(name, age) for name, age in ages if age <= TTL_MS]
