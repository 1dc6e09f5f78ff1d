"""Notifications and recipients: every fault of a message at once, or its values in normal form. Pure; the time is handed in.

Knows what proto/'s annotations say and more (a test compares the two); whether a template exists is gateway/catalog.py's.
"""

from collections.abc import Callable, KeysView
from typing import NamedTuple

import orjson
from google.protobuf import duration_pb2, timestamp_pb2

from core.ids import parse_id
from core.model import Channel, Class, Platform, Priority
from gateway import fields
from gateway.data import plain
from gateway.errors import Reason, Violation
from tidings.v1 import notifications_pb2, types_pb2
from tidings.v1.types_pb2 import ErrorReason

CHANNELS = 4
DEVICES = 20
TOKEN_CHARACTERS = 4_096
KEY_CHARACTERS = 255
SOURCE_CHARACTERS = 128
VERSION_MAX = 2**31 - 1
DEDUPE_MAX_S = 7 * 24 * 3600
PROMOTIONAL_DEDUPE_S = 3600  # of promotional notifications whose caller says nothing
FIRST_SECOND = -62_135_596_800  # 0001-01-01, as google.protobuf.Timestamp allows
LAST_SECOND = 253_402_300_799  # 9999-12-31

_REQUIRED = ErrorReason.ERROR_REASON_REQUIRED
_UNKNOWN = ErrorReason.ERROR_REASON_UNKNOWN_VALUE
_FORMAT = ErrorReason.ERROR_REASON_INVALID_FORMAT


class Addresses(NamedTuple):
    """Who hears of it, in normal form; "" and b"" for what was not given. `devices` is JSON, [[platform, token], ...]."""

    recipient_id: str = ""
    email: str = ""
    phone: str = ""
    devices: bytes = b""
    language: str = ""
    timezone: str = ""


class Draft(NamedTuple):
    """A notification's values in normal form: what a record is made of.

    `template` is "" if it cannot be looked up; `names` are the top-level keys of `data` that are not null, None if data
    cannot be used.
    """

    type: str
    priority: int
    klass: int
    channels: int  # mask
    to: Addresses
    template: str
    version: int
    names: KeysView[str] | None
    data: bytes
    source: str
    at_ms: int
    expires_ms: int
    key: str
    dedupe_s: int


class Faults(list[Violation]):
    """Violations as they are found."""

    def note(self, field: str, reason: Reason, text: str) -> None:
        """Adds one."""
        self.append(Violation(field, text, reason))

    def check(self, field: str, check: Callable[..., str], *values: str | int) -> str:
        """The value as `check` returns it; "" with a fault noted if it refuses."""
        try:
            return check(*values)
        except fields.Bad as bad:
            self.note(field, bad.reason, str(bad))
            return ""


def notification(n: notifications_pb2.Notification, now_ms: int) -> tuple[Draft, Faults]:
    """The values of a notification and all its faults, with paths relative to it. With faults the values are not complete."""
    faults = Faults()
    type_ = faults.check("type", fields.name, n.type)
    priority = n.priority or Priority.MEDIUM
    if priority > Priority.LOW or priority < 0:
        faults.note("priority", _UNKNOWN, f"{priority} is not a priority; 1 (critical) to 4 (low) are")
    klass = n.notification_class or Class.TRANSACTIONAL
    if klass > Class.ALERT or klass < 0:
        faults.note("notification_class", _UNKNOWN, f"{klass} is not a class; 1 (transactional) to 3 (alert) are")
    mask = _channels(n, faults) if n.channels else 0
    to = _recipient(n, mask, faults)
    template = faults.check("template", fields.name, n.template)
    if n.template_version > VERSION_MAX:
        faults.note("template_version", ErrorReason.ERROR_REASON_TOO_LARGE, f"is more than {VERSION_MAX}")
        template = ""
    values, encoded, bad_data = plain(n.data)
    faults.extend(v.under("data") for v in bad_data)
    source = faults.check("source", fields.line, n.source, SOURCE_CHARACTERS) if n.source else ""
    at_ms = moment(n.created_at, "created_at", faults) if n.HasField("created_at") else 0
    expires_ms = _expiry(n.expires_at, now_ms, faults) if n.HasField("expires_at") else 0
    key = faults.check("idempotency_key", fields.line, n.idempotency_key, KEY_CHARACTERS) if n.idempotency_key else ""
    if n.HasField("dedupe_window"):
        dedupe_s = _window(n.dedupe_window, faults)
    else:
        dedupe_s = PROMOTIONAL_DEDUPE_S if klass == Class.PROMOTIONAL else 0
    return Draft(
        type_,
        priority,
        klass,
        mask,
        to,
        template,
        n.template_version,
        None if bad_data else _said(values),
        encoded,
        source,
        at_ms,
        expires_ms,
        key,
        dedupe_s,
    ), faults


