"""Whose rate a limit is: each provider's account has a bucket of its own, and nobody else's setting moves it."""

from typing import Any

import pytest

from core.settings import Settings
from senders.accounts import PROVIDERS, account

BASE: dict[str, dict[str, Any]] = {
    "sendgrid": {"api_key": "SG.one"},
    "smtp": {"host": "mail.example.org", "port": 25, "username": "shop"},
    "twilio": {"account_sid": "AC1", "from_number": "+15005550006"},
    "fcm": {"project_id": "shop"},
    "apns": {"team_id": "TEAM", "topic": "org.example.shop"},
}


def accounts(**changes: dict[str, Any]) -> dict[str, str]:
    tree = {name: {**fields, **changes.get(name, {})} for name, fields in BASE.items()}
    settings = Settings.model_validate(tree)
    return {name: account(settings, name) for name in PROVIDERS}


@pytest.mark.parametrize(
    ("provider", "change"),
    [
        ("sendgrid", {"api_key": "SG.two"}),
        ("smtp", {"host": "other.example.org"}),
        ("smtp", {"port": 2525}),
        ("smtp", {"username": "news"}),
        ("twilio", {"account_sid": "AC2"}),
        ("twilio", {"from_number": "+15005550009"}),
        ("fcm", {"project_id": "news"}),
        ("apns", {"team_id": "OTHER"}),
        ("apns", {"topic": "org.example.news"}),
    ],
)
def test_another_account_has_another_bucket(provider: str, change: dict[str, Any]) -> None:
    before, after = accounts(), accounts(**{provider: change})
    assert {name for name in PROVIDERS if before[name] != after[name]} == {provider}


def test_accounts_of_different_providers_never_share_one() -> None:
    assert len(set(accounts().values())) == len(PROVIDERS)
