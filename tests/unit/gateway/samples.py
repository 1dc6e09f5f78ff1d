"""Messages that are accepted as they stand, for tests to break one thing at a time."""

from typing import Any

from tidings.v1 import notifications_pb2 as pb
from tidings.v1 import templates_pb2
from tidings.v1.types_pb2 import (
    CHANNEL_EMAIL,
    CHANNEL_IN_APP,
    CHANNEL_PUSH,
    CHANNEL_SMS,
    PLATFORM_APNS,
    PLATFORM_FCM,
    PRIORITY_HIGH,
    Device,
    Recipient,
)

NOW_MS = 1_700_000_000_000
APNS_TOKEN = "0123456789abcdef" * 4


def recipient() -> Recipient:
    return Recipient(
        recipient_id="usr_456",
        email="user@example.com",
        phone="+4915112345678",
        devices=[Device(platform=PLATFORM_FCM, token="fcm-token:1"), Device(platform=PLATFORM_APNS, token=APNS_TOKEN)],
        language="de-AT",
        timezone="Europe/Vienna",
    )


def notification(**data: Any) -> pb.Notification:
    made = pb.Notification(
        type="order_confirmation",
        priority=PRIORITY_HIGH,
        channels=[CHANNEL_EMAIL, CHANNEL_SMS],
        recipient=recipient(),
        template="order_confirmation",
        template_version=3,
        source="order-service",
        idempotency_key="order 789",
    )
    made.data.update(data or {"order_id": "ord_789", "total": 99.99, "count": 3, "items": [{"sku": "a"}, None, True]})
    made.created_at.FromMilliseconds(NOW_MS - 1000)
    made.expires_at.FromMilliseconds(NOW_MS + 60_000)
    made.dedupe_window.FromSeconds(60)
    return made


def template() -> templates_pb2.Template:
    content = templates_pb2.Content
    return templates_pb2.Template(
        name="order_confirmation",
        default_language="en",
        variables=[templates_pb2.Variable(name="name", required=True), templates_pb2.Variable(name="total")],
        contents=[
            content(
                channel=CHANNEL_EMAIL, language="en", subject="Hello {{ name }}", html="<p>{{ name }}</p>", text="{{ name }}"
            ),
            content(channel=CHANNEL_EMAIL, language="de-AT", subject="Servus {{ name }}", text="{{ name }}"),
            content(channel=CHANNEL_SMS, language="en", text="{{ name }}"),
            content(channel=CHANNEL_PUSH, language="en", title="Hello", body="{{ name }}", data={"order": "{{ total }}"}),
            content(
                channel=CHANNEL_IN_APP,
                language="en",
                title="Hello",
                body="{{ name }}",
                action="https://shop.example/{{ name }}",
            ),
        ],
    )
