"""Dead letters: find, replay, drop. One atomic step takes a letter out and hands it on, so no two operators replay it twice.

A letter is the delivery as its last sender left it: words rendered, provider, code, reason and attempts kept.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum

from core import keys
from core.clock import SYSTEM_CLOCK, Clock
from core.ids import partition_of
from core.model import Channel, ErrorClass, Priority, Station, Status
from core.store import Store
from core.streams import Append
from fastpath import Record, pack_frame, record, unpack_frame
from fastpath.layout import DELIVERY, NOTIFICATION, OUTCOME

EVERYWHERE: tuple[Channel | None, ...] = (*Channel, None)  # None: died before it was routed
PAGE = 200  # entries read from a stream at once


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        stream: the full name of its stream, entry_id: its place in it (together its key).
        died_ms: when it was put there, milliseconds since the epoch.
        record: the delivery (or, if it broke before it was routed, the notification); None if the bytes cannot be read.
    """

    stream: str
    entry_id: str
    died_ms: int
    record: Record | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters; an empty field admits all. Times in milliseconds since the epoch, `until_ms` exclusive."""

    channels: tuple[Channel | None, ...] = EVERYWHERE
    type: str = ""
    error_classes: frozenset[ErrorClass] = frozenset()
    after_ms: int = 0
    until_ms: int = 0

    def admits(self, letter: Letter) -> bool:
        """Whether type and error class fit (channel and time are chosen while reading)."""
        item = letter.record
        if item is None:
            return not self.type and not self.error_classes
        fits_class = not self.error_classes or item.error_class in self.error_classes
        return fits_class and (not self.type or item.type == self.type)


class Fate(Enum):
    """What became of a letter that was to be replayed."""

    REPLAYED = "replayed"
    EXPIRED = "expired"
    GONE = "gone"  # somebody else was first
    UNREADABLE = "unreadable"


class DeadLetters:
    """The dead-letter streams of all partitions."""

    def __init__(self, store: Store, partitions: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._partitions = partitions
        self._clock = clock

    async def open(self) -> "DeadLetters":
        """Loads the script; call once."""
        self._replay = await self._store.script("replay")
        return self

    async def find(self, wanted: Filter = Filter()) -> AsyncIterator[Letter]:
        """Letters that fit, oldest first within each stream; the whole stream is never in memory."""
        until = f"({wanted.until_ms}-0" if wanted.until_ms else "+"
        for partition in range(self._partitions):
            for channel in wanted.channels:
                stream = keys.dead(partition, channel)
                start = f"{wanted.after_ms}-0"
                while page := await self._page(stream, start, until):
                    for letter in page:
                        if wanted.admits(letter):
                            yield letter
                    start = f"({page[-1].entry_id}"

    async def _page(self, stream: str, start: str, until: str) -> list[Letter]:
        (rows,) = await self._store.send([["XRANGE", stream, start, until, "COUNT", PAGE]])
        return [_letter(stream, entry_id.decode(), fields[1]) for entry_id, fields in rows]

    async def get(self, stream: str, entry_id: str) -> Letter | None:
        """One letter by its key; None if it is gone, or `stream` is none of dead letters."""
        if stream not in {keys.dead(partition, channel) for partition in range(self._partitions) for channel in EVERYWHERE}:
            return None  # keys come from callers: the other streams are not theirs to take from
        page = await self._page(stream, entry_id, entry_id)
        return page[0] if page else None

    async def replay(self, letter: Letter) -> Fate:
        """Sends a letter again under its old id, with a fresh allowance of attempts; one whose time is over ends as expired."""
        item = letter.record
        if item is None or item.kind not in (DELIVERY, NOTIFICATION):
            return Fate.UNREADABLE
        now_ms = self._clock.now_ms()
        if item.expires_ms and item.expires_ms <= now_ms:
            done = await self._take_out(letter, _note(item, Status.EXPIRED, now_ms, "its expires_at passed before the replay"))
            return Fate.EXPIRED if done else Fate.GONE
        partition = partition_of(item.id)
        priority = Priority(item.priority)
        # Attempts go on being counted; the backoff, and how long an unreachable provider is waited for, start anew.
        again = item.replace(extra=item.attempt, error_class=0, queued_ms=now_ms if item.kind == DELIVERY else 0)
        if item.kind == NOTIFICATION:
            stream, notes = keys.inbound(partition, priority), []
        else:
            stream = keys.outbound(partition, Channel(item.channel), priority)
            notes = _note(item, Status.QUEUED, now_ms, "replayed by an operator")
        done = await self._take_out(letter, [Append(stream, pack_frame([again])), *notes])
        return Fate.REPLAYED if done else Fate.GONE

    async def drop(self, letter: Letter) -> bool:
        """Deletes a letter for good, and says so in its timeline; False if it was gone already."""
        item = letter.record
        notes = _note(item, Status.CANCELLED, self._clock.now_ms(), "dropped by an operator") if item is not None else []
        return await self._take_out(letter, notes)

    async def forget(self, letter: Letter) -> bool:
        """Deletes a letter that needs nothing any more (it did arrive); False if it was gone already."""
        return await self._take_out(letter, [])

    async def _take_out(self, letter: Letter, appends: Sequence[Append]) -> bool:
        names = [letter.stream, *(a.stream for a in appends)]
        (reply,) = await self._store.send([self._replay.call(names, [letter.entry_id, *(a.frame for a in appends)])])
        return bool(reply == 1)


def _letter(stream: str, entry_id: str, frame: bytes) -> Letter:
    try:
        item = unpack_frame(frame)[0]
    except ValueError:
        item = None
    return Letter(stream, entry_id, int(entry_id.split("-", maxsplit=1)[0]), item)


def _note(item: Record, status: Status, now_ms: int, reason: str) -> list[Append]:
    """An event of the delivery's timeline, written by an operator."""
    if item.kind not in (DELIVERY, NOTIFICATION):
        return []
    outcome = record(
        OUTCOME,
        id=item.id,
        priority=item.priority,
        klass=item.klass,
        channel=item.channel if item.kind == DELIVERY else 0,
        status=status,
        station=Station.OPERATOR,
        device=item.device,
        attempt=item.attempt,
        version=item.version,
        accepted_ms=item.accepted_ms,
        at_ms=now_ms,
        type=item.type,
        recipient_id=item.recipient_id,
        template=item.template,
        source=item.source,
        traceparent=item.traceparent,
        reason=reason,
    )
    return [Append(keys.outcomes(partition_of(item.id)), pack_frame([outcome]))]
