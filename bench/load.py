"""What the whole path is offered: calls of SendBatch, encoded before the clock starts and made unique on their way out.

Notifications of one call differ in recipient, template, language and data; a call is one of some dozen patterns in which a
number of fixed width is replaced by the call's own, so that two million of them cost no minutes and no memory to prepare.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator

import grpc

from tidings.v1 import notifications_pb2 as pb
from tidings.v1.types_pb2 import Channel

SEND_BATCH = "/tidings.v1.NotificationsService/SendBatch"
REPEAT_EVERY = 10  # one in so many repeats the one before it
WINDOW_S = 3600  # of dedupe
PATTERNS = 40  # different calls
NUMBER = b"0#########"  # stands where the call's number goes; no other text holds it


class Load:
    """Notifications for one channel. Each call of `bodies` goes on where the last one ended: nothing is made twice."""

    def __init__(self, batch: int, recipients: int, channel: str, dice: random.Random) -> None:
        """`batch` notifications in a call, to so many stored recipients (see bench/pipeline.py); 0: each to one of its own."""
        self._batch = batch
        self._recipients = recipients
        self._wanted = [Channel.Value(f"CHANNEL_{channel.upper()}")]
        self._dice = dice
        self._run = f"{dice.getrandbits(48):012x}"
        self._patterns = [self._pattern(batch) for _ in range(PATTERNS)]
        self._calls = 0

    def bodies(self, count: int) -> Iterator[bytes]:
        """Encoded SendBatchRequests of `count` notifications in all."""
        whole, rest = divmod(count, self._batch)
        last = [self._pattern(rest)] if rest else []
        for pattern in (*(self._patterns[i % PATTERNS] for i in range(whole)), *last):
            self._calls += 1
            yield pattern.replace(NUMBER, b"%0*d" % (len(NUMBER), self._calls))

    def strangers(self, count: int) -> tuple[int, int]:
        """Numbers of the calls that the next `bodies` of so many will make, from and until.

        Each to somebody else are to person-<number of the call, ten digits>-<place in it>.
        """
        return self._calls + 1, self._calls + 1 + -(-count // self._batch)

    def repeats(self, count: int) -> int:
        """How many of `count` notifications repeat another one."""
        whole, rest = divmod(count, self._batch)
        return whole * (self._batch // REPEAT_EVERY) + rest // REPEAT_EVERY

    def _pattern(self, size: int) -> bytes:
        items: list[pb.Notification] = []
        for i in range(size):
            items.append(items[-1] if i % REPEAT_EVERY == REPEAT_EVERY - 1 else self._notification(i))
        return pb.SendBatchRequest(notifications=items).SerializeToString()

    def _notification(self, i: int) -> pb.Notification:
        dice = self._dice
        one = pb.Notification(type="order_update", template=("plain", "loop")[i % 2], channels=self._wanted, source="bench")
        who = f"{dice.randrange(self._recipients)}" if self._recipients else f"{NUMBER.decode()}-{i}"
        one.recipient.recipient_id = f"person-{who}"
        one.dedupe_window.FromSeconds(WINDOW_S)
        goods = [{"title": f"thing {dice.randrange(1000)}", "price": f"{dice.randrange(100)}.00"} for _ in range(3)]
        order = f"{self._run}-{NUMBER.decode()}-{i}"
        one.data.update({"name": f"Person {i}", "order": order, "total": f"{i}.00", "items": goods})
        return one


async def offer(
    target: str, api_key: str, bodies: Iterator[bytes], calls: int, room: Callable[[int], Awaitable[None]]
) -> float:
    """Sends everything, `calls` requests at a time; seconds until the last answer.

    Args:
        room: waits for room on the way, given how many calls were answered.

    Raises:
        RuntimeError: an item was refused.
    """
    answers: list[bytes] = []
    metadata = (("authorization", f"Bearer {api_key}"),)

    async def caller(channel: grpc.aio.Channel) -> None:
        # Bytes in, bytes out: encoding is no part of the path.
        rpc: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SEND_BATCH)
        for body in bodies:
            await room(len(answers))
            answers.append(await rpc(body, metadata=metadata, timeout=60))

    began = time.perf_counter()
    async with grpc.aio.insecure_channel(target) as channel:
        await asyncio.gather(*(caller(channel) for _ in range(calls)))
    taken = time.perf_counter() - began
    for answer in answers:
        for result in pb.SendBatchResponse.FromString(answer).results:
            if not result.notification_id:
                raise RuntimeError(f"refused: {result.error}")
    return taken
