"""The station loop, written once: read by priority, hand to the handler, settle, claim what the dead left, drain.

Knows no notification: a station's own work is its Handler. Each partition is a lane; a process reads the lanes that
core/members.py deals it, so one recipient's entries meet one reader and keep their order.

Shutdown order (SIGTERM): 1. stop reading; 2. let batches in hand finish, for at most DRAIN_S; 3. leave the members, so that
what is still in hand is claimed at once by others; 4. return.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from core import members, poison, tasks
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import LedgerUnavailable, StoreError, StoreFull, StoreUnavailable
from core.lane import Ended, Lane
from core.metrics import BATCH_ITEMS, FENCED
from core.store import Store, persist
from core.streams import Entry, Settlement, Streams
from core.trial import Trial
from core.turns import Turns

log = logging.getLogger("tidings.station")

DRAIN_S = 20.0  # batches in hand get this long to finish after SIGTERM
BLOCK_MS = 200  # an idle lane looks for due items this often
URGENT_S = 0.01  # a lane whose hands are full looks for urgent items this often
BUDGET = 512  # records in one slice (one frame at least): a critical entry never waits long for a slice of low ones
PAUSE_FIRST_S = 0.1  # back-off of a lane whose store or ledger is away
PAUSE_LAST_S = 2.0
SETBACK_S = 1.0  # an entry whose handling raised is handed out again after this, times the square of its deliveries
LOST_REPLY_MS = 8_000  # ours for so long and not in hand: longer than any reply is waited for, see core/store.py
Read: TypeAlias = Callable[[Sequence[Settlement]], Awaitable[tuple[list[bool | StoreError], list[Entry]]]]
TEMPORARY = (StoreUnavailable, StoreFull, LedgerUnavailable)


@dataclass(slots=True)
class Batch:
    """Entries of one partition for a handler, critical ones first.

    `settle` notes progress while the handler works (partial settlements); it does not return before Redis took it, and
    says for each whether the entry was still ours. `draining` is set when the process was asked to stop. When the handler
    raises, `entries` are handed out again: it takes out what is settled, and what is another's by now. `trial`: of a batch
    of one that was handed out often; a handler in whose hand it only waits lets it rest.
    """

    partition: int
    entries: list[Entry]
    settle: Callable[[Sequence[Settlement]], Awaitable[list[bool]]]
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    trial: Trial | None = None


class Handler(Protocol):
    """A station's own work."""

    async def handle(self, batch: Batch) -> list[Settlement]:
        """Works on a batch; the final settlement of every entry in it.

        Raises:
            StoreUnavailable, LedgerUnavailable: nothing was done yet; the same batch is handed in again after a pause.
            Exception: a bug; the entries stay pending and are handed in again one by one, see core/poison.py.
        """
        ...


