"""Plain Python to the messages of tidings.v1: names for enums, dicts for data, datetimes for times. Pure.

A word that does not exist is refused here, as a violation like the gateway's own; all other rules are the gateway's.
"""

import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Required, TypedDict

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from tidings.errors import InvalidRequest, Violation
from tidings.v1 import admin_pb2, notifications_pb2, templates_pb2, types_pb2
from tidings.values import PARTS

PriorityName = Literal["critical", "high", "medium", "low"]
ChannelName = Literal["email", "sms", "push", "in_app"]
ClassName = Literal["transactional", "promotional", "alert"]
PlatformName = Literal["fcm", "apns"]
ErrorClassName = Literal[
    "temporary", "throttled", "permanent", "unregistered", "ambiguous", "misconfigured", "poison", "unreachable"
]


class RecipientFields(TypedDict, total=False):
    """Whom it goes to: a stored recipient's id, addresses, or both (addresses given here win)."""

    recipient_id: str
    email: str
    phone: str  # E.164: "+4915112345678"
    devices: Sequence[tuple[PlatformName, str]]  # (platform, token)
    language: str  # "de-AT"
    timezone: str  # "Europe/Vienna"


class NotificationFields(TypedDict, total=False):
    """One notification. See Notification in proto/tidings/v1/notifications.proto for bounds."""

    type: Required[str]
    template: Required[str]
    recipient: Required[str | RecipientFields]  # a str is a stored recipient's id
    data: Mapping[str, Any]  # values of the template's variables: what JSON can say, and datetimes
    priority: PriorityName  # medium
    notification_class: ClassName  # transactional
    channels: Sequence[ChannelName]  # none: the routing rules choose
    template_version: int  # the latest
    source: str  # the calling service's name for itself
    created_at: datetime
    expires_at: datetime
    idempotency_key: str  # made by the client, once per call, if not given
    dedupe_window: timedelta | float  # seconds


class ContentFields(TypedDict, total=False):
    """The parts of a template for one channel and language; which channel has which: see Content in templates.proto."""

    subject: str
    html: str
    text: str
    title: str
    body: str
    data: Mapping[str, str]
    action: str


class LetterFilter(TypedDict, total=False):
    """Which dead letters; what is left out admits all."""

    channels: Sequence[ChannelName]
    type: str
    error_classes: Sequence[ErrorClassName]
    after: datetime  # died at or after this
    before: datetime  # died before this
    keys: Sequence[str]  # as DeadLetter.key; at most 1,000
    limit: int  # at most so many


def new_idempotency_key() -> str:
    """A key that nobody else has."""
    return uuid.uuid4().hex


def wrong(field: str, description: str, reason: str = "unknown_value") -> InvalidRequest:
    """The refusal of one field, as the gateway would say it."""
    violation = Violation(field, description, reason)
    return InvalidRequest(description, code="INVALID_ARGUMENT", reason=reason, violations=[violation])


def all_wrong(faults: Sequence[tuple[str, str, str]]) -> InvalidRequest:
    """The refusal of several fields at once, each (field, description, reason)."""
    violations = [Violation(*fault) for fault in faults]
    first = violations[0]
    return InvalidRequest(first.description, code="INVALID_ARGUMENT", reason=first.reason, violations=violations)


def _no_such(known: Iterable[str]) -> str:
    return f"there is no such field; there are {', '.join(known)}"


def _enum(enum: Any, prefix: str, word: str, field: str) -> Any:
    name = f"{prefix}{word}".upper()
    if name not in enum.keys() or word.lower() == "unspecified":  # noqa: SIM118 - the wrapper is no dict
        known = ", ".join(key.removeprefix(prefix).lower() for key in enum.keys()[1:])
        raise wrong(field, f"{word!r} is not known: choose one of {known}")
    return enum.Value(name)


def channel(word: str, field: str = "channel") -> types_pb2.Channel.ValueType:
    """A channel by its name."""
    value: types_pb2.Channel.ValueType = _enum(types_pb2.Channel, "CHANNEL_", word, field)
    return value


