"""What the client hands back: frozen values of plain Python, made from the messages of tidings.v1. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tidings.errors import ClientError, from_item
from tidings.v1 import admin_pb2, inbox_pb2, notifications_pb2, templates_pb2, types_pb2

# What a later status tells of earlier ones: providers may leave steps out or report them late.
IMPLIED: Mapping[str, frozenset[str]] = {
    "delivered": frozenset({"sent"}),
    "opened": frozenset({"sent", "delivered"}),
    "clicked": frozenset({"sent", "delivered", "opened"}),
    "read": frozenset({"sent", "delivered"}),
}
ENDED = frozenset({"suppressed", "expired", "cancelled", "failed", "dead"})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one notification that was sent: an id, or (in a batch or stream) an error."""

    notification_id: str
    duplicate: bool = False  # the idempotency key was known and the id is the earlier call's
    error: ClientError | None = None

    @property
    def ok(self) -> bool:
        """Whether it was accepted (now or earlier)."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a timeline."""

    status: str
    at: datetime
    station: str
    attempt: int
    provider: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notification on one channel (and, for push, one device)."""

    channel: str
    status: str
    provider: str
    provider_message_id: str
    attempts: int
    language: str
    template_version: int
    device: int
    timeline: tuple[Event, ...]

    def reached(self, status: str) -> bool:
        """Whether it came as far as `status`: it is in the timeline, or a later one implies it."""
        seen = {self.status, *(event.status for event in self.timeline)}
        return status in seen or any(status in IMPLIED.get(later, ()) for later in seen)

    @property
    def ended(self) -> bool:
        """Whether it ended without reaching the recipient."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Notification:
    """What tidings knows of a notification. `deliveries` is empty until the dispatcher has seen it."""

    notification_id: str
    type: str
    priority: str
    notification_class: str
    recipient_id: str
    template: str
    source: str
    accepted_at: datetime | None
    trace_id: str
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A template in one version: contents by channel and language, each the parts that are not empty."""

    name: str
    version: int
    default_language: str
    variables: Mapping[str, bool]  # name -> required
    contents: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Addresses, devices (platform, token), language and timezone of one recipient."""

    recipient_id: str
    email: str
    phone: str
    devices: tuple[tuple[str, str], ...]
    language: str
    timezone: str


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """One message of an inbox; `read_at` is None until it is marked."""

    notification_id: str
    type: str
    title: str
    body: str
    action: str
    created_at: datetime | None
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stream:
    """The state of one stream, summed over its partitions; counts are entries."""

    stream: str
    group: str
    depth: int
    lag: int
    pending: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Member:
    """One living process of a station."""

    station: str
    name: str
    silent_ms: int


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider as one sender process sees it."""

    channel: str
    provider: str
    member: str
    breaker: str  # "closed": requests go to it; "half_open": one at a time; "open": none
    share: float  # of the channel's notifications, 0 to 1
    failures: float  # share of its last requests that failed by its fault, 0 to 1
    per_second: float  # messages that its limit allows; 0 for no limit


@dataclass(frozen=True, slots=True)
class Halt:
    """A channel that stands still."""

    channel: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Stations:
    """The state of the whole system."""

    streams: tuple[Stream, ...]
    members: tuple[Member, ...]
    providers: tuple[Provider, ...] = ()
    halts: tuple[Halt, ...] = ()
    overload: str = "normal"  # "shed_low", "shed_medium", "refuse"
    pressure: float = 0.0  # share of what Redis can hold that is in use


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that was given up; `key` names it. Channel and provider are "" if it died before it was routed."""

    key: str
    notification_id: str  # "" if its bytes cannot be read
    channel: str
    type: str
    priority: str
    recipient_id: str
    provider: str
    error_class: str
    code: str
    reason: str
    attempts: int
    accepted_at: datetime | None
    died_at: datetime


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a dead letter that was to be sent again.

    `fate` is "replayed", "arrived" (it did, as a webhook told later), "expired" (its time is over), "gone" (somebody was
    first), "no_template" or "unreadable"; the last two leave it where it is.
    """

    key: str
    notification_id: str
    fate: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A dead letter that was to be deleted; `dropped` is False if somebody was first."""

    key: str
    notification_id: str
    dropped: bool


def word(enum: Any, value: int, prefix: str) -> str:
    """An enum's value as callers see it: CHANNEL_IN_APP is "in_app", unspecified "", a newer server's value its number."""
    if value == 0:
        return ""
    return enum.Name(value).removeprefix(prefix).lower() if value in enum.values() else str(value)


def time_of(stamp: Timestamp) -> datetime:
    """A timestamp as an aware datetime, UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def result(message: notifications_pb2.SendResult) -> Result:
    """One item's result."""
    error = from_item(message.error) if message.HasField("error") else None
    return Result(message.notification_id, message.duplicate, error)


