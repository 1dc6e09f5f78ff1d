"""A gateway inside of the test: the real servers on a free port, with real Redis and PostgreSQL, and stubs to call it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from core.clock import SYSTEM_CLOCK, Clock
from core.process import Context
from core.settings import Settings
from core.store import Store
from core.streams import Streams
from fastpath import Record, unpack_frame
from gateway.__main__ import build
from ledger import Ledger
from tidings.v1 import (
    admin_pb2_grpc,
    inbox_pb2_grpc,
    notifications_pb2,
    notifications_pb2_grpc,
    recipients_pb2_grpc,
    templates_pb2,
    templates_pb2_grpc,
)
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.types_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, Recipient


@dataclass
class Door:
    """A running gateway and a channel to it."""

    store: Store
    ledger: Ledger
    target: str
    web_url: str
    channel: grpc.aio.Channel
    key: str

    def __post_init__(self) -> None:
        self.notifications = notifications_pb2_grpc.NotificationsServiceStub(self.channel)
        self.templates = templates_pb2_grpc.TemplatesServiceStub(self.channel)
        self.recipients = recipients_pb2_grpc.RecipientsServiceStub(self.channel)
        self.inbox = inbox_pb2_grpc.InboxServiceStub(self.channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.auth = (("authorization", f"Bearer {self.key}"),)

    async def send(self, notification: Notification) -> notifications_pb2.SendResponse:
        return await self.notifications.Send(notifications_pb2.SendRequest(notification=notification), metadata=self.auth)

    async def put(self, name: str = "welcome", text: str = "Hello {{ name }}", **changes: Any) -> int:
        """Puts a template for e-mail and SMS; its version."""
        contents = [
            templates_pb2.Content(channel=CHANNEL_EMAIL, language="en", subject="Hello", text=text),
            templates_pb2.Content(channel=CHANNEL_SMS, language="en", text=text),
        ]
        variables = [templates_pb2.Variable(name="name", required=True)]
        template = templates_pb2.Template(name=name, default_language="en", contents=contents, variables=variables)
        template.MergeFrom(templates_pb2.Template(**changes))
        response = await self.templates.Put(templates_pb2.PutRequest(template=template), metadata=self.auth)
        return response.template.version

    async def accepted(self) -> list[tuple[str, Record]]:
        """Every record in the in-streams: (stream, record)."""
        found = []
        (names,) = await self.store.send([["KEYS", "*:in:*"]])
        for name in sorted(names):
            for _, frame in await Streams(self.store).peek(name.decode(), 0, 2**53, 10_000):
                found += [(name.decode(), record) for record in unpack_frame(frame)]
        return found


def notification(**changes: Any) -> Notification:
    """One that is accepted once `Door.put` was called."""
    made = Notification(type="welcome", template="welcome", recipient=Recipient(email="ada@example.com"))
    made.data.update({"name": "Ada"})
    for name, value in changes.items():
        made.ClearField(name)  # type: ignore[arg-type]
        if name == "data":
            made.data.update(value)
        else:
            made.MergeFrom(Notification(**{name: value}))
    return made


@asynccontextmanager
async def gateway(settings: Settings, store: Store, ledger: Ledger, clock: Clock = SYSTEM_CLOCK) -> AsyncIterator[Door]:
    """A running gateway, drained at the end."""
    async with build(Context(settings, store, clock)) as runnables:
        server, site = runnables
        running = [asyncio.create_task(runnable.run()) for runnable in runnables]
        key = await ledger.keys.create("tests", ["send", "read", "admin"])
        target = f"127.0.0.1:{server.port}"  # type: ignore[attr-defined]
        try:
            async with grpc.aio.insecure_channel(target) as channel:
                web_url = f"http://127.0.0.1:{site.port}"  # type: ignore[attr-defined]
                yield Door(store, ledger, target, web_url, channel, key)
        finally:
            for runnable in runnables:
                runnable.stop()
            await asyncio.gather(*running)


Violations = dict[str, str]


def details(error: grpc.aio.AioRpcError) -> tuple[str, Violations, float | None]:
    """ErrorInfo.reason, the violations' reasons by field, and RetryInfo's delay (seconds) of a refused call."""
    reason, violations, delay = "", {}, None
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has the three methods that are asked for
    assert status is not None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            assert info.domain == "tidings"
            reason = info.reason
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            faults = error_details_pb2.BadRequest.FromString(detail.value).field_violations
            violations = {fault.field: fault.reason for fault in faults}
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToMilliseconds() / 1000
    return reason, violations, delay
