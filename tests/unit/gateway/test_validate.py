"""Notifications and recipients: one thing broken at a time, and all at once."""

from collections.abc import Callable

import pytest

from core.model import Channel, Class, Priority
from gateway import validate
from tests.unit.gateway.samples import NOW_MS, notification, recipient
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.types_pb2 import (
    CHANNEL_EMAIL,
    CHANNEL_IN_APP,
    CHANNEL_PUSH,
    CHANNEL_SMS,
    NOTIFICATION_CLASS_PROMOTIONAL,
    PLATFORM_APNS,
    PLATFORM_FCM,
    Device,
    ErrorReason,
    Recipient,
)
from tidings.v1.types_pb2 import Channel as ChannelType

Unknown = ChannelType.ValueType  # makes a channel of any number


def faults(n: Notification) -> dict[str, str]:
    found = validate.notification(n, NOW_MS)[1]
    assert len({v.field for v in found}) == len(found)
    return {v.field: ErrorReason.Name(v.reason).removeprefix("ERROR_REASON_") for v in found}


def changed(change: Callable[[Notification], object]) -> Notification:
    made = notification()
    change(made)
    return made


def put(path: str, value: object) -> Callable[[Notification], object]:
    *outer, name = path.split(".")

    def change(n: Notification) -> None:
        message: object = n
        for step in outer:
            message = getattr(message, step)
        setattr(message, name, value)

    return change