def recipient(r: types_pb2.Recipient) -> tuple[Addresses, Faults]:
    """A recipient that is to be stored: its values and all its faults, with paths relative to it."""
    faults = Faults()
    found = _addresses(r, "", faults)
    if not r.recipient_id:
        faults.note("recipient_id", _REQUIRED, "is required")
    return found, faults


def _channels(n: notifications_pb2.Notification, faults: Faults) -> int:
    asked = n.channels
    count = len(asked)
    if count == 1 and (only := _MASKS.get(asked[0])):  # the usual case
        return only
    mask = 0
    if count > CHANNELS:
        faults.note("channels", ErrorReason.ERROR_REASON_TOO_MANY_ITEMS, f"has {count} items; at most {CHANNELS} are allowed")
    for i, channel in enumerate(asked[: CHANNELS + 1]):
        one = _MASKS.get(channel)
        if one is None:
            faults.note(f"channels[{i}]", _UNKNOWN, f"{channel} is not a channel; 1 (email) to 4 (in-app) are")
        elif mask & one:
            faults.note(f"channels[{i}]", ErrorReason.ERROR_REASON_DUPLICATE_ITEM, "names a channel a second time")
        else:
            mask |= one
    return mask


_MASKS = {int(channel): channel.mask for channel in Channel}


def _recipient(n: notifications_pb2.Notification, mask: int, faults: Faults) -> Addresses:
    r = n.recipient
    to = _addresses(r, "recipient.", faults)
    if r.recipient_id:
        return to
    if not (r.email or r.phone or r.devices):
        faults.note("recipient", _REQUIRED, "give a recipient_id or at least one address (email, phone, devices)")
    elif mask:
        given = {Channel.EMAIL: r.email, Channel.SMS: r.phone, Channel.PUSH: r.devices, Channel.IN_APP: ""}
        for channel, address in given.items():
            if mask & channel.mask and not address:
                field, name = _ADDRESS[channel]
                faults.note(
                    f"recipient.{field}", _REQUIRED, f"is required: {name} is asked for and no recipient is named by id"
                )
    return to


def _said(values: dict[str, object]) -> KeysView[str]:
    """The keys that have something to say: a template would render null as "None", to somebody who waits for a code."""
    if None not in values.values():
        return values.keys()
    return {key: value for key, value in values.items() if value is not None}.keys()


_ADDRESS = {
    Channel.EMAIL: ("email", "e-mail"),
    Channel.SMS: ("phone", "SMS"),
    Channel.PUSH: ("devices", "push"),
    Channel.IN_APP: ("recipient_id", "in-app"),
}


def _addresses(r: types_pb2.Recipient, path: str, faults: Faults) -> Addresses:
    return Addresses(
        faults.check(f"{path}recipient_id", fields.identifier, r.recipient_id) if r.recipient_id else "",
        faults.check(f"{path}email", fields.email, r.email) if r.email else "",
        faults.check(f"{path}phone", fields.phone, r.phone) if r.phone else "",
        _devices(r, path, faults) if r.devices else b"",
        faults.check(f"{path}language", fields.language, r.language) if r.language else "",
        faults.check(f"{path}timezone", fields.timezone, r.timezone) if r.timezone else "",
    )