def notification(message: notifications_pb2.NotificationRecord) -> Notification:
    """A record with its deliveries and their timelines."""
    return Notification(
        notification_id=message.notification_id,
        type=message.type,
        priority=word(types_pb2.Priority, message.priority, "PRIORITY_"),
        notification_class=word(types_pb2.NotificationClass, message.notification_class, "NOTIFICATION_CLASS_"),
        recipient_id=message.recipient_id,
        template=message.template,
        source=message.source,
        accepted_at=time_of(message.accepted_at) if message.HasField("accepted_at") else None,
        trace_id=message.trace_id,
        deliveries=tuple(_delivery(delivery) for delivery in message.deliveries),
    )


def _delivery(message: types_pb2.Delivery) -> Delivery:
    return Delivery(
        channel=word(types_pb2.Channel, message.channel, "CHANNEL_"),
        status=word(types_pb2.Status, message.status, "STATUS_"),
        provider=message.provider,
        provider_message_id=message.provider_message_id,
        attempts=message.attempts,
        language=message.language,
        template_version=message.template_version,
        device=message.device,
        timeline=tuple(_event(event) for event in message.timeline),
    )


def _event(message: types_pb2.Event) -> Event:
    return Event(
        status=word(types_pb2.Status, message.status, "STATUS_"),
        at=time_of(message.at),
        station=word(types_pb2.Station, message.station, "STATION_"),
        attempt=message.attempt,
        provider=message.provider,
        code=message.code,
        reason=message.reason,
    )


PARTS = ("subject", "html", "text", "title", "body", "data", "action")


def parts(message: templates_pb2.Content) -> dict[str, Any]:
    """The parts of a content that are not empty; `data` is a dict of strings."""
    found = {name: getattr(message, name) for name in PARTS}
    return {name: dict(value) if name == "data" else value for name, value in found.items() if value}


def template(message: templates_pb2.Template) -> Template:
    """A template; contents by channel, then language."""
    contents: dict[str, dict[str, dict[str, Any]]] = {}
    for content in message.contents:
        channel = word(types_pb2.Channel, content.channel, "CHANNEL_")
        contents.setdefault(channel, {})[content.language] = parts(content)
    created = time_of(message.created_at) if message.HasField("created_at") else None
    variables = {variable.name: variable.required for variable in message.variables}
    return Template(message.name, message.version, message.default_language, variables, contents, created)


def recipient(message: types_pb2.Recipient) -> Recipient:
    """A recipient as stored."""
    devices = tuple((word(types_pb2.Platform, d.platform, "PLATFORM_"), d.token) for d in message.devices)
    return Recipient(message.recipient_id, message.email, message.phone, devices, message.language, message.timezone)


def inbox_message(message: inbox_pb2.InboxMessage) -> InboxMessage:
    """One message of an inbox."""
    created = time_of(message.created_at) if message.HasField("created_at") else None
    read = time_of(message.read_at) if message.HasField("read_at") else None
    return InboxMessage(message.notification_id, message.type, message.title, message.body, message.action, created, read)


def stations(message: admin_pb2.ListStationsResponse) -> Stations:
    """Streams in the order of the path, who reads them, how providers fare, what is halted."""
    return Stations(
        streams=tuple(Stream(s.stream, s.group, s.depth, s.lag, s.pending, s.waiting) for s in message.streams),
        members=tuple(Member(m.station, m.name, m.silent_ms) for m in message.members),
        providers=tuple(_provider(p) for p in message.providers),
        halts=tuple(Halt(word(types_pb2.Channel, h.channel, "CHANNEL_"), h.reason, time_of(h.since)) for h in message.halts),
        overload=word(admin_pb2.OverloadLevel, message.overload, "OVERLOAD_LEVEL_") or "normal",
        pressure=message.pressure,
    )


def _provider(message: admin_pb2.ProviderState) -> Provider:
    return Provider(
        channel=word(types_pb2.Channel, message.channel, "CHANNEL_"),
        provider=message.provider,
        member=message.member,
        breaker=word(admin_pb2.BreakerState, message.breaker, "BREAKER_STATE_"),
        share=message.share,
        failures=message.failures,
        per_second=message.per_second,
    )


def dead_letter(message: admin_pb2.DeadLetter) -> DeadLetter:
    """One dead letter."""
    return DeadLetter(
        key=message.key,
        notification_id=message.notification_id,
        channel=word(types_pb2.Channel, message.channel, "CHANNEL_"),
        type=message.type,
        priority=word(types_pb2.Priority, message.priority, "PRIORITY_"),
        recipient_id=message.recipient_id,
        provider=message.provider,
        error_class=word(admin_pb2.ErrorClass, message.error_class, "ERROR_CLASS_"),
        code=message.code,
        reason=message.reason,
        attempts=message.attempts,
        accepted_at=time_of(message.accepted_at) if message.HasField("accepted_at") else None,
        died_at=time_of(message.died_at),
    )
