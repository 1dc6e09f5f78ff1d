"""The desk of one batch: hands out its messages, keeps the books of their attempts and tells Redis in small steps.

An entry that is claimed from a dead sender resumes where these steps left it. Knows no provider; decides nothing itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby

from core import metrics
from core.clock import Clock
from core.keys import CHANNEL_NAMES
from core.model import Channel, ErrorClass, Status
from core.station import Batch
from core.streams import Entry, Settlement, Wait
from fastpath import Record, overdue, pack_frame
from senders.aftermath import Aftermath, RetryPolicy, after_answer, after_expiry, after_success
from senders.provider import Answer, Desk, Message
from senders.tally import Tally
from senders.tracing import close_spans, open_spans

SAVE_ITEMS = 50  # progress is saved after so many items,
SAVE_S = 0.05  # or so long after the first one that is not saved
UNSAVED_MAX = 200  # no attempt begins while so many are not saved: the bound on what a crash can send twice while Redis is away


class BatchDesk(Desk):
    """senders.provider.Desk of one batch."""

    def __init__(
        self, batch: Batch, channel: Channel, clock: Clock, policy: RetryPolicy, on_dead: Callable[[], None] = lambda: None
    ) -> None:
        self._batch = batch
        self._channel = channel
        self._name = CHANNEL_NAMES[channel]
        self._clock = clock
        self._policy = policy
        self._on_dead = on_dead
        self._tallies: list[Tally] = []
        self._owners: list[Tally] = []  # by place
        for entry in batch.entries:
            tally = Tally(entry, len(self._owners))
            self._tallies.append(tally)
            self._owners += [tally] * len(tally.records)
        self._unsaved = 0
        self._saved = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._lost = False  # one of the entries at least
        self._failure: BaseException | None = None
        self._results: dict[tuple[int, Status], list[Record]] = {}

    def open(self) -> Sequence[Message]:
        """The batch's messages, but for those that are done already or came too late."""
        messages = []
        for tally in self._tallies:
            records, first = tally.records, tally.first
            messages += [Message(records[index], first + index) for index in tally.still_open(range(len(records)))]
        return self.in_time(messages)

    # What carriers do at the desk ---------------------------------------------------------------------------------------

    @property
    def draining(self) -> asyncio.Event:
        """See senders.provider.Desk."""
        return self._batch.draining

    def in_time(self, messages: Sequence[Message]) -> Sequence[Message]:
        """See senders.provider.Desk."""
        return self._in_time(messages, self._clock.now_ms())

    def _in_time(self, messages: Sequence[Message], now_ms: int) -> Sequence[Message]:
        late = overdue([message.record for message in messages], now_ms)
        if not late:
            return messages
        for message in [messages[i] for i in late]:
            tally = self._owners[message.place]
            self._note(tally, [message.place - tally.first], [message.record], after_expiry(message.record, now_ms))
        gone = set(late)
        return [message for i, message in enumerate(messages) if i not in gone]

    def postpone(self, message: Message, due_ms: int) -> None:
        """See senders.provider.Desk."""
        tally, record = self._owners[message.place], message.record
        wait = Wait(pack_frame([record]), due_ms, record.attempt)
        tally.add(message.place - tally.first, Aftermath(b"", Status.QUEUED, wait=wait))
        self._expect_saving(1)

    async def begin_all(self, messages: Sequence[Message]) -> Sequence[Message]:
        """See senders.provider.Desk.

        What a crash can send twice is what is begun and not saved: at most UNSAVED_MAX that have ended, and what is at the
        providers, so a call's messages at most for each call in flight.
        """
        while self._unsaved >= UNSAVED_MAX and self._failure is None:
            self._saved.clear()
            await self._saved.wait()
        if self._failure is not None or self._batch.draining.is_set():
            return ()
        trial = self._batch.trial
        if trial is not None and not trial.on:
            await trial.begin()
        if self._lost:
            messages = [message for message in messages if not self._owners[message.place].lost]
        now_ms = self._clock.now_ms()
        messages = self._in_time(messages, now_ms)
        for message in messages:
            message.begun_ms = now_ms
        open_spans(messages, self._name)
        return messages

    def end_all(self, messages: Sequence[Message], answer: Answer) -> None:
        """See senders.provider.Desk."""
        close_spans(messages, answer)
        now_ms = self._clock.now_ms()
        if answer.error_class is not ErrorClass.NONE:
            for message in messages:
                self._end_failed(message, answer, now_ms)
            return
        for tally, share in self._by_entry(messages):
            indexes = tally.still_open([message.place - tally.first for message in share])
            if indexes:
                items = [tally.records[index] for index in indexes]
                found = after_success(items, share[0].provider, answer, begun_ms=share[0].begun_ms, now_ms=now_ms)
                self._note(tally, indexes, items, found)

    def _by_entry(self, messages: Sequence[Message]) -> list[tuple[Tally, Sequence[Message]]]:
        """Neighbours that are of one entry, together."""
        owners = self._owners
        if len(messages) == 1:  # always, where each has a call of its own
            return [(owners[messages[0].place], messages)]
        return [(tally, list(group)) for tally, group in groupby(messages, lambda message: owners[message.place])]

    def _end_failed(self, message: Message, answer: Answer, now_ms: int) -> None:
        tally = self._owners[message.place]
        aftermath = after_answer(
            message.record,
            message.provider,
            answer,
            begun_ms=message.begun_ms,
            now_ms=now_ms,
            policy=self._policy,
            alternative=message.alternative,
        )
        if aftermath.wait is not None:
            metrics.RETRIES.labels(self._name, answer.error_class.name.lower()).inc()
        if aftermath.letter is not None:
            metrics.DEAD_LETTERS.labels(self._name).inc()
            self._on_dead()
        indexes = tally.still_open([message.place - tally.first])
        if indexes:
            self._note(tally, indexes, [message.record], aftermath)

    def _note(self, tally: Tally, indexes: Sequence[int], records: Sequence[Record], aftermath: Aftermath) -> None:
        tally.add_all(indexes, aftermath)
        key = (records[0].priority, aftermath.status)  # an entry has one priority
        results = self._results.get(key)
        if results is None:
            results = self._results[key] = []
        results += records
        self._expect_saving(len(indexes))

    def _expect_saving(self, items: int) -> None:
        self._unsaved += items
        if self._saving is None and not self._closing:
            if self._unsaved >= SAVE_ITEMS:
                self._start_saving()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(SAVE_S, self._start_saving)

    # Saving -------------------------------------------------------------------------------------------------------------

    def _start_saving(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._saving = asyncio.create_task(self._save())

    async def _save(self) -> None:
        """Tells Redis what is new, again and again while there is much of it; batch.settle waits for Redis if it is away."""
        try:
            while True:
                await self._settle(self._take())
                if self._closing or self._unsaved < SAVE_ITEMS:
                    break
        except Exception as error:
            self._failure = error  # raised by `close`; until then nothing new begins
        finally:
            self._saving = None
            self._saved.set()
        if self._unsaved and not self._closing and self._failure is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_S, self._start_saving)

    async def _settle(self, news: list[tuple[Tally, Settlement]]) -> None:
        ours = await self._batch.settle([settlement for _, settlement in news])
        self._saved.set()
        for (tally, _), is_ours in zip(news, ours, strict=True):
            tally.lost = tally.lost or not is_ours
            self._lost = self._lost or tally.lost

    def _take(self) -> list[tuple[Tally, Settlement]]:
        self._unsaved = 0
        taken = ((tally, tally.take(self._batch.partition, self._channel)) for tally in self._tallies)
        return [(tally, settlement) for tally, settlement in taken if settlement is not None]

    # The end ------------------------------------------------------------------------------------------------------------

    async def close(self) -> list[Settlement]:
        """What Redis was not told yet, to be settled by the caller; no attempt begins or ends after this."""
        await self._end()
        return [settlement for _, settlement in self._take()]

    async def _end(self) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._saving is not None:
            await self._saving
        if self._failure is not None:
            raise self._failure
        self._count()

    def drop(self) -> None:
        """Gives up at once (the process is cancelled): what was not saved is lost, and will be sent again by another."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._saving is not None:
            self._saving.cancel()

    def unseen(self) -> int:
        """How many messages of entries that are still ours are not in the books."""
        return sum(tally.open for tally in self._tallies if not tally.lost)

    async def hand_back(self) -> list[Entry]:
        """After a bug: tells Redis of what did go out; the entries that are still ours, as they stand then."""
        await self._end()
        await self._settle(self._take())
        return [entry for tally in self._tallies if (entry := tally.rest()) is not None]

    def _count(self) -> None:
        now_ms = self._clock.now_ms()
        for (priority, status), records in self._results.items():
            metrics.handled("sender", self._channel, priority, status.name.lower(), records, now_ms=now_ms)
        self._results = {}
