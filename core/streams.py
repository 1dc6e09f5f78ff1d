"""The verbs of a stream: append, take, settle, adopt. One round trip each, each atomic and fenced.

The names come from core/keys.py, the atomic steps from core/scripts; what is inside a frame is not looked at here, but on
its way in and out of Redis each goes through core/squeeze.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core import keys
from core.durability import Durability
from core.errors import StoreError
from core.squeeze import restore, squeeze
from core.store import Command, Store

FIELD = b"f"  # the only field of an entry: its frame
TRIAL_MS = 24 * 3600 * 1000  # the mark of an entry on trial that ended in another way is forgotten after this
LEASE_MS = 5_000  # a waiting item in hand falls due again after this; a living consumer renews it (see `renew`)


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry in a station's hand.

    Attributes:
        stream: the base stream's name, for waiting items too.
        id: the entry's id, in `stream` or, if `waiting`, in keys.waiting(stream).
        frame: packed records, see fastpath.unpack_frame.
        waiting: True for an item that had to wait (a retry, a schedule): exactly one record.
        deliveries: how often Redis handed it out, this time included; for a waiting item plus its attempts.
        done: bitmap (bit i of byte i // 8) of records whose outcome is already appended; b"" for a waiting item.
    """

    stream: str
    id: str
    frame: bytes
    waiting: bool = False
    deliveries: int = 1
    done: bytes = b""

    @property
    def records(self) -> int:
        """How many records the frame says it has."""
        return int.from_bytes(self.frame[4:8], "little")


