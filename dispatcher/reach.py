"""How a recipient can be reached: given addresses first, stored ones for what was not given. Pure."""

from typing import NamedTuple

import orjson

from core.model import Channel
from fastpath import Contact, Record, Target

EMAIL, SMS, PUSH, IN_APP = (channel.mask for channel in Channel)
_EMAIL, _SMS, _PUSH, _IN_APP = map(int, Channel)


class Reach(NamedTuple):
    """How a recipient can be reached.

    Attributes:
        available: mask of the channels that have an address.
        language: "" if none is known.
        targets: where a message goes, by channel - 1: one target, for push one per device, none without an address.
    """

    available: int
    language: str
    targets: tuple[tuple[Target, ...], ...]


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


def reach(record: Record, stored: Contact | None) -> Reach:
    """What is known of the recipient of `record`; `stored` is None if nobody has its id or it has none."""
    _, email, phone, devices, language = stored or ("", "", "", "", "")
    targets = (
        _one(_EMAIL, record.email or email),
        _one(_SMS, record.phone or phone),
        _devices(record.devices) or _devices(devices),
        _one(_IN_APP, record.recipient_id),
    )
    available = sum(channel.mask for channel, known in zip(Channel, targets, strict=True) if known)
    return Reach(available, record.language or language, targets)


def _one(channel: int, address: str) -> tuple[Target, ...]:
    return (Target(channel, address),) if address else ()


def _devices(known: bytes | str) -> tuple[Target, ...]:
    """Targets of devices as records and contacts have them: JSON, [[platform, token], ...]."""
    pairs = orjson.loads(known) if known else ()
    return tuple(Target(_PUSH, token, platform, i) for i, (platform, token) in enumerate(pairs))
