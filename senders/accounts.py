"""The gates of the providers, with the buckets of their accounts. Knows accounts, shows no secret."""

import math
from hashlib import sha256

from core.bucket import Bucket, Rate
from core.clock import SYSTEM_CLOCK, Clock
from core.members import new_name
from core.settings import LimitSettings, Settings
from core.store import Store
from senders.gate import Gate

PROVIDERS = ("sendgrid", "smtp", "twilio", "fcm", "apns")


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
    """Gates of all providers by name; one without a limit has its bucket for when the provider asks for patience.

    Raises:
        StoreUnavailable: Redis is away.
    """
    gates: dict[str, Gate] = {}
    limits = {str(name): limit for name, limit in settings.limits.items()}
    member = new_name()
    for name in PROVIDERS:
        limit = limits.get(name)
        bucket = await Bucket(store, account(settings, name), rate(limit) if limit else None, member).open()
        gates[name] = Gate(name, bucket, clock=clock)
    return gates
