"""Twilio against the sandbox, over real sockets: what arrives, and what each fault leads to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import senders.http
from core.errors import ConfigError
from core.model import Channel, ErrorClass, Part, Status
from core.settings import Settings
from fastpath import Record
from senders.email import open_email
from senders.push import open_push
from senders.sms import open_sms
from senders.twilio import Twilio
from tests.unit.senders.kit import SMS, delivery, messages
from tests.unit.senders.sandboxed import (
    AMBIGUOUS,
    MISCONFIGURED,
    PERMANENT,
    TEMPORARY,
    THROTTLED,
    UNREACHABLE,
    UNREGISTERED,
    arrived,
    classes,
    closed_port,
    sandboxed,
    send,
    settings_of,
)
from tidings.sandbox.server import Running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys are made once."""
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[Running]:
    async with sandboxed(folder) as running:
        yield running


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging provider is given up on soon."""
    monkeypatch.setattr(senders.http, "TIMEOUT_S", 1.0)


def sms(number: str, text: str = SMS[Part.TEXT]) -> Record:
    return delivery(number, {Part.TEXT: text}, channel=Channel.SMS)


async def test_twilio_sends_counts_and_asks_for_callbacks(sandbox: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    items = [sms("+4915112345678"), sms("+4915112345679", "ő" * 71)]
    answers = await send(open_sms(settings_of(sandbox)), items)
    assert [(a.status, a.units) for a in answers] == [(Status.SENT, 1), (Status.SENT, 2)]
    first, second = sorted(arrived(sandbox, "twilio"), key=lambda m: m.to)
    assert first.provider_id == answers[0].provider_id
    assert first.notification_id == messages(items)[0].id  # out of StatusCallback's ?n=
    assert second.data["segments"] == "2"
    assert not [line for line in caplog.records if line.name.startswith("twilio")]
    assert "49151" not in caplog.text


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("number", "expected", "code"),
    [
        ("+15005550001", PERMANENT, "21211"),
        ("+15005550004", UNREGISTERED, "21610"),
        ("+15005550102", THROTTLED, "20429"),
        ("+15005550103", TEMPORARY, "20503"),
        ("+15005550106", AMBIGUOUS, "no_answer"),
        ("+15005550107", AMBIGUOUS, "no_answer"),
        ("nonsense", PERMANENT, "21211"),
    ],
)
async def test_twilio_faults(sandbox: Running, number: str, expected: ErrorClass, code: str) -> None:
    (answer,) = await send(Twilio(settings_of(sandbox)), [sms(number)])
    assert (answer.error_class, answer.code) == (expected, code)
    assert answer.retry_after_ms == (2000 if expected is THROTTLED else 0)
    assert number not in answer.reason


async def test_twilio_too_long_wrong_account_and_away(sandbox: Running) -> None:
    (answer,) = await send(Twilio(settings_of(sandbox)), [sms("+4915112345678", "x" * 1601)])
    assert (answer.error_class, answer.code) == (PERMANENT, "21617")
    (answer,) = await send(Twilio(settings_of(sandbox, twilio={"auth_token": "wrong"})), [sms("+4915112345678")])
    assert (answer.error_class, answer.code) == (MISCONFIGURED, "20003")
    gone = settings_of(sandbox, twilio={"base_url": f"http://127.0.0.1:{closed_port()}"})
    assert classes(await send(Twilio(gone), [sms("+4915112345678")])) == [UNREACHABLE]


def test_missing_credentials_are_named() -> None:
    with pytest.raises(ConfigError, match="TIDINGS_EMAIL_FROM"):
        open_email(Settings())
    with pytest.raises(ConfigError, match="TIDINGS_SENDGRID__API_KEY"):
        open_email(Settings(email_from="a@example.org"))
    with pytest.raises(ConfigError, match="TIDINGS_TWILIO__ACCOUNT_SID"):
        open_sms(Settings())
    with pytest.raises(ConfigError, match="TIDINGS_FCM__PROJECT_ID"):
        open_push(Settings())
