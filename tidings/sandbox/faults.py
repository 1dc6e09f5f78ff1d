"""Faults that the simulators act out: told at the control door by rule, or asked for by a magic address. Decides, does nothing.

What each kind looks like on the wire is the provider's own business (see the provider's file); the table in `KINDS` says
what it means everywhere.
"""

import random
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PROVIDERS = ("sendgrid", "smtp", "twilio", "fcm", "apns")

KINDS: dict[str, str] = {
    "slow": "takes it, answers after `seconds`",
    "throttle": "429 with Retry-After `retry_after_s`; nothing is taken",
    "error": "a 5xx (`status`); nothing is taken",
    "invalid": "the recipient's address is refused for good",
    "unregistered": "the address was good once and is gone: unregistered token, opted-out number, bounce",
    "bounce": "takes it, and later says that it could not be delivered",
    "hang": "takes it and never answers",
    "reset": "takes it and cuts the connection instead of answering",
}

CALL_KINDS = frozenset({"slow", "throttle", "error", "hang", "reset"})  # a call with many recipients meets these as a whole
RECIPIENT_KINDS = frozenset(KINDS) - CALL_KINDS  # and these one by one

MAGIC_DOMAIN = "fault.example.com"  # hang@fault.example.com, hang-7@fault.example.com
MAGIC_TOKEN = re.compile(r"fault-([a-z]+)\b")  # an FCM token that starts so: fault-hang-1
MAGIC_HEX = {  # an APNs token that starts so
    "fa1101": "slow",
    "fa1102": "throttle",
    "fa1103": "error",
    "fa1104": "invalid",
    "fa1105": "unregistered",
    "fa1106": "hang",
    "fa1107": "reset",
    "fa1108": "bounce",
}
MAGIC_NUMBERS = {
    "+15005550001": "invalid",  # this and the next are Twilio's own test number for it
    "+15005550004": "unregistered",
    "+15005550101": "slow",
    "+15005550102": "throttle",
    "+15005550103": "error",
    "+15005550106": "hang",
    "+15005550107": "reset",
    "+15005550108": "bounce",
}


class BadFault(ValueError):
    """A rule that makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What shall go wrong now."""

    kind: str
    seconds: float = 3.0
    retry_after_s: int = 2
    status: int = 503


@dataclass(slots=True)
class Rule:
    """A fault for a share of a provider's calls. `provider` "*" is any; `match` is a part of the address, "" any."""

    provider: str
    fault: Fault
    percent: float = 100.0
    match: str = ""
    count: int = 0  # how often at most; 0 is without end
    seed: int = 0
    used: int = 0
    dice: random.Random = field(default_factory=random.Random)

    def strikes(self, provider: str, addresses: Sequence[str]) -> bool:
        """Whether a call for these addresses meets the fault; throws the dice once."""
        if self.provider not in ("*", provider) or (self.count and self.used >= self.count):
            return False
        if self.match and not any(self.match in address for address in addresses):
            return False
        if self.dice.random() * 100 >= self.percent:
            return False
        self.used += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """The rule as `POST /faults` takes it, and how often it struck."""
        return {
            "provider": self.provider,
            "kind": self.fault.kind,
            "percent": self.percent,
            "match": self.match,
            "count": self.count,
            "seed": self.seed,
            "seconds": self.fault.seconds,
            "retry_after_s": self.fault.retry_after_s,
            "status": self.fault.status,
            "used": self.used,
        }


def parse_rule(raw: Mapping[str, Any]) -> Rule:
    """A rule from JSON; `provider` and `kind` are required.

    Raises:
        BadFault: an unknown name or a value out of its range.
    """
    unknown = set(raw) - {"provider", "kind", "percent", "match", "count", "seed", "seconds", "retry_after_s", "status"}
    if unknown:
        raise BadFault(f"unknown fields: {', '.join(sorted(unknown))}")
    provider, kind = raw.get("provider"), raw.get("kind")
    if provider != "*" and provider not in PROVIDERS:
        raise BadFault(f"provider must be one of *, {', '.join(PROVIDERS)}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadFault(f"kind must be one of {', '.join(KINDS)}")
    fault = Fault(
        kind=kind,
        seconds=_number(raw, "seconds", 3.0, 0, 3600),
        retry_after_s=int(_number(raw, "retry_after_s", 2, 0, 86_400)),
        status=int(_number(raw, "status", 503, 500, 599)),
    )
    seed = int(_number(raw, "seed", 0, 0, 2**53))
    return Rule(
        provider=str(provider),
        fault=fault,
        percent=_number(raw, "percent", 100.0, 0, 100),
        match=str(raw.get("match", "")),
        count=int(_number(raw, "count", 0, 0, 1_000_000_000)),
        seed=seed,
        dice=random.Random(seed),
    )


def _number(raw: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = raw.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadFault(f"{name} must be a number from {low} to {high}")
    return float(value)


def magic(provider: str, address: str) -> Fault | None:
    """The fault that an address asks for by itself."""
    kind: str | None = None
    if provider in ("sendgrid", "smtp"):
        local, _, domain = address.lower().rpartition("@")
        kind = local.partition("-")[0] if domain == MAGIC_DOMAIN else None
    elif provider == "twilio":
        kind = MAGIC_NUMBERS.get(address)
    elif provider == "fcm":
        found = MAGIC_TOKEN.match(address)
        kind = found[1] if found else None
    elif provider == "apns":
        kind = MAGIC_HEX.get(address[:6].lower())
    return Fault(kind) if kind in KINDS and kind is not None else None


class Faults:
    """The rules in force. Rules are asked in the order they were told, magic addresses first."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def decide(self, provider: str, addresses: Sequence[str], kinds: Container[str] = KINDS) -> Fault | None:
        """The fault of one of the `kinds` that a call to `provider` for these addresses meets, or None."""
        for address in addresses:
            asked = magic(provider, address)
            if asked and asked.kind in kinds:
                return asked
        for rule in self.rules:
            if rule.fault.kind in kinds and rule.strikes(provider, addresses):
                return rule.fault
        return None

    def tell(self, raw: Mapping[str, Any]) -> Rule:
        """Add a rule. Raises BadFault."""
        rule = parse_rule(raw)
        self.rules.append(rule)
        return rule

    def clear(self, provider: str = "") -> None:
        """Forget the rules of a provider, or all of them."""
        self.rules = [rule for rule in self.rules if provider and rule.provider != provider]
