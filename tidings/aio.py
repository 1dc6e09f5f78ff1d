"""The asyncio client: the operations of calls.py, driven by awaited calls and sleeps. Method by method as in client.py."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from tidings import calls, messages, operators, values
from tidings.channel import OPTIONS, Tls, find_gateway, stubs_over
from tidings.client import TIMEOUT_S, WAIT_S
from tidings.errors import ClientError, Unavailable, from_rpc
from tidings.streaming import Window
from tidings.tracing import client_span
from tidings.v1 import inbox_pb2, notifications_pb2, templates_pb2

T = TypeVar("T")
_BROKEN = "Internal error from Core"  # grpc.aio's own words


class AsyncClient:
    """tidings.Client for asyncio: the same arguments, methods, results and errors, awaited. Use it in one event loop."""

    def __init__(
        self,
        target: str | None = None,
        api_key: str | None = None,
        *,
        tls: Tls | bool | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._gateway = gateway = find_gateway(target, api_key, tls)
        self._timeout = timeout
        self._channel = (
            grpc.aio.secure_channel(gateway.target, gateway.tls.credentials(), options=OPTIONS)
            if gateway.tls
            else grpc.aio.insecure_channel(gateway.target, options=OPTIONS)
        )
        self._stubs = stubs_over(self._channel)

    @property
    def target(self) -> str:
        """The gateway this client calls."""
        return self._gateway.target

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, **notification: Unpack[messages.NotificationFields]) -> values.Result:
        """See Client.send."""
        return await self._run("Send", calls.send(notification, self._timeout))

    async def send_many(self, notifications: Iterable[messages.NotificationFields]) -> list[values.Result]:
        """See Client.send_many."""
        return await self._run("SendBatch", calls.send_many(notifications, self._timeout))

    async def stream(
        self, notifications: AsyncIterable[messages.NotificationFields] | Iterable[messages.NotificationFields]
    ) -> AsyncIterator[values.Result]:
        """See Client.stream; the iterable, asynchronous or not, is read in a task of its own."""
        with client_span("SendStream") as context:
            rpc, metadata = self._stubs.notifications.SendStream, self._gateway.metadata() + context
            async for result in AsyncStream(rpc, metadata, notifications, self._timeout).results():
                yield result

    async def get(self, notification_id: str) -> values.Notification:
        """See Client.get."""
        return await self._run("Get", calls.get(notification_id, self._timeout))

    async def wait_until(
        self,
        notification_id: str,
        statuses: str | Iterable[str] = "delivered",
        *,
        timeout: float = WAIT_S,  # noqa: ASYNC109 - as in Client; kept by polls, not by cancelling one
    ) -> values.Notification:
        """See Client.wait_until."""
        return await self._run("Get", calls.wait_until(notification_id, statuses, timeout, self._timeout))

    async def list_notifications(
        self,
        *,
        recipient_id: str = "",
        type: str = "",
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[values.Notification]:
        """See Client.list_notifications."""
        operation = calls.list_notifications(recipient_id, type, (after, before), limit, self._timeout)
        return await self._run("List", operation)

    async def put_template(
        self,
        name: str,
        contents: Mapping[str, Mapping[str, messages.ContentFields]],
        *,
        default_language: str = "en",
        variables: Iterable[str] | Mapping[str, bool] = (),
    ) -> values.Template:
        """See Client.put_template."""
        template = messages.template(name, contents, default_language, variables)
        return await self._run("Put", calls.put_template(template, self._timeout))

    async def get_template(self, name: str, version: int = 0) -> values.Template:
        """See Client.get_template."""
        return await self._run("Get", calls.get_template(name, version, self._timeout))

    async def list_templates(self, *, limit: int = 1_000) -> list[values.Template]:
        """See Client.list_templates."""
        return await self._run("List", calls.list_templates(limit, self._timeout))

    async def preview(
        self,
        template: str | templates_pb2.Template,
        *,
        channel: messages.ChannelName,
        language: str = "",
        data: Mapping[str, Any],
        version: int = 0,
    ) -> dict[str, Any]:
        """See Client.preview."""
        request = messages.preview(template, channel, language=language, data=data, version=version)
        return await self._run("Preview", calls.preview(request, self._timeout))

    async def upsert_recipient(self, **recipient: Unpack[messages.RecipientFields]) -> values.Recipient:
        """See Client.upsert_recipient."""
        return await self._run("Upsert", calls.upsert_recipient(recipient, self._timeout))

    async def get_recipient(self, recipient_id: str) -> values.Recipient:
        """See Client.get_recipient."""
        return await self._run("Get", calls.get_recipient(recipient_id, self._timeout))

    async def inbox(self, recipient_id: str, *, unread_only: bool = False, limit: int = 50) -> list[values.InboxMessage]:
        """See Client.inbox."""
        return await self._run("List", calls.inbox(recipient_id, unread_only, limit, self._timeout))

    def watch_inbox(self, recipient_id: str, *, after: str = "") -> AsyncIterator[values.InboxMessage]:
        """See Client.watch_inbox."""
        request = inbox_pb2.WatchRequest(recipient_id=recipient_id, after_notification_id=after)
        feed = calls.Feed("Watch", lambda stubs: stubs.inbox.Watch, request, lambda r: values.inbox_message(r.message))
        return self._read(feed)

    async def mark_read(self, recipient_id: str, notification_ids: Sequence[str]) -> int:
        """See Client.mark_read."""
        return await self._run("MarkRead", calls.mark_read(recipient_id, notification_ids, self._timeout))

    async def stations(self) -> values.Stations:
        """See Client.stations."""
        return await self._run("ListStations", operators.stations(self._timeout))

    def dead_letters(self, **which: Unpack[messages.LetterFilter]) -> AsyncIterator[values.DeadLetter]:
        """See Client.dead_letters."""
        return self._read(operators.dead_letters(which))

    def replay_dead_letters(
        self, *, per_second: int = 0, **which: Unpack[messages.LetterFilter]
    ) -> AsyncIterator[values.Replayed]:
        """See Client.replay_dead_letters."""
        return self._read(operators.replay(which, per_second))

    def drop_dead_letters(self, **which: Unpack[messages.LetterFilter]) -> AsyncIterator[values.Dropped]:
        """See Client.drop_dead_letters."""
        return self._read(operators.drop(which))

    async def halt_channel(self, channel: messages.ChannelName, reason: str) -> bool:
        """See Client.halt_channel."""
        return await self._run("HaltChannel", operators.halt(channel, reason, self._timeout))

    async def resume_channel(self, channel: messages.ChannelName) -> bool:
        """See Client.resume_channel."""
        return await self._run("ResumeChannel", operators.resume(channel, self._timeout))

    async def _read(self, feed: calls.Feed[T]) -> AsyncIterator[T]:
        with client_span(feed.name) as context:
            call = feed.rpc(self._stubs)(feed.request, metadata=self._gateway.metadata() + context)
            try:
                async for response in call:
                    yield feed.value(response)
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error) from error
            finally:
                call.cancel()

    async def _run(self, name: str, operation: calls.Operation[T]) -> T:
        with client_span(name) as context:
            answer: Any = None
            while True:
                try:
                    effect = operation.send(answer)
                except StopIteration as done:
                    result: T = done.value
                    return result
                answer = await self._perform(effect, context)

    async def _perform(self, effect: calls.Call | calls.Pause, context: tuple[tuple[str, str], ...]) -> Any:
        if isinstance(effect, calls.Pause):
            await asyncio.sleep(effect.seconds)
            return None
        try:
            rpc = effect.rpc(self._stubs)
            return await rpc(effect.request, timeout=effect.timeout, metadata=self._gateway.metadata() + context)
        except grpc.aio.AioRpcError as error:
            failed = from_rpc(error)
            failed.__cause__ = error
            return failed


class AsyncStream:
    """One stream() call: a task reads the caller's items into the window, gRPC takes messages out of it."""

    def __init__(
        self,
        rpc: Callable[..., Any],
        metadata: tuple[tuple[str, str], ...],
        given: AsyncIterable[messages.NotificationFields] | Iterable[messages.NotificationFields],
        timeout: float,
    ) -> None:
        self._rpc, self._metadata, self._given, self._timeout = rpc, metadata, given, timeout
        self._window = Window()
        self._changed = asyncio.Condition()

    async def results(self) -> AsyncIterator[values.Result]:
        """Results in order, over as many connections as it takes."""
        reader = asyncio.create_task(self._read())
        attempt, failing_since = 0, time.monotonic()
        try:
            while not self._window.done:
                try:
                    async for result in self._connection():
                        yield result
                        attempt, failing_since = 0, time.monotonic()
                except ClientError as error:
                    remaining = failing_since + self._timeout - time.monotonic()
                    delay = calls.retry_delay(error, attempt, remaining, 0.5)
                    if delay is None:
                        raise
                    attempt += 1
                    await asyncio.sleep(delay)
            if self._window.failed is not None:
                raise self._window.failed
        finally:
            reader.cancel()
            await asyncio.wait([reader])

    async def _connection(self) -> AsyncIterator[values.Result]:
        """Results for as long as one connection lives."""
        call = self._rpc(self._messages(), metadata=self._metadata)
        try:
            async for response in call:
                self._window.acknowledge(response)
                ready = list(self._window.results())
                await self._notify()
                for result in ready:
                    yield result
        except grpc.aio.AioRpcError as error:
            failed = from_rpc(error)
            # A write on a connection that has just broken ends so and hides the status that the server gave.
            raise (Unavailable("broken off", code="UNAVAILABLE") if failed.message == _BROKEN else failed) from error
        finally:
            call.cancel()
        for result in self._window.results():  # what could not be sent at all waits for no acknowledgement
            yield result
        if not self._window.done:
            raise Unavailable("the gateway ended the stream", code="UNAVAILABLE")

    async def _messages(self) -> AsyncIterator[notifications_pb2.SendStreamRequest]:
        sent = 0
        while True:
            async with self._changed:
                while (request := self._window.after(sent)) is None and not self._window.finished:
                    await self._changed.wait()
            if request is None:
                return
            sent = request.sequence
            yield request

    async def _read(self) -> None:
        try:
            async for fields in _each(self._given):
                async with self._changed:
                    while self._window.full:
                        await self._changed.wait()
                    for item in calls.items([fields]):
                        self._window.add(item)
                    self._changed.notify_all()
        except Exception as error:  # the caller's own, raised again where the caller listens
            self._window.failed = error
        self._window.finished = True
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _each(given: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    if isinstance(given, AsyncIterable):
        async for item in given:
            yield item
    else:
        for item in given:
            yield item
