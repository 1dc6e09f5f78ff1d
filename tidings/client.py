"""The blocking client. Thin: every operation is a generator of calls.py, driven here by blocking calls and sleeps."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from tidings import calls, messages, operators, values
from tidings.channel import OPTIONS, Tls, find_gateway, stubs_over
from tidings.errors import from_rpc
from tidings.streaming import BlockingStream
from tidings.tracing import client_span
from tidings.v1 import inbox_pb2, templates_pb2

T = TypeVar("T")
TIMEOUT_S = 10.0
WAIT_S = 60.0


class Client:
    """A connection to tidings. Safe for threads; close it, or use it in a `with` statement.

    What is not given comes from TIDINGS_TARGET, TIDINGS_API_KEY and TIDINGS_CA_FILE, or from the `tidings up` that runs
    in the current folder.

    Args:
        target: the gateway, "host:port" (or any gRPC name such as "dns:///tidings.internal:50051").
        api_key: made with `tidings key create`.
        tls: True, or a Tls with files; None and False speak plain text.
        timeout: seconds until a call gives up, retries included.

    All calls raise subclasses of tidings.ClientError.
    """

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
            grpc.secure_channel(gateway.target, gateway.tls.credentials(), options=OPTIONS)
            if gateway.tls
            else grpc.insecure_channel(gateway.target, options=OPTIONS)
        )
        self._stubs = stubs_over(self._channel)

    @property
    def target(self) -> str:
        """The gateway this client calls."""
        return self._gateway.target

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, **notification: Unpack[messages.NotificationFields]) -> values.Result:
        """Send one notification; the reply means that it is stored.

        Raises:
            InvalidRequest: with every violation.
            Conflict: the idempotency key was used with other content.
        """
        return self._run("Send", calls.send(notification, self._timeout))

    def send_many(self, notifications: Iterable[messages.NotificationFields]) -> list[values.Result]:
        """Send any number, in chunks of up to 1,000; a result for each, in order. The timeout is a chunk's.

        An item that is refused has an `error` in its result and never fails the others. If tidings cannot be reached
        for the first chunk this raises; for a later one, its items and all after them carry the error.
        """
        return self._run("SendBatch", calls.send_many(notifications, self._timeout))

    def stream(self, notifications: Iterable[messages.NotificationFields]) -> Iterator[values.Result]:
        """Send as they come, over one connection: yields a result for each, in order, as it is acknowledged.

        The iterable is read in a thread of its own, at most 1,000 items ahead of the results. A broken connection is
        opened again; Unavailable is raised when that fails for the client's timeout.
        """
        with client_span("SendStream") as context:
            rpc, metadata = self._stubs.notifications.SendStream, self._gateway.metadata() + context
            yield from BlockingStream(rpc, metadata, notifications, self._timeout)

    def get(self, notification_id: str) -> values.Notification:
        """Status and timeline of every delivery."""
        return self._run("Get", calls.get(notification_id, self._timeout))

    def wait_until(
        self, notification_id: str, statuses: str | Iterable[str] = "delivered", *, timeout: float = WAIT_S
    ) -> values.Notification:
        """Wait until every delivery has reached one of the statuses.

        Raises:
            DeliveryEnded: one of them ended otherwise.
            DeadlineExceeded: not within `timeout` seconds.
        """
        return self._run("Get", calls.wait_until(notification_id, statuses, timeout, self._timeout))

    def list_notifications(
        self,
        *,
        recipient_id: str = "",
        type: str = "",
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[values.Notification]:
        """Notifications by recipient, type and time of acceptance, newest first."""
        return self._run("List", calls.list_notifications(recipient_id, type, (after, before), limit, self._timeout))

    def put_template(
        self,
        name: str,
        contents: Mapping[str, Mapping[str, messages.ContentFields]],
        *,
        default_language: str = "en",
        variables: Iterable[str] | Mapping[str, bool] = (),
    ) -> values.Template:
        """Store a new version of a template.

        Args:
            contents: by channel, then language: {"email": {"en": {"subject": ..., "text": ...}}}.
            default_language: what is used when the recipient's language is not there.
            variables: names; one that ends in "?" may be left out of data.
        """
        template = messages.template(name, contents, default_language, variables)
        return self._run("Put", calls.put_template(template, self._timeout))

    def get_template(self, name: str, version: int = 0) -> values.Template:
        """One template; version 0 is the latest."""
        return self._run("Get", calls.get_template(name, version, self._timeout))

    def list_templates(self, *, limit: int = 1_000) -> list[values.Template]:
        """Templates by name, each in its latest version, without their texts."""
        return self._run("List", calls.list_templates(limit, self._timeout))

    def preview(
        self,
        template: str | templates_pb2.Template,
        *,
        channel: messages.ChannelName,
        language: str = "",
        data: Mapping[str, Any],
        version: int = 0,
    ) -> dict[str, Any]:
        """The parts of a template, rendered; "language" is the one that was found. A str names a stored template."""
        request = messages.preview(template, channel, language=language, data=data, version=version)
        return self._run("Preview", calls.preview(request, self._timeout))

    def upsert_recipient(self, **recipient: Unpack[messages.RecipientFields]) -> values.Recipient:
        """Store a recipient whole, replacing what was known under the id; returns it with addresses in normal form."""
        return self._run("Upsert", calls.upsert_recipient(recipient, self._timeout))

    def get_recipient(self, recipient_id: str) -> values.Recipient:
        """One recipient."""
        return self._run("Get", calls.get_recipient(recipient_id, self._timeout))

    def inbox(self, recipient_id: str, *, unread_only: bool = False, limit: int = 50) -> list[values.InboxMessage]:
        """A recipient's in-app messages, newest first."""
        return self._run("List", calls.inbox(recipient_id, unread_only, limit, self._timeout))

    def watch_inbox(self, recipient_id: str, *, after: str = "") -> Iterator[values.InboxMessage]:
        """New in-app messages as they arrive, until the caller stops asking; `after` is the last notification id seen."""
        request = inbox_pb2.WatchRequest(recipient_id=recipient_id, after_notification_id=after)
        feed = calls.Feed("Watch", lambda stubs: stubs.inbox.Watch, request, lambda r: values.inbox_message(r.message))
        return self._read(feed)

    def mark_read(self, recipient_id: str, notification_ids: Sequence[str]) -> int:
        """Mark in-app messages as read; how many were not before."""
        return self._run("MarkRead", calls.mark_read(recipient_id, notification_ids, self._timeout))

    def stations(self) -> values.Stations:
        """Every stream and who reads it, how providers fare, what is halted, how hard it is pressed. Scope: admin."""
        return self._run("ListStations", operators.stations(self._timeout))

    def dead_letters(self, **which: Unpack[messages.LetterFilter]) -> Iterator[values.DeadLetter]:
        """Deliveries that were given up, oldest first within each channel. Scope: admin."""
        return self._read(operators.dead_letters(which))

    def replay_dead_letters(self, *, per_second: int = 0, **which: Unpack[messages.LetterFilter]) -> Iterator[values.Replayed]:
        """Send dead letters again under their old ids. Scope: admin.

        They are sent while the results are read, at most `per_second` (0: 100): read to the end. Nothing is tried again by
        itself when the connection breaks; the same call goes on with what is left. Without a filter: all there are.
        """
        return self._read(operators.replay(which, per_second))

    def drop_dead_letters(self, **which: Unpack[messages.LetterFilter]) -> Iterator[values.Dropped]:
        """Delete dead letters for good, while the results are read. Without a filter: all there are. Scope: admin."""
        return self._read(operators.drop(which))

    def halt_channel(self, channel: messages.ChannelName, reason: str) -> bool:
        """Stop a channel's sending, its queue is the buffer; False if it was halted (its reason stays). Scope: admin."""
        return self._run("HaltChannel", operators.halt(channel, reason, self._timeout))

    def resume_channel(self, channel: messages.ChannelName) -> bool:
        """Let a halted channel send again; False if it was not halted. Scope: admin."""
        return self._run("ResumeChannel", operators.resume(channel, self._timeout))

    def _read(self, feed: calls.Feed[T]) -> Iterator[T]:
        with client_span(feed.name) as context:
            call = feed.rpc(self._stubs)(feed.request, metadata=self._gateway.metadata() + context)
            try:
                for response in call:
                    yield feed.value(response)
            except grpc.RpcError as error:
                raise from_rpc(error) from error
            finally:
                call.cancel()

    def _run(self, name: str, operation: calls.Operation[T]) -> T:
        with client_span(name) as context:
            answer: Any = None
            while True:
                try:
                    effect = operation.send(answer)
                except StopIteration as done:
                    result: T = done.value
                    return result
                answer = self._perform(effect, context)

    def _perform(self, effect: calls.Call | calls.Pause, context: tuple[tuple[str, str], ...]) -> Any:
        if isinstance(effect, calls.Pause):
            time.sleep(effect.seconds)
            return None
        try:
            rpc = effect.rpc(self._stubs)
            return rpc(effect.request, timeout=effect.timeout, metadata=self._gateway.metadata() + context)
        except grpc.RpcError as error:
            failed = from_rpc(error)
            failed.__cause__ = error
            return failed
