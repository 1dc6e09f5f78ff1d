"""Calls of Send at a steady rate, each at its appointed time whether or not earlier ones were answered: an open loop."""

import asyncio
import random
import time
from dataclasses import dataclass
from itertools import count as numbers
from typing import Any

import grpc

from core.model import Priority
from tidings.up.supervisor import System
from tidings.v1 import notifications_pb2 as pb
from tidings.v1 import types_pb2
from tidings.v1.types_pb2 import Channel

SEND = "/tidings.v1.NotificationsService/Send"
SOURCE = "bench"


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
        self.calls: list[Call] = []

    def stop(self) -> None:
        """No more calls."""
        self._stopped.set()

    async def run(self) -> None:
        """Makes the calls; returns when the last one is answered. Raises grpc.aio.AioRpcError if one is refused."""
        async with grpc.aio.insecure_channel(self._system.ports.target) as door, asyncio.TaskGroup() as tasks:
            rpc: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = door.unary_unary(SEND)
            for priority, rate in self._rates.items():
                tasks.create_task(self._offer(tasks, rpc, priority, rate))

    async def _offer(self, tasks: asyncio.TaskGroup, rpc: Any, priority: Priority, rate: float) -> None:
        first = time.time()
        for number in numbers():
            due = first + number / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            if self._stopped.is_set():
                return
            tasks.create_task(self._call(rpc, priority, due, self._request(priority, number)))

    async def _call(self, rpc: Any, priority: Priority, due: float, body: bytes) -> None:
        made = time.time()
        metadata = (("authorization", f"Bearer {self._system.api_key}"),)
        answer = pb.SendResponse.FromString(await rpc(body, metadata=metadata, timeout=60))
        self.calls.append(Call(priority, due * 1e3, (made - due) * 1e3, time.time() * 1e3, answer.notification_id))

    def _request(self, priority: Priority, number: int) -> bytes:
        urgency = types_pb2.Priority.Value(f"PRIORITY_{priority.name}")
        one = pb.Notification(type="login_code", priority=urgency, template="plain", channels=[self._channel], source=SOURCE)
        one.recipient.recipient_id = f"person-{self._dice.randrange(self._recipients)}"
        one.data.update({"name": "Zoë", "order": f"{priority}-{number}", "total": "9.99"})
        return pb.SendRequest(notification=one).SerializeToString()
