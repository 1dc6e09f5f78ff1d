"""Producers that do not wait for answers: so many items a second, however the gateway fares. Writes down every answer."""

import asyncio
import multiprocessing
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from core.model import Priority
from tests.flood.books import Answers
from tidings.v1.notifications_pb2 import Notification, SendBatchRequest, SendRequest
from tidings.v1.notifications_pb2_grpc import NotificationsServiceStub
from tidings.v1.types_pb2 import CHANNEL_EMAIL, Recipient

TICK_S = 0.02
BATCH = 50  # items of a SendBatch
CALL_S = 20.0  # a call's deadline: one that passes is no clear answer
PEOPLE = 500
CONNECTIONS = 2  # of each process
# What floods; the last of the pattern goes in calls of its own, the others in batches.
PATTERN = (Priority.HIGH,) * 4 + (Priority.MEDIUM,) * 8 + (Priority.LOW,) * 8


@dataclass(frozen=True, slots=True)
class Offer:
    """How much is offered: items a second (and critical ones, in calls of their own), for how long, to whom, by which key."""

    per_s: float
    critical_per_s: float
    seconds: float
    target: str
    api_key: str


def notification(number: int, priority: Priority) -> Notification:
    """Number `number` of the flood."""
    made = Notification(
        type="flood",
        template="flood",
        priority=int(priority),  # type: ignore[arg-type]
        channels=[CHANNEL_EMAIL],
        recipient=Recipient(email=f"person-{number % PEOPLE}@example.com"),
    )
    made.data.update({"number": number, "text": "of a flood, " * 20})
    return made


async def offer(what: Offer) -> Answers:
    """Offers it all from processes of their own: who sends what is critical does not wait for those who flood. All answers."""
    loop, found = asyncio.get_running_loop(), Answers()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        for answers in await asyncio.gather(*(loop.run_in_executor(processes, produce, what, role) for role in (True, False))):
            found.add(answers)
    return found


def produce(what: Offer, critical: bool) -> Answers:
    """Offers either what is critical or all else; a process of its own."""
    return asyncio.run(Producer(what, critical).run())


class Producer:
    """A caller over a few connections."""

    def __init__(self, what: Offer, critical: bool) -> None:
        self._offer = what
        self._critical = critical
        self._auth = (("authorization", f"Bearer {what.api_key}"),)
        self._calls: set[asyncio.Task[None]] = set()
        self._turn = 0
        self.answers = Answers()

    async def run(self) -> Answers:
        """Offers it all by the clock, then waits for the last answer."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        channels = [grpc.aio.insecure_channel(self._offer.target, options=options) for _ in range(CONNECTIONS)]
        self._stubs = [NotificationsServiceStub(channel) for channel in channels]
        began = time.monotonic()
        per_s = self._offer.critical_per_s if self._critical else self._offer.per_s
        number = 0
        while (passed := time.monotonic() - began) < self._offer.seconds:
            due = int(passed * per_s)
            self._send(range(number, due))
            number = due
            await asyncio.sleep(TICK_S)
        while self._calls:
            await asyncio.wait(self._calls)
        for channel in channels:
            await channel.close()
        return self.answers

    def _send(self, numbers: range) -> None:
        self.answers.sent += len(numbers)
        batch: list[Notification] = []
        for number in numbers:
            place = number % len(PATTERN)
            item = notification(number, Priority.CRITICAL if self._critical else PATTERN[place])
            if self._critical or place == len(PATTERN) - 1:
                self._begin(self._one(item))
                continue
            batch.append(item)
            if len(batch) == BATCH:
                self._begin(self._many(batch))
                batch = []
        if batch:
            self._begin(self._many(batch))

    def _begin(self, call: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _stub(self) -> NotificationsServiceStub:
        self._turn += 1
        return self._stubs[self._turn % len(self._stubs)]

    async def _one(self, item: Notification) -> None:
        self.answers.critical_sent += self._critical
        began, at_ms = time.monotonic(), time.time_ns() // 1_000_000
        try:
            request = SendRequest(notification=item)
            response = await self._stub().Send(request, metadata=self._auth, timeout=CALL_S)  # type: ignore[misc]
        except grpc.aio.AioRpcError as error:
            self._note_failure(error, 1)
            return
        self.answers.accepted.append(response.notification_id)
        if self._critical:
            self.answers.critical[response.notification_id] = at_ms
            self.answers.answer_ms.append((time.monotonic() - began) * 1000)

    async def _many(self, items: Sequence[Notification]) -> None:
        try:
            request = SendBatchRequest(notifications=items)
            response = await self._stub().SendBatch(request, metadata=self._auth, timeout=CALL_S)  # type: ignore[misc]
        except grpc.aio.AioRpcError as error:
            self._note_failure(error, len(items))
            return
        for result in response.results:
            if not result.HasField("error"):
                self.answers.accepted.append(result.notification_id)
            else:
                self._note(result.error.code, 1, result.error.message)

    def _note_failure(self, error: grpc.aio.AioRpcError, items: int) -> None:
        """A whole call failed: clear is an answer that says when to come back."""
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        delays = [any_ for any_ in status.details if any_.Is(error_details_pb2.RetryInfo.DESCRIPTOR)] if status else []
        if delays:
            self._note(error.code().value[0], items, error.details() or "")
        else:
            self.answers.unclear[f"{error.code().name} without a delay: {error.details()}"] += items

    def _note(self, code: int, items: int, words: str) -> None:
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]:
            self.answers.refused += items
        elif code == grpc.StatusCode.UNAVAILABLE.value[0]:
            self.answers.unavailable += items
            self.answers.words[words] += items
        else:
            self.answers.unclear[f"{code}: {words}"] += items
