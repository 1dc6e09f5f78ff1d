"""The gates of the providers that the settings name, with the buckets of their accounts. Knows accounts, shows no secret."""

import math
from hashlib import sha256

from core.bucket import Bucket, Rate
from core.clock import SYSTEM_CLOCK, Clock
from core.settings import LimitSettings, Settings
from core.store import Store
from senders.gate import Gate


def account(settings: Settings, provider: str) -> str:
    """What a rate is counted by: the provider, and the account (of SMS: the number) that it bills."""
    key = sha256(settings.sendgrid.api_key.get_secret_value().encode()).hexdigest()[:16]
    accounts = {
        "sendgrid": key,
        "smtp": f"{settings.smtp.host}:{settings.smtp.port}:{settings.smtp.username}",
        "twilio": f"{settings.twilio.account_sid}:{settings.twilio.from_number}",
        "fcm": settings.fcm.project_id,
        "apns": f"{settings.apns.team_id}:{settings.apns.topic}",
    }
    return f"{provider}:{accounts[provider]}"


def rate(limit: LimitSettings) -> Rate:
    """The bucket's numbers; without a burst it holds one second's tokens."""
    return Rate(limit.per_s, limit.burst or max(math.ceil(limit.per_s), 1), limit.reserve)


async def open_gates(settings: Settings, store: Store, clock: Clock = SYSTEM_CLOCK) -> dict[str, Gate]:
    """Gates of the providers that have a limit, by name.

    Raises:
        StoreUnavailable: Redis is away.
    """
    gates: dict[str, Gate] = {}
    for name, limit in settings.limits.items():
        bucket = await Bucket(store, account(settings, name), rate(limit)).open()
        gates[name] = Gate(name, bucket, clock=clock)
    return gates
