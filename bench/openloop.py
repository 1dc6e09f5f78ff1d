"""Calls of Send at a steady rate, each at its appointed time whether or not earlier ones were answered: an open loop."""

import asyncio
import random
import time
from dataclasses import dataclass
from functools import partial
from itertools import count as numbers

from bench.caller import Caller
from core.model import Priority
from tidings.up.supervisor import System
from tidings.v1 import notifications_pb2 as pb
from tidings.v1 import types_pb2
from tidings.v1.types_pb2 import Channel

SEND = "/tidings.v1.NotificationsService/Send"
SOURCE = "bench"
DIFFERENT = 500  # bodies that are made before the clock starts; a call puts its number in one of them
ORDER = b"00000000"  # where the number goes


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the open loop: when it was to be made (ms since the epoch), how late it was made, what it became."""

    priority: Priority
    due_ms: float
    late_ms: float
    answered_ms: float
    id: str


class Load:
    """The open loop: `rates` notifications a second of each priority until it is stopped."""

    def __init__(
        self, system: System, channel: str, recipients: int, rates: dict[Priority, float], dice: random.Random
    ) -> None:
        self._system, self._channel, self._rates = system, Channel.Value(f"CHANNEL_{channel.upper()}"), rates
        self._dice, self._recipients = dice, recipients
        self._stopped = asyncio.Event()
        self._under_way: set[asyncio.Future[bytes]] = set()
        self.calls: list[Call] = []

    def stop(self) -> None:
        """No more calls."""
        self._stopped.set()

    async def run(self) -> None:
        """Makes the calls; returns when the last one is answered. Raises bench.caller.Refused if one is refused."""
        caller = await Caller.connect(self._system.ports.target, SEND, self._system.api_key)
        try:
            await asyncio.gather(*(self._offer(caller, priority, rate) for priority, rate in self._rates.items()))
            await asyncio.gather(*self._under_way)
        finally:
            caller.close()

    async def _offer(self, caller: Caller, priority: Priority, rate: float) -> None:
        bodies = [self._request(priority) for _ in range(DIFFERENT)]
        first = time.time()
        for number in numbers():
            due = first + number / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            if self._stopped.is_set():
                return
            made = time.time()
            answer = caller.call(bodies[number % DIFFERENT].replace(ORDER, b"%0*d" % (len(ORDER), number)))
            self._under_way.add(answer)
            answer.add_done_callback(partial(self._answered, priority, due, made))

    def _answered(self, priority: Priority, due: float, made: float, answer: "asyncio.Future[bytes]") -> None:
        if answer.cancelled() or answer.exception():
            return  # it stays under way, where `run` finds it
        self._under_way.discard(answer)
        id_ = pb.SendResponse.FromString(answer.result()).notification_id
        self.calls.append(Call(priority, due * 1e3, (made - due) * 1e3, time.time() * 1e3, id_))

    def _request(self, priority: Priority) -> bytes:
        urgency = types_pb2.Priority.Value(f"PRIORITY_{priority.name}")
        one = pb.Notification(type="login_code", priority=urgency, template="plain", channels=[self._channel], source=SOURCE)
        one.recipient.recipient_id = f"person-{self._dice.randrange(self._recipients)}"
        one.data.update({"name": "Zoë", "order": f"{priority}-{ORDER.decode()}", "total": "9.99"})
        return pb.SendRequest(notification=one).SerializeToString()
