"""Notifications, recipients and templates for the dispatcher's tests, each with what a test names and sane rest."""

from typing import Any

import orjson

from core.ids import new_id
from core.model import Channel, Class, Part, Platform, Priority
from fastpath import Contact, Record, record
from fastpath.layout import NOTIFICATION
from ledger.values import StoredDevice, StoredRecipient, StoredTemplate, TemplateContent

NOW = 1_700_000_000_000

ADA = StoredRecipient(
    recipient_id="ada",
    email="ada@example.com",
    phone="+4915112345678",
    devices=(StoredDevice(Platform.FCM, "fcm-token"), StoredDevice(Platform.APNS, "apns-token")),
    language="de-AT",
)

ORDER = StoredTemplate(
    name="order",
    version=3,
    default_language="en",
    variables=(),
    contents=(
        TemplateContent(
            Channel.EMAIL, "en", {Part.SUBJECT: "Order {{ id }}", Part.HTML: "<b>{{ id }}</b>", Part.TEXT: "{{ id }}"}
        ),
        TemplateContent(Channel.EMAIL, "de", {Part.SUBJECT: "Bestellung {{ id }}", Part.TEXT: "{{ id }}"}),
        TemplateContent(Channel.SMS, "en", {Part.TEXT: "Order {{ id }} is on its way"}),
        TemplateContent(
            Channel.PUSH, "en", {Part.TITLE: "Order", Part.BODY: "{{ id }}", Part.DATA: '{"order": "no. {{ id }}"}'}
        ),
        TemplateContent(Channel.IN_APP, "en", {Part.TITLE: "Order", Part.BODY: "{{ id }}", Part.ACTION: "/orders/{{ id }}"}),
    ),
)


def contact(stored: StoredRecipient) -> Contact:
    """What the ledger tells a dispatcher of a recipient."""
    devices = orjson.dumps([[device.platform, device.token] for device in stored.devices]).decode() if stored.devices else ""
    return (stored.recipient_id, stored.email, stored.phone, devices, stored.language)


def notification(*channels: Channel, **fields: Any) -> Record:
    """A notification to Ada about her order, on the channels asked for."""
    data = fields.pop("data", {"id": "A1"})
    known: dict[str, Any] = {
        "id": new_id(0, fields.get("priority", Priority.HIGH), NOW),
        "priority": Priority.HIGH,
        "klass": Class.TRANSACTIONAL,
        "channel": sum(channel.mask for channel in channels),
        "accepted_ms": NOW,
        "type": "order_confirmation",
        "recipient_id": "ada",
        "template": "order",
        "version": 3,
        "source": "shop",
    }
    return record(NOTIFICATION, **known | fields, data=data if isinstance(data, bytes) else orjson.dumps(data))