@dataclass(frozen=True, slots=True)
class Append:
    """A frame for the end of a stream."""

    stream: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """One record (as a frame of its own) that must be looked at again at `due_ms`, after `attempts` attempts."""

    frame: bytes
    due_ms: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of an entry: appended and put to wait in the step that ends it.

    With `done` the entry stays, and only progress inside it is noted (see Entry.done; it grows with each step).
    All streams must belong to the entry's partition.
    """

    entry: Entry
    appends: tuple[Append, ...] = ()
    waits: tuple[Wait, ...] = ()
    done: bytes | None = None


class Streams:
    """Redis Streams as one consumer of one group sees them."""

    def __init__(self, store: Store, group: str = "", consumer: str = "") -> None:
        self._store = store
        self._group = group
        self._consumer = consumer
        self._loaded = False

    async def open(self) -> "Streams":
        """Loads the scripts; call once before take, settle or adopt."""
        if not self._loaded:
            # A dispatcher's settlement takes more room than it frees, so a full Redis refuses it; the others' make room.
            self._take = await self._store.script("take", relieving=True)
            self._settle = await self._store.script("settle", relieving=self._group != keys.DISPATCHERS)
            self._adopt = await self._store.script("adopt")
            self._bury = await self._store.script("bury")
            self._trial = await self._store.script("trial", relieving=True)
            self._loaded = True
        return self

    async def create_groups(self, streams: Sequence[str]) -> None:
        """Makes the consumer group on every stream and its waiting stream, from 0 (nothing appended earlier is missed)."""
        names = [name for stream in streams for name in (stream, keys.waiting(stream))]
        for reply in await self._store.exchange([["XGROUP", "CREATE", n, self._group, "0", "MKSTREAM"] for n in names]):
            if isinstance(reply, StoreError) and "BUSYGROUP" not in str(reply):
                raise reply

    async def append(self, items: Sequence[Append], durability: Durability | None = None) -> list[str]:
        """XADDs frames, in order; their entry ids. After StoreUnavailable some or all may have been added.

        With `durability`, returns only when the frames are on as many disks and replicas as it asks for.
        """
        commands: list[Command] = [["XADD", item.stream, "*", FIELD, squeeze(item.frame)] for item in items]
        if durability is not None:
            commands.append(durability.command())
        replies = await self._store.send(commands)
        if durability is not None:
            durability.verify(replies.pop())
        return [reply.decode() for reply in replies]

    async def take(self, streams: Sequence[str], now_ms: int, budget: int) -> list[Entry]:
        """What is due or new, strictly in the order of `streams`, up to about `budget` records (at least one entry)."""
        return (await self.settle_and_take((), streams, now_ms, budget))[1]

    async def settle_and_take(
        self, settlements: Sequence[Settlement], streams: Sequence[str], now_ms: int, budget: int
    ) -> tuple[list[bool | StoreError], list[Entry]]:
        """`settle` and then `take` in one round trip.

        A refused settlement is a StoreError in its place, and what was taken is ours all the same.

        Raises:
            StoreError: nothing was taken that is known of; the settlements may stand, and settling them again is safe.
        """
        names = [n for s in streams for n in (s, keys.waiting(s), keys.due(s))]
        args: Command = [self._group, self._consumer, now_ms, LEASE_MS, budget]
        ours, flat = await self._settle_and(settlements, self._take.call(names, args))
        return ours, [
            Entry(
                streams[int(flat[i])],
                flat[i + 2].decode(),
                restore(flat[i + 3]),
                bool(flat[i + 1]),
                int(flat[i + 4]),
                flat[i + 5],
            )
            for i in range(0, len(flat), 6)
        ]

    async def wait_for_new(self, streams: Sequence[str], block_ms: int) -> list[Entry]:
        """Blocks until one of `streams` has something new; at most one entry each, in their order. [] after `block_ms`."""
        return (await self.settle_and_wait((), streams, block_ms))[1]

    async def settle_and_wait(
        self, settlements: Sequence[Settlement], streams: Sequence[str], block_ms: int
    ) -> tuple[list[bool | StoreError], list[Entry]]:
        """`settle`, at once, and then `wait_for_new`, in one round trip; as `settle_and_take`."""
        head: Command = ["XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", 1, "BLOCK", block_ms, "STREAMS"]
        command: Command = [*head, *streams, *([">"] * len(streams))]
        ours, reply = await self._settle_and(settlements, command, read_timeout_s=block_ms / 1000 + 5.0)
        found = {name.decode(): entries for name, entries in reply or ()}
        new = [Entry(stream, id_.decode(), restore(fields[1])) for stream in streams for id_, fields in found.get(stream, ())]
        return ours, new

    async def _settle_and(
        self, settlements: Sequence[Settlement], read: Command, *, read_timeout_s: float | None = None
    ) -> tuple[list[bool | StoreError], Any]:
        commands = [*map(self._settle_command, settlements), read]
        *replies, found = await self._store.exchange(commands, read_timeout_s=read_timeout_s)
        if isinstance(found, StoreError):
            raise found
        return [reply if isinstance(reply, StoreError) else reply == 1 for reply in replies], found

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Ends (or notes progress in) entries, each atomically; False where the entry is another consumer's by now."""
        replies = await self._store.send([self._settle_command(s) for s in settlements])
        return [reply == 1 for reply in replies]

    def _settle_command(self, s: Settlement) -> Command:
        stream = s.entry.stream
        waiting = keys.waiting(stream)
        held_in = waiting if s.entry.waiting else stream
        names = [held_in, keys.progress(stream), waiting, keys.due(stream), *(a.stream for a in s.appends)]
        args: list[bytes | str | int] = [self._group, self._consumer, s.entry.id, s.done or b"", len(s.appends)]
        args.extend(squeeze(a.frame) for a in s.appends)
        for wait in s.waits:
            args += (squeeze(wait.frame), wait.due_ms, wait.attempts)
        return self._settle.call(names, args)

    async def holders(self, streams: Sequence[str]) -> dict[str, dict[str, int]]:
        """Which consumers have entries in hand: stream -> consumer -> how many."""
        replies = await self._store.send([["XPENDING", stream, self._group] for stream in streams])
        return {
            stream: {name.decode(): int(count) for name, count in reply[3] or ()}
            for stream, reply in zip(streams, replies, strict=True)
        }

    async def held_by(self, stream: str, consumer: str, count: int, *, idle_ms: int = 0) -> list[str]:
        """Ids of up to `count` entries that were handed out to `consumer` at least `idle_ms` ago, oldest first."""
        (rows,) = await self._store.send([["XPENDING", stream, self._group, "IDLE", idle_ms, "-", "+", count, consumer]])
        return [row[0].decode() for row in rows]

    async def adopt(self, stream: str, ids: Sequence[str], holder: str = "") -> list[Entry]:
        """Claims those of the entries that are still `holder`'s (this consumer's by default), who will not finish them.

        Counts a delivery each (XCLAIM).
        """
        if not ids:
            return []
        args: Command = [self._group, self._consumer, holder or self._consumer, *ids]
        (flat,) = await self._store.send([self._adopt.call([stream, keys.progress(stream)], args)])
        return [
            Entry(stream, flat[i].decode(), restore(flat[i + 1]), False, int(flat[i + 2]), flat[i + 3])
            for i in range(0, len(flat), 4)
        ]

    async def mark(self, entry: Entry) -> int | None:
        """Notes that an entry is on trial (core/trial.py); the delivery in which it was before, None for none."""
        return await self._mark(entry, str(entry.deliveries))

    async def unmark(self, entry: Entry) -> None:
        """An entry is on trial no more."""
        await self._mark(entry, "")

    async def _mark(self, entry: Entry, delivery: str) -> int | None:
        field = f"w{entry.id}" if entry.waiting else entry.id
        (before,) = await self._store.send([self._trial.call([keys.trials(entry.stream)], [field, delivery, TRIAL_MS])])
        return int(before) if before else None

    async def renew(self, entries: Sequence[Entry], now_ms: int) -> None:
        """Extends the leases of waiting items that are still in hand (only where the item is still there)."""
        until_ms = now_ms + LEASE_MS
        commands: list[Command] = [["ZADD", keys.due(e.stream), "XX", until_ms, e.id] for e in entries if e.waiting]
        if commands:
            await self._store.send(commands)

    async def bury(self, streams: Sequence[str], living: Sequence[str]) -> int:
        """Removes dead processes' consumers that hold nothing; how many."""
        names = [name for stream in streams for name in (stream, keys.waiting(stream))]
        return sum(await self._store.send([self._bury.call([n], [self._group, *living]) for n in names]))

    async def peek(self, stream: str, from_ms: int, to_ms: int, count: int) -> list[tuple[str, bytes]]:
        """Entries added between two times (ms, inclusive), oldest first, without taking them: (entry id, frame)."""
        (rows,) = await self._store.send([["XRANGE", stream, from_ms, to_ms, "COUNT", count]])
        return [(id_.decode(), restore(fields[1])) for id_, fields in rows]