def status(word: str, field: str = "statuses") -> types_pb2.Status.ValueType:
    """A status by its name."""
    value: types_pb2.Status.ValueType = _enum(types_pb2.Status, "STATUS_", word, field)
    return value


def letter_filter(fields: LetterFilter) -> admin_pb2.DeadLetterFilter:
    """A filter.

    Raises:
        InvalidRequest: a word that is no enum's, a time without a timezone, a negative limit, or no such field.
    """
    if unknown := fields.keys() - LetterFilter.__annotations__.keys():
        raise wrong(f"filter.{min(unknown)}", f"there is no such field; there are {', '.join(LetterFilter.__annotations__)}")
    if not 0 <= (limit := fields.get("limit", 0)) < 2**32:
        raise wrong("filter.limit", "is a number from 1 on, or 0 for all", "invalid_format")
    made = admin_pb2.DeadLetterFilter(
        channels=[channel(word, f"filter.channels[{i}]") for i, word in enumerate(fields.get("channels", ()))],
        type=fields.get("type", ""),
        error_classes=[
            _enum(admin_pb2.ErrorClass, "ERROR_CLASS_", word, f"filter.error_classes[{i}]")
            for i, word in enumerate(fields.get("error_classes", ()))
        ],
        keys=fields.get("keys", ()),
        limit=limit,
    )
    set_time(made.after, fields.get("after"), "filter.after")
    set_time(made.before, fields.get("before"), "filter.before")
    return made


def _plain(value: Any, field: str) -> Any:
    """What a Struct can hold: datetimes become ISO 8601, tuples lists; anything else is refused, not guessed at."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise wrong(field, f"{value} cannot be said in JSON", "invalid_format")
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{field}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item, f"{field}[{i}]") for i, item in enumerate(value)]
    raise wrong(field, f"{type(value).__name__} cannot be said in JSON: give a str or a number", "invalid_format")


def struct(data: Mapping[str, Any], field: str = "notification.data") -> Struct:
    """Data as a Struct. Its numbers are doubles: integers are exact up to 2**53."""
    made = Struct()
    try:
        made.update(_plain(data, field))
    except ValueError as error:  # half of a surrogate pair
        raise wrong(field, f"holds text that UTF-8 cannot say: {error}", "invalid_format") from error
    return made


def recipient(given: str | RecipientFields, field: str = "notification.recipient") -> types_pb2.Recipient:
    """A recipient; a str is a stored recipient's id."""
    fields: RecipientFields = {"recipient_id": given} if isinstance(given, str) else given
    known = RecipientFields.__annotations__
    faults = [(f"{field}.{name}", _no_such(known), "unknown_value") for name in sorted(fields.keys() - known.keys(), key=str)]
    if faults:
        raise all_wrong(faults)
    devices = [
        types_pb2.Device(
            platform=_enum(types_pb2.Platform, "PLATFORM_", platform, f"{field}.devices[{i}].platform"), token=token
        )
        for i, (platform, token) in enumerate(fields.get("devices", ()))
    ]
    return types_pb2.Recipient(
        recipient_id=fields.get("recipient_id", ""),
        email=fields.get("email", ""),
        phone=fields.get("phone", ""),
        devices=devices,
        language=fields.get("language", ""),
        timezone=fields.get("timezone", ""),
    )


def notification(fields: NotificationFields) -> notifications_pb2.Notification:
    """A notification, with an idempotency key of its own if none was given.

    Raises:
        InvalidRequest: a word that is no enum's, a value of the wrong type, text that UTF-8 cannot say, or a field that does
            not exist or is missing.
    """
    try:
        return _notification(fields)
    except (TypeError, ValueError, AttributeError) as error:  # protobuf's own, without the field's path
        raise wrong(
            "notification", f"a value is of the wrong type or cannot be said in UTF-8: {error}", "invalid_format"
        ) from error


