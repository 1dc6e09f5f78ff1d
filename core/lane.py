"""One partition as a station process reads it: what is in hand, what was set back, what nobody works on. No I/O here."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.streams import Entry, Settlement

FAIR_TURN = 16  # every so many slices the order is reversed, so that low is never starved for good
FEW = 8  # records that come one by one, and leave nothing unread behind them
BURIAL_S = 60.0  # how often dead consumers without entries are looked for


@dataclass(frozen=True, slots=True)
class Ended:
    """Entries that were worked on, and what came of them: still in hand until Redis has taken the settlements."""

    entries: Sequence[Entry]
    settlements: Sequence[Settlement]


class Lane:
    """The state of one partition in one process, or of its less urgent streams: then `ahead` is the lane of the others."""

    def __init__(self, partition: int, sources: list[str], ahead: "Lane | None" = None) -> None:
        self.partition = partition
        self.sources = sources
        self.ahead = ahead
        self.owned = asyncio.Event()
        self.in_hand: dict[tuple[str, str, bool], Entry] = {}
        self.ended: Ended | None = None  # to be settled in the round trip of the next read
        self.orphans: list[tuple[str, str, str]] = []  # stream, id, whose
        self.setbacks: dict[tuple[str, str], int] = {}
        self._batches = 0
        self._freed = asyncio.Event()
        self._turn = 0
        self._full_slices = 0  # in a row
        self._let_by = asyncio.Event()
        self._let_by.set()
        self._quiet_until = 0.0
        self._buried_at = time.monotonic()

    def readable(self, concurrency: int) -> list[str]:
        """The streams to read now: all of them, most urgent first; only the most urgent while all usual hands are full."""
        if self.full(concurrency):
            return self.sources[:1]
        self._turn = (self._turn + 1) % FAIR_TURN
        return self.sources if self._turn else self.sources[::-1]

    def note_nothing(self, seconds: float) -> None:
        """A look found nothing due and nothing unread: the next one is worth its round trip after so many seconds."""
        self._quiet_until = time.monotonic() + seconds

    def note_arrival(self, records: int) -> None:
        """So many were waited for and came; where many come, more have come behind them."""
        if records > FEW:
            self._quiet_until = 0.0

    def quiet_ms(self) -> int:
        """Milliseconds for which a look is not worth its round trip: what comes is waited for. 0: look."""
        return max(int((self._quiet_until - time.monotonic()) * 1000), 0)

    def is_urgent(self, entries: list[Entry]) -> bool:
        """Whether a slice begins with the most urgent there is."""
        return self.ahead is None and entries[0].stream == self.sources[0]

    def note_slice(self, records: int, budget: int) -> None:
        """Says how much was found to read; while that is as much as may be, the lane behind waits, but for its fair turn."""
        self._full_slices = self._full_slices + 1 if records >= budget else 0
        if self._full_slices % FAIR_TURN:
            self._let_by.clear()
        else:
            self._let_by.set()

    @property
    def held_up(self) -> bool:
        """Whether the lane ahead has so much to read that this one waits."""
        return self.ahead is not None and not self.ahead._let_by.is_set()

    async def let_by(self, seconds: float) -> bool:
        """Whether the lane ahead lets this one read; waits for that at most so long."""
        if self.ahead is None or not self.held_up:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ahead._let_by.wait(), seconds)
            return True
        return False

    def full(self, concurrency: int) -> bool:
        """Whether all usual hands are."""
        return self._batches >= concurrency

    async def hand_freed(self, concurrency: int, seconds: float) -> None:
        """Waits until a usual hand is free, at most so long."""
        if self.full(concurrency):
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._freed.wait()

    def admit(self, entries: list[Entry]) -> list[Entry]:
        """Takes entries in hand; those that already are (a lease ran out while we were busy) are left out."""
        fresh = []
        for entry in entries:
            key = (entry.stream, entry.id, entry.waiting)
            if key not in self.in_hand:
                self.in_hand[key] = entry
                fresh.append(entry)
        return fresh

    def begin(self) -> None:
        """A batch is begun."""
        self._batches += 1

    def end(self) -> None:
        """A batch is over: a hand is free."""
        self._batches -= 1
        self._freed.set()

    def forget(self, entries: Sequence[Entry]) -> None:
        """Redis knows what became of these: they are not in hand any more."""
        for entry in entries:
            self.in_hand.pop((entry.stream, entry.id, entry.waiting), None)

    async def room(self, concurrency: int) -> None:
        """Waits until another batch may begin. Above `concurrency` there are as many places again, for the most urgent stream.

        So what is urgent is in hand when a provider is well again, however its items came: new, or due one by one.
        """
        while self._batches >= 2 * concurrency:
            self._freed.clear()
            await self._freed.wait()

    def holds(self, stream: str) -> int:
        """How many entries of a stream are in hand or set back (its waiting items apart)."""
        in_hand = sum(1 for name, _, waiting in self.in_hand if name == stream and not waiting)
        return in_hand + sum(1 for name, _ in self.setbacks if name == stream)

    def set_back(self, entry: Entry, due_ms: int) -> None:
        """Hands an entry out again at `due_ms`; a waiting one needs nothing, its lease runs out."""
        if not entry.waiting:
            self.setbacks[(entry.stream, entry.id)] = due_ms

    def to_adopt(self, now_ms: int) -> dict[tuple[str, str], list[str]]:
        """Ids to claim now, by stream and holder ("": this process): orphans, and setbacks that are due; forgotten here."""
        due = [key for key, at in self.setbacks.items() if at <= now_ms]
        for key in due:
            del self.setbacks[key]
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        wanted = {(stream, id_): holder for stream, id_, holder in self.orphans} | dict.fromkeys(due, "")
        for (stream, id_), holder in wanted.items():
            if (stream, id_, False) not in self.in_hand and (stream, id_) not in self.setbacks:
                found[stream, holder].append(id_)
        self.orphans = []
        return found

    def burial_due(self) -> bool:
        """True once every BURIAL_S."""
        if time.monotonic() - self._buried_at < BURIAL_S:
            return False
        self._buried_at = time.monotonic()
        return True