def _devices(r: types_pb2.Recipient, path: str, faults: Faults) -> bytes:
    if len(r.devices) > DEVICES:
        reason = ErrorReason.ERROR_REASON_TOO_MANY_ITEMS
        faults.note(f"{path}devices", reason, f"has {len(r.devices)} items; at most {DEVICES} are allowed")
        return b""
    found: list[tuple[int, str]] = []
    for i, device in enumerate(r.devices):
        at = f"{path}devices[{i}]"
        check = _TOKENS.get(device.platform)
        if check is None:
            faults.note(f"{at}.platform", _UNKNOWN, f"{device.platform} is not a platform; 1 (FCM) and 2 (APNs) are")
        elif not device.token:
            faults.note(f"{at}.token", _REQUIRED, "is required")
        elif len(device.token) > TOKEN_CHARACTERS:
            faults.note(f"{at}.token", ErrorReason.ERROR_REASON_TOO_LARGE, f"has more than {TOKEN_CHARACTERS} characters")
        else:
            one = (int(device.platform), faults.check(f"{at}.token", check, device.token))
            if one in found and one[1]:
                faults.note(at, ErrorReason.ERROR_REASON_DUPLICATE_ITEM, "stands twice")
            found.append(one)
    return orjson.dumps(found)


_TOKENS: dict[int, Callable[[str], str]] = {Platform.FCM: fields.fcm_token, Platform.APNS: fields.apns_token}


def moment(at: timestamp_pb2.Timestamp, field: str, faults: Faults) -> int:
    """A time in milliseconds since the epoch; 0 with a fault noted if it is none."""
    if not (FIRST_SECOND <= at.seconds <= LAST_SECOND and 0 <= at.nanos < 1_000_000_000):
        faults.note(field, _FORMAT, "is not a time between the years 1 and 9999 with 0 to 999999999 nanoseconds")
        return 0
    return at.seconds * 1000 + at.nanos // 1_000_000


def _expiry(at: timestamp_pb2.Timestamp, now_ms: int, faults: Faults) -> int:
    before = len(faults)
    expires_ms = moment(at, "expires_at", faults)
    if len(faults) == before and expires_ms <= now_ms:
        faults.note("expires_at", ErrorReason.ERROR_REASON_EXPIRED, "is not in the future")
    return expires_ms


def _window(window: duration_pb2.Duration, faults: Faults) -> int:
    seconds, nanos = window.seconds, window.nanos
    if abs(nanos) > 999_999_999 or (seconds > 0 > nanos) or (seconds < 0 < nanos):
        faults.note("dedupe_window", _FORMAT, "is not a duration: seconds and nanoseconds must have one sign")
        return 0
    if seconds < 0 or nanos < 0:
        faults.note("dedupe_window", _FORMAT, "is negative")
        return 0
    if (seconds, nanos) > (DEDUPE_MAX_S, 0):
        faults.note("dedupe_window", ErrorReason.ERROR_REASON_TOO_LARGE, "is longer than seven days")
        return 0
    return seconds + (nanos > 0)


def notification_id(text: str, field: str, faults: Faults) -> bytes:
    """The 16 bytes of an id; b"" with a fault noted if it is none."""
    before = len(faults)
    faults.check(field, fields.notification_id, text)
    return parse_id(text) if len(faults) == before else b""


def page_size(size: int, most: int, faults: Faults) -> None:
    """Notes a page size that is negative or over `most`; 0 stands for the method's default."""
    if size < 0:
        faults.note("page_size", _FORMAT, "is negative")
    elif size > most:
        faults.note("page_size", ErrorReason.ERROR_REASON_TOO_LARGE, f"is {size}; at most {most} are allowed")
