"""What goes wrong and when, drawn from a seed. Pure: the same seed and size give the same script."""

import random
from dataclasses import dataclass
from typing import Any, Literal

STATIONS = ("gateway", "dispatcher", "sender-email", "sender-sms", "sender-push", "sender-in_app", "ledger")
STORES = ("valkey", "postgresql")
PAUSE_S = (4.0, 7.0)  # longer than core.members.TTL_MS: others take a paused process for dead, and then it comes back
WAVE = 5_000  # notifications between two blows, until there are DECKS_MOST decks of blows; then more
DECKS_MOST = 4  # each deck kills every process once and pauses every station once, for a minute and a half in all


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that happens to a process `after_s` seconds into its wave: SIGKILL, or SIGSTOP for `seconds`."""

    kind: Literal["kill", "pause"]
    process: str
    after_s: float
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.process}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


@dataclass(frozen=True, slots=True)
class Wave:
    """Notifications `first` to `last` (exclusive), sent while `blow` falls."""

    first: int
    last: int
    blow: Blow


def waves(count: int, seed: int) -> list[Wave]:
    """The whole run: every station and store is killed at least once, every station is paused at least once."""
    dice = random.Random(seed)
    deck_size = len(STATIONS) * 2 + len(STORES)
    decks = min(DECKS_MOST, max(1, count // (WAVE * deck_size)))
    blows = [blow for _ in range(decks) for blow in _deck(dice)]
    bounds = [i * count // len(blows) for i in range(len(blows) + 1)]
    return [Wave(first, last, blow) for first, last, blow in zip(bounds, bounds[1:], blows, strict=False)]


def _deck(dice: random.Random) -> list[Blow]:
    deck = [Blow("kill", name, dice.uniform(0, 1)) for name in STATIONS + STORES]
    deck += [Blow("pause", name, dice.uniform(0, 1), dice.uniform(*PAUSE_S)) for name in STATIONS]
    dice.shuffle(deck)
    return deck


def faults(seed: int) -> list[dict[str, Any]]:
    """Rules for the sandbox: 1 to 20 % of each provider's calls meet one fault or another."""
    dice = random.Random(seed + 1)
    rules = []
    for provider in ("sendgrid", "smtp", "twilio", "fcm", "apns"):
        for kind, most in (("throttle", 6.0), ("error", 8.0), ("slow", 4.0), ("reset", 1.0), ("hang", 0.5)):
            rule = {
                "provider": provider,
                "kind": kind,
                "percent": round(dice.uniform(most / 8, most), 2),
                "seed": dice.randrange(2**31),
            }
            rules.append(rule | {"seconds": 1.0, "retry_after_s": 1})
    return rules


def weather(seed: int) -> dict[str, Any]:
    """What befalls webhooks on their way: late, lost or twice."""
    return {"delay_ms": 200, "drop_percent": 2, "duplicate_percent": 5, "seed": seed + 2}


CHANNELS = ("email", "sms", "push", "in_app")
SHARES = (52, 3, 3, 42)  # as in life, what costs money or a connection each is rarer
PRIORITIES = ("critical", "high", "medium", "low")
PEOPLE = 500


def notification(number: int, seed: int) -> dict[str, Any]:
    """The fields of notification `number`; its key makes a repeated call harmless."""
    dice = random.Random(seed * 1_000_003 + number)
    return {
        "type": "invoice" if number % 20 == 0 else "chaos",  # invoices go by SMTP, see tidings.up.plan.EMAIL_ROUTES
        "template": "chaos",
        "recipient": f"chaos-{dice.randrange(PEOPLE)}",
        "channels": dice.choices(CHANNELS, SHARES),
        "priority": dice.choices(PRIORITIES, (1, 3, 4, 2))[0],
        "data": {"number": number},
        "idempotency_key": f"chaos-{seed}-{number}",
    }
