"""Values of the ledger as messages of tidings.v1, and back. Pure."""

from collections.abc import Mapping

import orjson
from google.protobuf import timestamp_pb2

from core.ids import format_id, priority_of, time_of
from core.model import Channel, Part, Platform
from core.telemetry import trace_id_of
from fastpath import Record
from gateway.validate import Addresses
from ledger.values import (
    InboxItem,
    StoredDelivery,
    StoredDevice,
    StoredNotification,
    StoredRecipient,
    StoredTemplate,
    TemplateContent,
    TemplateVariable,
    TimelineEvent,
)
from tidings.v1 import inbox_pb2, notifications_pb2, templates_pb2, types_pb2

# Generated stubs give each enum a type of its own; at runtime all of them are int.
_Priority = types_pb2.Priority.ValueType
_Class = types_pb2.NotificationClass.ValueType
_Channel = types_pb2.Channel.ValueType
_Status = types_pb2.Status.ValueType
_Station = types_pb2.Station.ValueType
_Platform = types_pb2.Platform.ValueType

_FIELDS = {  # of Content, by part; push's data is a map and told apart below
    Part.SUBJECT: "subject",
    Part.HTML: "html",
    Part.TEXT: "text",
    Part.TITLE: "title",
    Part.BODY: "body",
    Part.ACTION: "action",
}


def timestamp(ms: int) -> timestamp_pb2.Timestamp | None:
    """Milliseconds since the epoch as a Timestamp; None for 0, which stands for no time."""
    return timestamp_pb2.Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000) if ms else None


def notification(stored: StoredNotification) -> notifications_pb2.NotificationRecord:
    """A notification with its deliveries."""
    return notifications_pb2.NotificationRecord(
        notification_id=format_id(stored.notification_id),
        type=stored.type,
        priority=_Priority(stored.priority),
        notification_class=_Class(stored.klass or 0),
        recipient_id=stored.recipient_id,
        template=stored.template,
        source=stored.source,
        accepted_at=timestamp(stored.accepted_ms),
        deliveries=[_delivery(delivery) for delivery in stored.deliveries],
        trace_id=stored.trace_id,
    )


def accepted(id: bytes, record: Record | None) -> notifications_pb2.NotificationRecord:
    """A notification that the ledger has not heard of yet: its record, or nothing but its id."""
    if record is None:
        return notifications_pb2.NotificationRecord(
            notification_id=format_id(id), priority=_Priority(priority_of(id)), accepted_at=timestamp(time_of(id))
        )
    return notifications_pb2.NotificationRecord(
        notification_id=format_id(id),
        type=record.type,
        priority=_Priority(priority_of(id)),
        notification_class=_Class(record.klass),
        recipient_id=record.recipient_id,
        template=record.template,
        source=record.source,
        accepted_at=timestamp(time_of(id)),
        trace_id=trace_id_of(record.traceparent),
    )


def _delivery(stored: StoredDelivery) -> types_pb2.Delivery:
    return types_pb2.Delivery(
        channel=_Channel(stored.channel or 0),
        status=_Status(stored.status),
        provider=stored.provider,
        provider_message_id=stored.provider_message_id,
        attempts=stored.attempts,
        language=stored.language,
        template_version=stored.template_version,
        timeline=[_event(event) for event in stored.timeline],
        device=stored.device,
    )


def _event(stored: TimelineEvent) -> types_pb2.Event:
    return types_pb2.Event(
        status=_Status(stored.status),
        at=timestamp(stored.at_ms),
        station=_Station(stored.station),
        attempt=stored.attempt,
        provider=stored.provider,
        code=stored.code,
        reason=stored.reason,
    )


def message(item: InboxItem) -> inbox_pb2.InboxMessage:
    """A message of an inbox."""
    return inbox_pb2.InboxMessage(
        notification_id=format_id(item.notification_id),
        type=item.type,
        title=item.title,
        body=item.body,
        action=item.action,
        created_at=timestamp(item.created_ms),
        read_at=timestamp(item.read_ms),
    )


def recipient(stored: StoredRecipient) -> types_pb2.Recipient:
    """A recipient as it is stored."""
    return types_pb2.Recipient(
        recipient_id=stored.recipient_id,
        email=stored.email,
        phone=stored.phone,
        devices=[types_pb2.Device(platform=_Platform(d.platform), token=d.token) for d in stored.devices],
        language=stored.language,
        timezone=stored.timezone,
    )


def to_recipient(to: Addresses) -> StoredRecipient:
    """A checked recipient as it will be stored."""
    devices = tuple(StoredDevice(Platform(platform), token) for platform, token in orjson.loads(to.devices or b"[]"))
    return StoredRecipient(to.recipient_id, to.email, to.phone, devices, to.language, to.timezone)


def template(stored: StoredTemplate) -> templates_pb2.Template:
    """A template as it is stored."""
    return templates_pb2.Template(
        name=stored.name,
        version=stored.version,
        default_language=stored.default_language,
        variables=[templates_pb2.Variable(name=v.name, required=v.required) for v in stored.variables],
        contents=[content(c.channel, c.language, c.parts) for c in stored.contents],
        created_at=timestamp(stored.created_ms),
    )


def content(channel: int, language: str, parts: Mapping[Part, str]) -> templates_pb2.Content:
    """Parts, sources or rendered ones, of one channel and language."""
    found = templates_pb2.Content(channel=_Channel(channel), language=language)
    for part, text in parts.items():
        if part is Part.DATA:
            found.data.update(orjson.loads(text))
        else:
            setattr(found, _FIELDS[part], text)
    return found


def to_template(t: templates_pb2.Template, language: str, languages: list[str]) -> StoredTemplate:
    """A checked template as it will be stored. `language` and `languages` (one a content) are in normal form."""
    variables = tuple(TemplateVariable(v.name, v.required) for v in t.variables)
    contents = tuple(TemplateContent(Channel(c.channel), tag, parts(c)) for c, tag in zip(t.contents, languages, strict=True))
    return StoredTemplate(t.name, language, variables, contents)


def parts(c: templates_pb2.Content) -> dict[Part, str]:
    """The sources of a content, those that are set, by part."""
    found = {part: text for part, field in _FIELDS.items() if (text := getattr(c, field))}
    if c.data:
        found[Part.DATA] = orjson.dumps(dict(c.data), option=orjson.OPT_SORT_KEYS).decode()
    return found
