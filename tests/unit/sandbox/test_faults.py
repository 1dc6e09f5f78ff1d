"""Faults: magic addresses, rules with percentages and seeds, and what a rule may say."""

from typing import Any

import pytest

from tidings.sandbox.faults import CALL_KINDS, KINDS, RECIPIENT_KINDS, BadFault, Faults, magic, parse_rule


@pytest.mark.parametrize(
    ("provider", "address", "kind"),
    [
        ("sendgrid", "hang@fault.example.com", "hang"),
        ("smtp", "Throttle-7@Fault.example.com", "throttle"),
        ("sendgrid", "hang@example.com", None),
        ("sendgrid", "nothing@fault.example.com", None),
        ("twilio", "+15005550001", "invalid"),
        ("twilio", "+15005550106", "hang"),
        ("twilio", "+4915112345678", None),
        ("fcm", "fault-unregistered", "unregistered"),
        ("fcm", "fault-slow-1:abc", "slow"),
        ("fcm", "a-fault-slow", None),
        ("apns", "FA1105" + "0" * 58, "unregistered"),
        ("apns", "ab" * 32, None),
        ("twilio", "hang@fault.example.com", None),
    ],
)
def test_magic_addresses(provider: str, address: str, kind: str | None) -> None:
    found = magic(provider, address)
    assert (found.kind if found else None) == kind


def strikes(faults: Faults, calls: int = 1000) -> list[bool]:
    return [faults.decide("twilio", [f"+4915112{n:06d}"]) is not None for n in range(calls)]


def test_a_share_of_calls_is_struck_and_the_same_ones_with_the_same_seed() -> None:
    first, again, other = Faults(), Faults(), Faults()
    for faults, seed in ((first, 7), (again, 7), (other, 8)):
        faults.tell({"provider": "twilio", "kind": "error", "percent": 20, "seed": seed})
    struck = strikes(first)
    assert 150 < sum(struck) < 250
    assert strikes(again) == struck
    assert strikes(other) != struck


def test_a_rule_holds_for_its_provider_its_addresses_and_its_count() -> None:
    faults = Faults()
    faults.tell({"provider": "fcm", "kind": "throttle", "match": "ada", "count": 2, "retry_after_s": 9})
    assert faults.decide("twilio", ["ada"]) is None
    assert faults.decide("fcm", ["grace"]) is None
    struck = faults.decide("fcm", ["token-ada"])
    assert struck is not None and struck.retry_after_s == 9
    assert faults.decide("fcm", ["token-ada"]) is not None
    assert faults.decide("fcm", ["token-ada"]) is None  # twice was all
    assert faults.rules[0].as_json()["used"] == 2


def test_any_provider_and_clearing() -> None:
    faults = Faults()
    faults.tell({"provider": "*", "kind": "slow"})
    faults.tell({"provider": "smtp", "kind": "hang"})
    assert faults.decide("apns", ["x"]) is not None
    faults.clear("smtp")
    assert [rule.provider for rule in faults.rules] == ["*"]
    faults.clear()
    assert faults.decide("apns", ["x"]) is None


def test_a_call_with_many_recipients_throws_the_dice_once() -> None:
    faults = Faults()
    faults.tell({"provider": "sendgrid", "kind": "error", "count": 1})
    assert faults.decide("sendgrid", [f"{n}@example.com" for n in range(1000)], CALL_KINDS) is not None
    assert faults.rules[0].used == 1
    assert frozenset(KINDS) == CALL_KINDS | RECIPIENT_KINDS


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "provider"),
        ({"provider": "mailgun", "kind": "slow"}, "provider"),
        ({"provider": "fcm", "kind": "explode"}, "kind"),
        ({"provider": "fcm", "kind": ["slow"]}, "kind"),
        ({"provider": "fcm", "kind": "slow", "percent": 101}, "percent"),
        ({"provider": "fcm", "kind": "slow", "percent": True}, "percent"),
        ({"provider": "fcm", "kind": "slow", "seconds": "3"}, "seconds"),
        ({"provider": "fcm", "kind": "error", "status": 404}, "status"),
        ({"provider": "fcm", "kind": "slow", "rate": 5}, "rate"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(BadFault, match=words):
        parse_rule(raw)