TABLE: list[tuple[str, Callable[[Notification], object], dict[str, str]]] = [
    ("type missing", put("type", ""), {"type": "REQUIRED"}),
    ("type with a line break", put("type", "a\nb"), {"type": "INVALID_FORMAT"}),
    ("type that ends in one", put("type", "a\n"), {"type": "INVALID_FORMAT"}),
    ("type too long", put("type", "a" * 129), {"type": "TOO_LARGE"}),
    ("priority", put("priority", 9), {"priority": "UNKNOWN_VALUE"}),
    ("negative priority", put("priority", -1), {"priority": "UNKNOWN_VALUE"}),
    ("class", put("notification_class", 7), {"notification_class": "UNKNOWN_VALUE"}),
    ("channel twice", lambda n: n.channels.append(CHANNEL_SMS), {"channels[2]": "DUPLICATE_ITEM"}),
    ("channel 0", lambda n: n.channels.append(Unknown(0)), {"channels[2]": "UNKNOWN_VALUE"}),
    ("channel 9", lambda n: n.channels.append(Unknown(9)), {"channels[2]": "UNKNOWN_VALUE"}),
    ("no recipient", lambda n: n.ClearField("recipient"), {"recipient": "REQUIRED"}),
    ("recipient without address", lambda n: n.recipient.CopyFrom(Recipient(language="de")), {"recipient": "REQUIRED"}),
    ("recipient_id", put("recipient.recipient_id", "a\r\nb"), {"recipient.recipient_id": "INVALID_FORMAT"}),
    ("email", put("recipient.email", "ada@"), {"recipient.email": "INVALID_EMAIL"}),
    ("phone", put("recipient.phone", "0171 2345"), {"recipient.phone": "INVALID_PHONE"}),
    ("language", put("recipient.language", "deutsch"), {"recipient.language": "UNKNOWN_LANGUAGE"}),
    ("timezone", put("recipient.timezone", "Europe/Atlantis"), {"recipient.timezone": "UNKNOWN_TIMEZONE"}),
    ("platform", lambda n: n.recipient.devices.add(token="t"), {"recipient.devices[2].platform": "UNKNOWN_VALUE"}),
    ("no token", lambda n: n.recipient.devices.add(platform=PLATFORM_FCM), {"recipient.devices[2].token": "REQUIRED"}),
    (
        "APNs token",
        lambda n: n.recipient.devices.add(platform=PLATFORM_APNS, token="xyz"),
        {"recipient.devices[2].token": "INVALID_FORMAT"},
    ),
    (
        "long token",
        lambda n: n.recipient.devices.add(platform=PLATFORM_FCM, token="x" * 4097),
        {"recipient.devices[2].token": "TOO_LARGE"},
    ),
    ("device twice", lambda n: n.recipient.devices.append(n.recipient.devices[0]), {"recipient.devices[2]": "DUPLICATE_ITEM"}),
    (
        "21 devices",
        lambda n: n.recipient.devices.extend(Device(platform=PLATFORM_FCM, token=f"t{i}") for i in range(19)),
        {"recipient.devices": "TOO_MANY_ITEMS"},
    ),
    ("template", put("template", "a b"), {"template": "INVALID_FORMAT"}),
    ("template version", put("template_version", 2**31), {"template_version": "TOO_LARGE"}),
    ("data", lambda n: n.data.update({"a": "x" * 70_000}), {"data": "TOO_LARGE"}),
    ("NaN", lambda n: n.data.update({"items": [float("nan")]}), {"data.items[0]": "INVALID_FORMAT"}),
    ("source", put("source", "a\nb"), {"source": "INVALID_FORMAT"}),
    ("created_at", put("created_at.nanos", -1), {"created_at": "INVALID_FORMAT"}),
    ("created_at beyond time", put("created_at.seconds", 2**60), {"created_at": "INVALID_FORMAT"}),
    ("expired", put("expires_at.seconds", NOW_MS // 1000 - 1), {"expires_at": "EXPIRED"}),
    ("expires now", lambda n: n.expires_at.FromMilliseconds(NOW_MS), {"expires_at": "EXPIRED"}),
    ("expires_at", put("expires_at.nanos", 10**9), {"expires_at": "INVALID_FORMAT"}),
    ("key", put("idempotency_key", "k" * 256), {"idempotency_key": "TOO_LARGE"}),
    ("negative window", put("dedupe_window.seconds", -1), {"dedupe_window": "INVALID_FORMAT"}),
    ("window of two signs", put("dedupe_window.nanos", -1), {"dedupe_window": "INVALID_FORMAT"}),
    ("window of eight days", put("dedupe_window.seconds", 8 * 86400), {"dedupe_window": "TOO_LARGE"}),
]


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_one_fault(change: Callable[[Notification], object], expected: dict[str, str]) -> None:
    assert faults(changed(change)) == expected


def test_all_faults_at_once() -> None:
    n = Notification(type="a b", channels=[Unknown(9), Unknown(9)], recipient=Recipient(email="ada", phone="1"), source="\n")
    n.priority = 9  # type: ignore[assignment]
    assert set(faults(n)) == {
        "type",
        "priority",
        "channels[0]",
        "channels[1]",
        "recipient.email",
        "recipient.phone",
        "template",
        "source",
    }


@pytest.mark.parametrize(
    ("channel", "field"),
    [(CHANNEL_EMAIL, "email"), (CHANNEL_SMS, "phone"), (CHANNEL_PUSH, "devices"), (CHANNEL_IN_APP, "recipient_id")],
)
def test_a_channel_needs_its_address_where_nobody_is_named_by_id(channel: int, field: str) -> None:
    n = notification()
    n.channels[:] = [Unknown(channel)]
    n.recipient.ClearField("recipient_id")
    if field != "recipient_id":
        assert faults(n) == {}
        n.recipient.ClearField(field)  # type: ignore[arg-type]
    assert faults(n) == {f"recipient.{field}": "REQUIRED"}
    n.recipient.recipient_id = "usr"
    assert faults(n) == {}


def test_the_values_of_a_draft() -> None:
    draft, found = validate.notification(notification(name="Ada"), NOW_MS)
    assert not found
    assert (draft.priority, draft.klass, draft.channels) == (
        Priority.HIGH,
        Class.TRANSACTIONAL,
        Channel.EMAIL.mask | Channel.SMS.mask,
    )
    assert draft.to.devices.startswith(b'[[1,"fcm-token:1"],[2,"0123')
    assert (draft.data, set(draft.names or ())) == (b'{"name":"Ada"}', {"name"})
    assert (draft.at_ms, draft.expires_ms, draft.dedupe_s) == (NOW_MS - 1000, NOW_MS + 60_000, 60)


def test_defaults() -> None:
    n = Notification(type="news", template="news", recipient=Recipient(recipient_id="ada"))
    draft, found = validate.notification(n, NOW_MS)
    assert not found
    assert (draft.priority, draft.klass, draft.channels, draft.dedupe_s) == (Priority.MEDIUM, Class.TRANSACTIONAL, 0, 0)
    n.notification_class = NOTIFICATION_CLASS_PROMOTIONAL
    assert validate.notification(n, NOW_MS)[0].dedupe_s == 3600
    n.dedupe_window.SetInParent()
    assert validate.notification(n, NOW_MS)[0].dedupe_s == 0
    n.dedupe_window.nanos = 1
    assert validate.notification(n, NOW_MS)[0].dedupe_s == 1


def test_what_cannot_be_looked_up_is_not() -> None:
    n = notification()
    n.template_version = 2**31
    assert validate.notification(n, NOW_MS)[0].template == ""
    n = notification(a="x" * 70_000)
    assert validate.notification(n, NOW_MS)[0].names is None


def test_a_recipient_is_stored_in_normal_form() -> None:
    r = recipient()
    r.email, r.language, r.devices[1].token = "Ada@EXAMPLE.com", "DE-at", "AB" * 32
    to, found = validate.recipient(r)
    assert not found
    assert (to.email, to.language) == ("Ada@example.com", "de-AT")
    assert to.devices.endswith(b'[2,"' + b"ab" * 32 + b'"]]')


def test_a_recipient_needs_an_id() -> None:
    r = recipient()
    r.recipient_id = ""
    assert [v.field for v in validate.recipient(r)[1]] == ["recipient_id"]


def test_null_is_no_value_of_a_variable() -> None:
    n = notification()
    n.data.Clear()
    n.data.update({"name": None, "code": "1234"})
    draft, found = validate.notification(n, NOW_MS)
    assert (found, set(draft.names or ())) == ([], {"code"})