def _notification(fields: NotificationFields) -> notifications_pb2.Notification:
    known = NotificationFields.__annotations__
    faults = [
        (f"notification.{name}", _no_such(known), "unknown_value") for name in sorted(fields.keys() - known.keys(), key=str)
    ]
    missing = sorted(NotificationFields.__required_keys__ - fields.keys())
    faults += [(f"notification.{name}", "is required", "required") for name in missing]
    if faults:
        raise all_wrong(faults)
    priority, kind = fields.get("priority"), fields.get("notification_class")
    made = notifications_pb2.Notification(
        type=fields["type"],
        template=fields["template"],
        recipient=recipient(fields["recipient"]),
        channels=[channel(word, f"notification.channels[{i}]") for i, word in enumerate(fields.get("channels", ()))],
        template_version=fields.get("template_version", 0),
        source=fields.get("source", ""),
        idempotency_key=fields.get("idempotency_key") or new_idempotency_key(),
    )
    if priority:
        made.priority = _enum(types_pb2.Priority, "PRIORITY_", priority, "notification.priority")
    if kind:
        made.notification_class = _enum(
            types_pb2.NotificationClass, "NOTIFICATION_CLASS_", kind, "notification.notification_class"
        )
    if "data" in fields:
        made.data.CopyFrom(struct(fields["data"]))
    _set_times(made, fields)
    return made


def _set_times(made: notifications_pb2.Notification, fields: NotificationFields) -> None:
    set_time(made.created_at, fields.get("created_at"), "notification.created_at")
    set_time(made.expires_at, fields.get("expires_at"), "notification.expires_at")
    if "dedupe_window" in fields:
        window = fields["dedupe_window"]
        made.dedupe_window.FromTimedelta(window if isinstance(window, timedelta) else timedelta(seconds=window))


def set_time(stamp: Timestamp, moment: datetime | None, field: str) -> None:
    """Set a timestamp; None leaves it unset.

    Raises:
        InvalidRequest: a datetime without a timezone: protobuf would take it as UTC, Python as local time.
    """
    if moment is None:
        return
    if moment.tzinfo is None:
        raise wrong(field, "the datetime has no timezone: use datetime.now(UTC) or the like", "invalid_format")
    stamp.FromDatetime(moment.astimezone(UTC))


def template(
    name: str,
    contents: Mapping[str, Mapping[str, ContentFields]],
    default_language: str,
    variables: Iterable[str] | Mapping[str, bool],
) -> templates_pb2.Template:
    """A template. `contents` by channel, then language; a variable that ends in "?" may be left out of data.

    Raises:
        InvalidRequest: a channel or part that does not exist.
    """
    required = variables if isinstance(variables, Mapping) else {v.removesuffix("?"): not v.endswith("?") for v in variables}
    return templates_pb2.Template(
        name=name,
        default_language=default_language,
        variables=[templates_pb2.Variable(name=key, required=value) for key, value in required.items()],
        contents=[
            _content(word, language, fields)
            for word, by_language in contents.items()
            for language, fields in by_language.items()
        ],
    )


def _content(word: str, language: str, fields: ContentFields) -> templates_pb2.Content:
    for part in fields.keys() - set(PARTS):
        raise wrong(f"template.contents.{word}.{language}.{part}", f"there is no such part; there are {', '.join(PARTS)}")
    number = channel(word, f"template.contents.{word}")
    return templates_pb2.Content(channel=number, language=language, **dict(fields))  # type: ignore[arg-type]


def preview(
    template: str | templates_pb2.Template, channel_: str, *, language: str, data: Mapping[str, Any], version: int = 0
) -> templates_pb2.PreviewRequest:
    """A request to render a stored template, or one that is not stored (yet)."""
    made = templates_pb2.PreviewRequest(channel=channel(channel_), language=language, version=version)
    made.data.CopyFrom(struct(data, "data"))
    if isinstance(template, str):
        made.name = template
    else:
        made.template.CopyFrom(template)
    return made
