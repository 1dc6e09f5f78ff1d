"""Malformed requests of many kinds, each with the field that must be named and the reason that must be given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from tests.unit.gateway import samples
from tidings.v1 import admin_pb2, inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.templates_pb2 import Template
from tidings.v1.types_pb2 import (
    CHANNEL_EMAIL,
    CHANNEL_IN_APP,
    CHANNEL_PUSH,
    CHANNEL_SMS,
    PLATFORM_APNS,
    PLATFORM_FCM,
    Device,
    Recipient,
)

TEMPLATE = "malformed_welcome"  # stored by the test: e-mail and SMS, requires `name`
FUTURE_S = 4_102_444_800  # 2100


@dataclass(frozen=True)
class Case:
    """One malformed request.

    Attributes:
        name: what is wrong.
        method: "/package.Service/Method".
        body: the request's bytes.
        field: the violation's path.
        reason: its reason, without the prefix.
        code: the call's code.
    """

    name: str
    method: str
    body: bytes
    field: str
    reason: str
    code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT


def good() -> Notification:
    """A notification that is accepted."""
    made = Notification(type="welcome", template=TEMPLATE, channels=[CHANNEL_EMAIL], recipient=samples.recipient())
    made.data.update({"name": "Ada"})
    return made


def assign(path: str, value: Any) -> Callable[[Message], object]:
    """Sets the field at `path`."""
    *outer, name = path.split(".")

    def change(message: Any) -> None:
        for step in outer:
            message = getattr(message, step)
        setattr(message, name, value)

    return change


def nest(levels: int) -> Any:
    inner: Any = 1
    for _ in range(levels):
        inner = {"a": inner}
    return inner


SEND: list[tuple[str, Callable[[Any], object], str, str]] = [
    ("no type", assign("type", ""), "type", "REQUIRED"),
    ("type of spaces", assign("type", "   "), "type", "INVALID_FORMAT"),
    ("type with a line break", assign("type", "a\r\nX-Evil: 1"), "type", "INVALID_FORMAT"),
    ("type with NUL", assign("type", "a\0"), "type", "INVALID_FORMAT"),
    ("type in another script", assign("type", "заказ"), "type", "INVALID_FORMAT"),
    ("type too long", assign("type", "x" * 129), "type", "TOO_LARGE"),
    ("unknown priority", assign("priority", 5), "priority", "UNKNOWN_VALUE"),
    ("negative priority", assign("priority", -2_000_000_000), "priority", "UNKNOWN_VALUE"),
    ("unknown class", assign("notification_class", 4), "notification_class", "UNKNOWN_VALUE"),
    ("channel 0", lambda n: n.channels.append(0), "channels[1]", "UNKNOWN_VALUE"),
    ("unknown channel", lambda n: n.channels.append(77), "channels[1]", "UNKNOWN_VALUE"),
    ("channel twice", lambda n: n.channels.append(CHANNEL_EMAIL), "channels[1]", "DUPLICATE_ITEM"),
    ("ten channels", lambda n: n.channels.extend([CHANNEL_SMS] * 9), "channels", "TOO_MANY_ITEMS"),
    ("no recipient", lambda n: n.ClearField("recipient"), "recipient", "REQUIRED"),
    ("empty recipient", lambda n: n.recipient.Clear(), "recipient", "REQUIRED"),
    ("recipient of a language only", lambda n: n.recipient.CopyFrom(Recipient(language="de")), "recipient", "REQUIRED"),
    (
        "e-mail asked for and none given",
        lambda n: n.recipient.CopyFrom(Recipient(phone="+4915112345678")),
        "recipient.email",
        "REQUIRED",
    ),
    ("recipient_id with a tab", assign("recipient.recipient_id", "a\tb"), "recipient.recipient_id", "INVALID_FORMAT"),
    ("recipient_id with spaces around", assign("recipient.recipient_id", " a "), "recipient.recipient_id", "INVALID_FORMAT"),
    ("recipient_id too long", assign("recipient.recipient_id", "x" * 129), "recipient.recipient_id", "TOO_LARGE"),
    ("e-mail without domain", assign("recipient.email", "ada@"), "recipient.email", "INVALID_EMAIL"),
    ("e-mail without @", assign("recipient.email", "ada.example.com"), "recipient.email", "INVALID_EMAIL"),
    ("e-mail with two @", assign("recipient.email", "ada@b@example.com"), "recipient.email", "INVALID_EMAIL"),
    ("e-mail with two dots", assign("recipient.email", "a..b@example.com"), "recipient.email", "INVALID_EMAIL"),
    ("e-mail at a bare host", assign("recipient.email", "root@localhost"), "recipient.email", "INVALID_EMAIL"),
    ("e-mail at an address literal", assign("recipient.email", "a@[10.0.0.1]"), "recipient.email", "INVALID_EMAIL"),
    ("e-mail with a name", assign("recipient.email", "Ada <ada@example.com>"), "recipient.email", "INVALID_EMAIL"),
    ("two e-mails", assign("recipient.email", "a@example.com, b@example.com"), "recipient.email", "INVALID_EMAIL"),
    (
        "e-mail that breaks a header",
        assign("recipient.email", "a@example.com\nBcc: b@example.com"),
        "recipient.email",
        "INVALID_EMAIL",
    ),
    ("e-mail with NUL", assign("recipient.email", "a\0@example.com"), "recipient.email", "INVALID_EMAIL"),
    ("e-mail too long", assign("recipient.email", "a" * 300 + "@example.com"), "recipient.email", "TOO_LARGE"),
    ("phone in national form", assign("recipient.phone", "0171 2345"), "recipient.phone", "INVALID_PHONE"),
    ("phone with dashes", assign("recipient.phone", "+1-555-0100"), "recipient.phone", "INVALID_PHONE"),
    ("phone of no country", assign("recipient.phone", "+999123456"), "recipient.phone", "INVALID_PHONE"),
    ("phone too short for its country", assign("recipient.phone", "+155501"), "recipient.phone", "INVALID_PHONE"),
    ("phone in words", assign("recipient.phone", "call me"), "recipient.phone", "INVALID_PHONE"),
    ("phone in other digits", assign("recipient.phone", "+٤٩١٥١١٢٣٤٥٦٧"), "recipient.phone", "INVALID_PHONE"),
    ("phone far too long", assign("recipient.phone", "+" + "1" * 5000), "recipient.phone", "INVALID_PHONE"),
    ("language as a word", assign("recipient.language", "deutsch"), "recipient.language", "UNKNOWN_LANGUAGE"),
    ("language with underscore", assign("recipient.language", "de_AT"), "recipient.language", "UNKNOWN_LANGUAGE"),
    ("language of no register", assign("recipient.language", "xx-YY"), "recipient.language", "UNKNOWN_LANGUAGE"),
    ("timezone of no place", assign("recipient.timezone", "Europe/Atlantis"), "recipient.timezone", "UNKNOWN_TIMEZONE"),
    ("timezone as offset", assign("recipient.timezone", "+02:00"), "recipient.timezone", "UNKNOWN_TIMEZONE"),
    ("timezone as path", assign("recipient.timezone", "../../etc/passwd"), "recipient.timezone", "UNKNOWN_TIMEZONE"),
    ("device of no platform", lambda n: n.recipient.devices.add(token="t"), "recipient.devices[2].platform", "UNKNOWN_VALUE"),
    (
        "device without token",
        lambda n: n.recipient.devices.add(platform=PLATFORM_FCM),
        "recipient.devices[2].token",
        "REQUIRED",
    ),
    (
        "FCM token with a space",
        lambda n: n.recipient.devices.add(platform=PLATFORM_FCM, token="a b"),
        "recipient.devices[2].token",
        "INVALID_FORMAT",
    ),
    (
        "APNs token that is not hexadecimal",
        lambda n: n.recipient.devices.add(platform=PLATFORM_APNS, token="z" * 64),
        "recipient.devices[2].token",
        "INVALID_FORMAT",
    ),
    (
        "token too long",
        lambda n: n.recipient.devices.add(platform=PLATFORM_FCM, token="t" * 5000),
        "recipient.devices[2].token",
        "TOO_LARGE",
    ),
    ("device twice", lambda n: n.recipient.devices.append(n.recipient.devices[0]), "recipient.devices[2]", "DUPLICATE_ITEM"),
    (
        "too many devices",
        lambda n: n.recipient.devices.extend(Device(platform=PLATFORM_FCM, token=f"t{i}") for i in range(30)),
        "recipient.devices",
        "TOO_MANY_ITEMS",
    ),
    ("no template", assign("template", ""), "template", "REQUIRED"),
    ("template that is not there", assign("template", "nope"), "template", "UNKNOWN_TEMPLATE"),
    ("template as path", assign("template", "../secret"), "template", "INVALID_FORMAT"),
    ("template version that is not there", assign("template_version", 99), "template", "UNKNOWN_TEMPLATE"),
    ("template version too large", assign("template_version", 2**32 - 1), "template_version", "TOO_LARGE"),
    ("channel that the template lacks", lambda n: n.channels.append(CHANNEL_PUSH), "channels", "MISSING_CONTENT"),
    ("missing variable", lambda n: n.data.Clear(), "data.name", "MISSING_VARIABLE"),
    ("misspelt variable", lambda n: [n.data.Clear(), n.data.update({"nome": "x"})], "data.name", "MISSING_VARIABLE"),
    ("data too large", lambda n: n.data.update({"text": "x" * 70_000}), "data", "TOO_LARGE"),
    ("data of a million bytes", lambda n: n.data.update({"text": "x" * 1_100_000}), "data", "TOO_LARGE"),
    ("NaN", lambda n: n.data.update({"total": float("nan")}), "data.total", "INVALID_FORMAT"),
    ("infinity", lambda n: n.data.update({"items": [1, float("inf")]}), "data.items[1]", "INVALID_FORMAT"),
    ("NUL in data", lambda n: n.data.update({"text": "a\0b"}), "data.text", "INVALID_FORMAT"),
    ("NUL in a key", lambda n: n.data.update({"a\0": 1}), "data", "INVALID_FORMAT"),
    ("data nested too deeply", lambda n: n.data.update(nest(20)), "data" + ".a" * 16, "TOO_LARGE"),
    ("value without a kind", lambda n: n.data.fields["void"].Clear(), "data.void", "REQUIRED"),
    ("source with a line break", assign("source", "shop\nX"), "source", "INVALID_FORMAT"),
    ("source too long", assign("source", "s" * 129), "source", "TOO_LARGE"),
    ("created before time", assign("created_at.seconds", -(2**62)), "created_at", "INVALID_FORMAT"),
    ("created with bad nanoseconds", assign("created_at.nanos", -1), "created_at", "INVALID_FORMAT"),
    ("expired", assign("expires_at.seconds", 1_000_000_000), "expires_at", "EXPIRED"),
    ("expires in 1970", lambda n: n.expires_at.SetInParent(), "expires_at", "EXPIRED"),
    ("expires after time", assign("expires_at.seconds", 2**62), "expires_at", "INVALID_FORMAT"),
    ("expires with bad nanoseconds", assign("expires_at.nanos", 2_000_000_000), "expires_at", "INVALID_FORMAT"),
    ("key too long", assign("idempotency_key", "k" * 256), "idempotency_key", "TOO_LARGE"),
    ("key with a line break", assign("idempotency_key", "a\nb"), "idempotency_key", "INVALID_FORMAT"),
    ("negative window", assign("dedupe_window.seconds", -1), "dedupe_window", "INVALID_FORMAT"),
    ("window of a year", assign("dedupe_window.seconds", 31_536_000), "dedupe_window", "TOO_LARGE"),
    ("window with bad nanoseconds", assign("dedupe_window.nanos", 2_000_000_000), "dedupe_window", "INVALID_FORMAT"),
]


PUT: list[tuple[str, Callable[[Any], object], str, str]] = [
    ("no name", assign("name", ""), "name", "REQUIRED"),
    ("name with a slash", assign("name", "a/b"), "name", "INVALID_FORMAT"),
    ("no default language", assign("default_language", ""), "default_language", "REQUIRED"),
    ("default language", assign("default_language", "english"), "default_language", "UNKNOWN_LANGUAGE"),
    ("no contents", lambda t: t.ClearField("contents"), "contents", "REQUIRED"),
    ("too many contents", lambda t: t.contents.extend([t.contents[0]] * 200), "contents", "TOO_MANY_ITEMS"),
    ("nothing in the default language", assign("default_language", "fr"), "contents", "MISSING_CONTENT"),
    ("content of no channel", lambda t: t.contents.add(language="en"), "contents[5].channel", "UNKNOWN_VALUE"),
    ("content twice", lambda t: t.contents.append(t.contents[2]), "contents[5]", "DUPLICATE_ITEM"),
    ("e-mail without subject", lambda t: t.contents[0].ClearField("subject"), "contents[0].subject", "REQUIRED"),
    (
        "subject that breaks a header",
        lambda t: assign("subject", "a\nBcc: x")(t.contents[0]),
        "contents[0].subject",
        "INVALID_FORMAT",
    ),
    ("SMS with HTML", lambda t: assign("html", "<b>")(t.contents[2]), "contents[2].html", "INVALID_FORMAT"),
    ("unclosed expression", lambda t: assign("text", "{{ name")(t.contents[0]), "contents[0].text", "INVALID_TEMPLATE"),
    ("unclosed block", lambda t: assign("html", "{% if name %}")(t.contents[0]), "contents[0].html", "INVALID_TEMPLATE"),
    ("unknown filter", lambda t: assign("text", "{{ name|boom }}")(t.contents[0]), "contents[0].text", "INVALID_TEMPLATE"),
    ("undeclared variable", lambda t: assign("text", "{{ nome }}")(t.contents[0]), "contents[0].text", "INVALID_TEMPLATE"),
    ("reserved key of push data", lambda t: t.contents[3].data.update({"aps": "x"}), "contents[3].data.aps", "INVALID_FORMAT"),
    (
        "too many pairs",
        lambda t: t.contents[3].data.update({str(i): "x" for i in range(40)}),
        "contents[3].data",
        "TOO_MANY_ITEMS",
    ),
    ("body too large", lambda t: assign("body", "x" * 20_000)(t.contents[3]), "contents[3].body", "TOO_LARGE"),
    ("variable twice", lambda t: t.variables.append(t.variables[0]), "variables[2].name", "DUPLICATE_ITEM"),
    ("variable with a dash", lambda t: t.variables.add(name="a-b"), "variables[2].name", "INVALID_FORMAT"),
    ("too many variables", lambda t: [t.variables.add(name=f"v{i}") for i in range(70)], "variables", "TOO_MANY_ITEMS"),
]

UPSERT: list[tuple[str, Callable[[Any], object], str, str]] = [
    ("no id", assign("recipient_id", ""), "recipient_id", "REQUIRED"),
    ("e-mail", assign("email", "ada"), "email", "INVALID_EMAIL"),
    ("phone", assign("phone", "12345"), "phone", "INVALID_PHONE"),
    ("timezone", assign("timezone", "CET+1"), "timezone", "UNKNOWN_TIMEZONE"),
    ("language", assign("language", "d"), "language", "UNKNOWN_LANGUAGE"),
    ("platform", lambda r: r.devices.add(platform=9, token="t"), "devices[2].platform", "UNKNOWN_VALUE"),
]

OTHERS: list[tuple[str, str, Message, str, str]] = [
    ("Send of nothing", "Notifications/Send", notifications_pb2.SendRequest(), "notification", "REQUIRED"),
    ("SendBatch of nothing", "Notifications/SendBatch", notifications_pb2.SendBatchRequest(), "notifications", "REQUIRED"),
    (
        "SendBatch of too many",
        "Notifications/SendBatch",
        notifications_pb2.SendBatchRequest(notifications=[Notification()] * 1001),
        "notifications",
        "TOO_MANY_ITEMS",
    ),
    ("Get of nothing", "Notifications/Get", notifications_pb2.GetRequest(), "notification_id", "REQUIRED"),
    (
        "Get of a word",
        "Notifications/Get",
        notifications_pb2.GetRequest(notification_id="order"),
        "notification_id",
        "INVALID_FORMAT",
    ),
    (
        "Get of another system's id",
        "Notifications/Get",
        notifications_pb2.GetRequest(notification_id="6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        "notification_id",
        "INVALID_FORMAT",
    ),
    (
        "List of a negative page",
        "Notifications/List",
        notifications_pb2.ListRequest(page_size=-1),
        "page_size",
        "INVALID_FORMAT",
    ),
    ("List of a huge page", "Notifications/List", notifications_pb2.ListRequest(page_size=10_000), "page_size", "TOO_LARGE"),
    (
        "List by a foreign token",
        "Notifications/List",
        notifications_pb2.ListRequest(page_token="💥"),
        "page_token",
        "INVALID_FORMAT",
    ),
    ("Put of nothing", "Templates/Put", templates_pb2.PutRequest(), "template", "REQUIRED"),
    ("Get of no template", "Templates/Get", templates_pb2.TemplatesServiceGetRequest(), "name", "REQUIRED"),
    (
        "List by a broken token",
        "Templates/List",
        templates_pb2.TemplatesServiceListRequest(page_token="%"),
        "page_token",
        "INVALID_FORMAT",
    ),
    ("Preview of nothing", "Templates/Preview", templates_pb2.PreviewRequest(channel=CHANNEL_SMS), "name", "REQUIRED"),
    ("Preview for no channel", "Templates/Preview", templates_pb2.PreviewRequest(name=TEMPLATE), "channel", "UNKNOWN_VALUE"),
    (
        "Preview without a variable",
        "Templates/Preview",
        templates_pb2.PreviewRequest(name=TEMPLATE, channel=CHANNEL_SMS),
        "data.name",
        "MISSING_VARIABLE",
    ),
    (
        "Preview of a missing channel",
        "Templates/Preview",
        templates_pb2.PreviewRequest(name=TEMPLATE, channel=CHANNEL_IN_APP),
        "channel",
        "MISSING_CONTENT",
    ),
    ("Upsert of nothing", "Recipients/Upsert", recipients_pb2.UpsertRequest(), "recipient", "REQUIRED"),
    ("Get of nobody", "Recipients/Get", recipients_pb2.RecipientsServiceGetRequest(), "recipient_id", "REQUIRED"),
    ("inbox of nobody", "Inbox/List", inbox_pb2.InboxServiceListRequest(), "recipient_id", "REQUIRED"),
    ("Watch of nobody", "Inbox/Watch", inbox_pb2.WatchRequest(), "recipient_id", "REQUIRED"),
    (
        "Watch after nonsense",
        "Inbox/Watch",
        inbox_pb2.WatchRequest(recipient_id="ada", after_notification_id="now"),
        "after_notification_id",
        "INVALID_FORMAT",
    ),
    ("MarkRead of nothing", "Inbox/MarkRead", inbox_pb2.MarkReadRequest(recipient_id="ada"), "notification_ids", "REQUIRED"),
    (
        "MarkRead of too many",
        "Inbox/MarkRead",
        inbox_pb2.MarkReadRequest(recipient_id="ada", notification_ids=["x"] * 201),
        "notification_ids",
        "TOO_MANY_ITEMS",
    ),
    ("HaltChannel of none", "Admin/HaltChannel", admin_pb2.HaltChannelRequest(reason="x"), "channel", "UNKNOWN_VALUE"),
    (
        "dead letters by a foreign key",
        "Admin/ListDeadLetters",
        admin_pb2.ListDeadLettersRequest(filter=admin_pb2.DeadLetterFilter(keys=["?"])),
        "filter.keys[0]",
        "INVALID_FORMAT",
    ),
]

DAMAGED: list[tuple[str, bytes]] = [
    ("noise", b"\xff\xfe\xfd\xfc"),
    ("a message cut off", good().SerializeToString()[:-3]),
    ("a length beyond the end", b"\x0a\xff\xff\xff\xff\x0f"),
    ("text that is not UTF-8", b"\x0a\x04\x0a\x02\xc3\x28"),
    ("data nested beyond what protobuf reads", b"\x0a\xc8\x01" + b"\x42\xc5\x01" + b"\x0a\x02" * 98 + b"\x00"),
    ("JSON", b'{"notification": {"type": "welcome"}}'),
]


def cases() -> Iterator[Case]:
    """All of them."""
    for name, change, field, reason in SEND:
        n = good()
        change(n)
        request = notifications_pb2.SendRequest(notification=n)
        yield Case(name, method("Notifications/Send"), request.SerializeToString(), f"notification.{field}", reason)
    for name, change, field, reason in PUT:
        t: Template = samples.template()
        change(t)
        body = templates_pb2.PutRequest(template=t).SerializeToString()
        yield Case(f"template: {name}", method("Templates/Put"), body, f"template.{field}", reason)
    for name, change, field, reason in UPSERT:
        r = samples.recipient()
        change(r)
        body = recipients_pb2.UpsertRequest(recipient=r).SerializeToString()
        yield Case(f"recipient: {name}", method("Recipients/Upsert"), body, f"recipient.{field}", reason)
    for name, short, message, field, reason in OTHERS:
        yield Case(name, method(short), message.SerializeToString(), field, reason)
    for name, body in DAMAGED:
        yield Case(name, method("Notifications/Send"), body, "request", "INVALID_FORMAT")


def method(short: str) -> str:
    """The full name of "Notifications/Send"."""
    service, _, name = short.partition("/")
    return f"/tidings.v1.{service}Service/{name}"
