"""How a recipient can be reached: given addresses first, stored ones for what was not given. Pure."""

from typing import NamedTuple

import orjson

from core.model import Channel
from fastpath import Record
from ledger.values import StoredRecipient

EMAIL, SMS, PUSH, IN_APP = (channel.mask for channel in Channel)


class Target(NamedTuple):
    """Where one delivery goes.

    Attributes:
        channel: core.model.Channel.
        address: e-mail address, E.164 number, device token, or recipient id for in-app.
        platform: core.model.Platform of a device, else 0.
        device: which of the recipient's devices, from 0.
    """

    channel: int
    address: str
    platform: int = 0
    device: int = 0


class Reach(NamedTuple):
    """A recipient's addresses for one notification, as far as they are known.

    Attributes:
        email, phone: "" if there is none.
        devices: (platform, token) each.
        inbox: recipient id, "" if the notification has none.
        language: as given or stored, "" if neither.
        available: mask of the channels that have an address.
    """

    email: str
    phone: str
    devices: tuple[tuple[int, str], ...]
    inbox: str
    language: str
    available: int

    def targets(self, channel: int) -> tuple[Target, ...]:
        """Where a message on `channel` goes: one target, for push one per device."""
        if channel == Channel.EMAIL:
            return (Target(channel, self.email),)
        if channel == Channel.SMS:
            return (Target(channel, self.phone),)
        if channel == Channel.PUSH:
            return tuple(Target(channel, token, platform, i) for i, (platform, token) in enumerate(self.devices))
        return (Target(channel, self.inbox),)


def given_mask(record: Record) -> int:
    """The channels whose address the caller gave with the call."""
    return (EMAIL if record.email else 0) | (SMS if record.phone else 0) | (PUSH if record.devices else 0)


def can_do_without(record: Record) -> bool:
    """True if the notification can be sent by what was given with it alone, should the recipient store be away."""
    given = given_mask(record)
    return bool(given) and not record.channel & ~(given | IN_APP)


def must_look_up(record: Record) -> bool:
    """True if the recipient store may know something that the notification needs and was not given."""
    if not record.recipient_id:
        return False
    return not (can_do_without(record) and record.channel and record.language)


def reach(record: Record, stored: StoredRecipient | None) -> Reach:
    """What is known of the recipient of `record`; `stored` is None if nobody has its id or it has none."""
    email, phone, language, inbox = record.email, record.phone, record.language, record.recipient_id
    devices: tuple[tuple[int, str], ...] = ()
    if record.devices:
        devices = tuple((platform, token) for platform, token in orjson.loads(record.devices))
    if stored is not None:
        email, phone, language = email or stored.email, phone or stored.phone, language or stored.language
        devices = devices or tuple((device.platform, device.token) for device in stored.devices)
    available = (EMAIL if email else 0) | (SMS if phone else 0) | (PUSH if devices else 0) | (IN_APP if inbox else 0)
    return Reach(email, phone, devices, inbox, language, available)
