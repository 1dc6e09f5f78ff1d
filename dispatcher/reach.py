"""How a recipient can be reached: given addresses first, stored ones for what was not given. Pure."""

import orjson

from core.model import Channel
from fastpath import Reach, Record, Target
from ledger.values import StoredRecipient

EMAIL, SMS, PUSH, IN_APP = (channel.mask for channel in Channel)
_EMAIL, _SMS, _PUSH, _IN_APP = map(int, Channel)

NOWHERE: tuple[Target, ...] = ()


def reach_of(stored: StoredRecipient) -> Reach:
    """How a stored recipient can be reached, should a notification give nothing of its own."""
    devices = tuple(Target(_PUSH, device.token, device.platform, i) for i, device in enumerate(stored.devices))
    targets = (_one(_EMAIL, stored.email), _one(_SMS, stored.phone), devices, _one(_IN_APP, stored.recipient_id))
    return _reach(targets, stored.language)


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


def reach(record: Record, stored: Reach | None) -> Reach:
    """What is known of the recipient of `record`; `stored` is None if nobody has its id or it has none."""
    given = (_one(_EMAIL, record.email), _one(_SMS, record.phone), _devices(record), _one(_IN_APP, record.recipient_id))
    if stored is None:
        return _reach(given, record.language)
    targets = tuple(mine or theirs for mine, theirs in zip(given, stored.targets, strict=True))
    return _reach(targets, record.language or stored.language)


def _reach(targets: tuple[tuple[Target, ...], ...], language: str) -> Reach:
    email, sms, push, in_app = targets
    available = (EMAIL if email else 0) | (SMS if sms else 0) | (PUSH if push else 0) | (IN_APP if in_app else 0)
    return Reach(available, language, targets)


def _one(channel: int, address: str) -> tuple[Target, ...]:
    return (Target(channel, address),) if address else NOWHERE


def _devices(record: Record) -> tuple[Target, ...]:
    if not record.devices:
        return NOWHERE
    return tuple(Target(_PUSH, token, platform, i) for i, (platform, token) in enumerate(orjson.loads(record.devices)))