class StationLoop:
    """One process of a station."""

    def __init__(
        self,
        store: Store,
        station: str,
        group: str,
        sources: Callable[[int], list[str]],
        handler: Handler,
        *,
        partitions: int,
        poison_limit: int = 3,
        concurrency: int = 1,
        budget: int = BUDGET,
        apart: bool = False,
        may_read: Callable[[], bool] = lambda: True,
        on_poison: Callable[[int], None] = lambda count: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """A process of `station`, reading with consumer group `group`.

        Args:
            store: Redis.
            station: its name among members and in metrics, e.g. "sender-email".
            group: the consumer group.
            sources: the streams of a partition, most urgent first.
            handler: the station's own work.
            partitions: how many there are.
            poison_limit: deliveries after which an entry is tried alone, see core/poison.py.
            concurrency: batches in hand per lane; above 1 there are as many places again, for the most urgent stream.
            budget: records in one slice.
            apart: the most urgent stream is read by itself, so that it does not wait for a slice of the others to be over.
            may_read: asked before each read; while it says no, the queue is the buffer (a halted channel, an open breaker).
            on_poison: told how many dead letters core/poison.py has just made.
            clock: what time is due by.
        """
        self.station = station
        self.name = members.new_name()
        self._store = store
        self._handler = handler
        self._clock = clock
        self._budget = budget
        self._concurrency = concurrency
        self._poison_limit = poison_limit
        self._may_read = may_read
        self._on_poison = on_poison
        self._streams = Streams(store, group, self.name)
        self._members = members.Members(store, station, self.name)
        self._partitions = partitions
        self._lanes = [lane for p in range(partitions) for lane in _lanes(p, sources(p), apart)]
        self._turns = Turns()
        self._living: list[str] = []
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Works until `stop` is called and what was in hand is settled (or DRAIN_S are over).

        Raises:
            Exception: a bug ended a lane or the heartbeat; a process that goes on without it would be taken for a living one.
        """
        await self._open()
        lanes = [asyncio.create_task(self._run_lane(lane)) for lane in self._lanes]
        beats = asyncio.create_task(self._keep_beating())
        stopping = asyncio.create_task(self._until_stopping())
        try:
            done, _ = await asyncio.wait((stopping, beats, *lanes), return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                done, late = await asyncio.wait(lanes, timeout=DRAIN_S)
                if late:
                    log.warning("drain took too long: entries in hand are left to others", extra={"station": self.station})
            for task in done:
                task.result()
        finally:
            await tasks.end(stopping, beats, *lanes)
            await self._leave()

    def stop(self) -> None:
        """Begins the drain; `run` returns when it is done. Safe to call from a signal handler."""
        self._stopping.set()

    async def _until_stopping(self) -> None:
        await self._stopping.wait()

    @property
    def living(self) -> Sequence[str]:
        """Names of the station's living processes, as of the last heartbeat."""
        return self._living

    async def _open(self) -> None:
        async def attempt() -> None:
            await self._streams.open()
            await self._members.open()
            await self._streams.create_groups([s for lane in self._lanes for s in lane.sources])
            self._assign(await self._members.beat())

        await persist(attempt, on_retry=self._complain)

    async def _leave(self) -> None:
        try:
            await self._members.leave()
        except StoreError as error:
            log.warning("could not say goodbye: %s", error, extra={"station": self.station})

    # Membership -----------------------------------------------------------------------------------------------------

    def _assign(self, living: list[str]) -> None:
        self._living = living
        mine = members.share(self._partitions, living, self.name)
        for lane in self._lanes:
            lane.owned.set() if lane.partition in mine else lane.owned.clear()

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(members.BEAT_S)
            try:
                self._assign(await self._members.beat())
                now_ms = self._clock.now_ms()
                for lane in self._lanes:
                    await self._streams.renew(list(lane.in_hand.values()), now_ms)
                    if not self._stopping.is_set():
                        lane.orphans = await self._find_orphans(lane)
            except StoreError as error:
                self._complain(error, members.BEAT_S)

    async def _find_orphans(self, lane: Lane) -> list[tuple[str, str, str]]:
        """Entries that nobody works on: (stream, id, holder). Costs one XPENDING summary a stream while there are none.

        Those of dead consumers are for the owner of the lane. Our own that are not in hand are lost replies: Redis handed
        them out to us, and its answer never came through (a broken connection, a process that was paused).
        """
        found: list[tuple[str, str, str]] = []
        for stream, holders in (await self._streams.holders(lane.sources)).items():
            if lane.owned.is_set():
                for name in holders.keys() - {*self._living, self.name}:
                    found += [(stream, id_, name) for id_ in await self._streams.held_by(stream, name, self._budget)]
            if holders.get(self.name, 0) > lane.holds(stream):
                ids = await self._streams.held_by(stream, self.name, self._budget, idle_ms=LOST_REPLY_MS)
                found += [(stream, id_, "") for id_ in ids]
        if lane.owned.is_set() and not found and lane.burial_due():
            await self._streams.bury(lane.sources, self._living)
        return found

    # Lanes ----------------------------------------------------------------------------------------------------------

    async def _run_lane(self, lane: Lane) -> None:
        pause_s = PAUSE_FIRST_S
        async with asyncio.TaskGroup() as batches:
            while not self._stopping.is_set():
                try:
                    entries = await self._next(lane)
                except StoreError as error:
                    if "NOGROUP" in str(error):  # the streams were flushed: make the groups again
                        await persist(lambda: self._streams.create_groups(lane.sources), on_retry=self._complain)
                    self._complain(error, pause_s)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, PAUSE_LAST_S)
                    continue
                pause_s = PAUSE_FIRST_S
                for group in poison.isolate(lane.admit(entries), self._poison_limit):
                    await self._conclude(lane)
                    lane.begin()
                    if self._concurrency == 1:
                        await self._work(lane, group)
                    else:
                        batches.create_task(self._work(lane, group))
                        await lane.room(self._concurrency)
            await self._conclude(lane)

    async def _next(self, lane: Lane) -> list[Entry]:
        """The next slice: orphans, what was set back, what is due or new; waits a little if there is nothing."""
        now_ms = self._clock.now_ms()
        if (lane.orphans or lane.setbacks) and self._may_read():  # of a lane that is another's by now, too: they are ours
            await self._conclude(lane)
            adopted = await self._adopt(lane, now_ms)
            if adopted:
                return adopted
        if not lane.owned.is_set() or not self._may_read():
            await self._conclude(lane)
            await asyncio.sleep(BLOCK_MS / 1000)
            return []
        if lane.held_up:
            await self._conclude(lane)
        if not await lane.let_by(BLOCK_MS / 1000):
            return []
        full, sources = lane.full(self._concurrency), lane.readable(self._concurrency)
        if full or not lane.quiet_ms():
            found = await self._read(lane, lambda ended: self._streams.settle_and_take(ended, sources, now_ms, self._budget))
            lane.note_slice(_records(found), self._budget)
            if found:
                return found
            if full:  # no read that blocks: a hand that is free meanwhile would wait for its end
                await lane.hand_freed(self._concurrency, URGENT_S)
                return []
            lane.note_nothing(BLOCK_MS / 1000)
        block_ms = lane.quiet_ms() or 1
        found = await self._read(lane, lambda ended: self._streams.settle_and_wait(ended, sources, block_ms))
        lane.note_arrival(_records(found))
        return found

    async def _read(self, lane: Lane, read: Read) -> list[Entry]:
        """Reads, and settles in the same round trip what has ended; when Redis is away both are done once more."""
        ended = lane.ended
        ours, found = await read(ended.settlements if ended is not None else ())
        lane.ended = None
        if ended is not None:
            self._note_fenced([one for one in ours if not isinstance(one, StoreError)])
            refused = [s for s, one in zip(ended.settlements, ours, strict=True) if isinstance(one, StoreError)]
            await self._see_through(lane, ended, refused)
        return found

    async def _conclude(self, lane: Lane) -> None:
        """Settles by itself what has ended, where no read follows at once."""
        ended, lane.ended = lane.ended, None
        if ended is not None:
            await self._see_through(lane, ended, ended.settlements)

    async def _see_through(self, lane: Lane, ended: Ended, left: Sequence[Settlement]) -> None:
        """Settles what is left to settle of it; its entries are not in hand any more then."""
        try:
            await self._settle(left)
        except StoreError:
            self._set_back(lane, [settlement.entry for settlement in left])
        lane.forget(ended.entries)

    async def _adopt(self, lane: Lane, now_ms: int) -> list[Entry]:
        adopted: list[Entry] = []
        for (stream, holder), ids in lane.to_adopt(now_ms).items():
            adopted += await self._streams.adopt(stream, ids, holder)
        return adopted

    async def _work(self, lane: Lane, entries: list[Entry]) -> None:
        """One batch; never raises, so that one batch does not end the others.

        Where batches come one after another its settlement goes along with the lane's next read: one round trip less for each.
        """
        batch = Batch(lane.partition, entries, self._settle, self._stopping)
        try:
            settlements = await self._answer(lane, batch)
            if self._concurrency == 1 and batch.trial is None:
                lane.ended = Ended(entries, settlements)
                return
            await self._settle(settlements)
            if batch.trial is not None:
                await batch.trial.rest()
        except Exception:
            if batch.trial is not None:
                with suppress(StoreError):
                    await batch.trial.begin()  # it failed, wherever: the next one who gets it shall know
            self._set_back(lane, batch.entries)
        finally:
            lane.end()
        lane.forget(entries)

    async def _answer(self, lane: Lane, batch: Batch) -> list[Settlement]:
        """What is to be settled of a batch."""
        entries = batch.entries
        if poison.is_suspect(entries[0], self._poison_limit):
            batch.trial = Trial(self._streams, entries[0], self._complain)
        if batch.trial is not None and not await self._is_tried(batch.trial, entries[0]):
            return [self._set_aside(lane, entries[0])]
        if not lane.is_urgent(entries):
            await self._turns.wait()
        BATCH_ITEMS.observe((self.station,), _records(entries))
        return await self._handle(batch)

    def _set_back(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Called where an error is handled: entries whose handling raised are handed out again after a while."""
        log.exception("batch failed, its entries will be handed out again", extra={"station": self.station})
        now_ms = self._clock.now_ms()
        for entry in entries:
            lane.set_back(entry, now_ms + int(SETBACK_S * 1000) * min(entry.deliveries, 8) ** 2)

    async def _is_tried(self, trial: Trial, entry: Entry) -> bool:
        """Puts it on trial; False if it is spoilt."""
        return await trial.begin() and not poison.is_spoilt(entry, self._poison_limit)

    def _set_aside(self, lane: Lane, entry: Entry) -> Settlement:
        settlement = poison.settlement(entry, lane.partition, self._clock.now_ms())
        log.error("an entry is set aside as poison", extra={"station": self.station})
        self._on_poison(not settlement.waits)
        return settlement

    async def _handle(self, batch: Batch) -> list[Settlement]:
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                return await self._handler.handle(batch)
            except TEMPORARY as error:
                if self._stopping.is_set():
                    return []  # the entries stay pending; whoever reads the lane next has them
                self._complain(error, pause_s)
                if batch.trial is not None:
                    await batch.trial.rest()  # an outage is not its doing
                await asyncio.sleep(pause_s)
                if batch.trial is not None:
                    await batch.trial.begin()
                pause_s = min(pause_s * 2, PAUSE_LAST_S)

    async def _settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Settles, however long Redis is away: what was sent must not be forgotten, and repeating it is safe."""
        if not settlements:
            return []
        ours = await persist(lambda: self._streams.settle(settlements), on_retry=self._complain)
        self._note_fenced(ours)
        return ours

    def _note_fenced(self, ours: Sequence[bool]) -> None:
        if not all(ours):
            FENCED.labels(self.station).inc(ours.count(False))
            log.warning("%d of %d entries were claimed by another process meanwhile", ours.count(False), len(ours))

    def _complain(self, error: Exception, pause_s: float) -> None:
        log.warning("waiting %.1f s: %s", pause_s, error, extra={"station": self.station})


def _records(entries: Sequence[Entry]) -> int:
    return sum(entry.records for entry in entries)


def _lanes(partition: int, sources: list[str], apart: bool) -> list[Lane]:
    """The lanes of a partition."""
    if not apart:
        return [Lane(partition, sources)]
    first = Lane(partition, sources[:1])
    return [first, Lane(partition, sources[1:], first)]
