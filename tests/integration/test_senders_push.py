"""FCM and APNs against the sandbox, over real sockets: what arrives, and what each fault leads to."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import senders.apns
import senders.http
from core.errors import ConfigError
from core.model import Channel, Class, ErrorClass, Priority, Status
from core.signing import read_receipt
from fastpath import Record
from senders.apns import Apns, headers
from senders.fcm import Fcm, body
from senders.push import open_push
from senders.receipts import Receipts
from tests.unit.senders.kit import NOW, PUSH, Notes, delivery, messages
from tests.unit.senders.sandboxed import (
    AMBIGUOUS,
    MISCONFIGURED,
    OK,
    PERMANENT,
    SECRET,
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
from tidings.sandbox.apns import TOKEN_LIFE_S
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
    for module in (senders.http, senders.apns):
        monkeypatch.setattr(module, "TIMEOUT_S", 1.0)


def push(token: str, **more: Any) -> Record:
    return delivery(token, PUSH, channel=Channel.PUSH, **more)


FCM_TOKEN = "fcm-token-" + "a" * 130
APNS_TOKEN = "ab" * 32


async def test_fcm_sends_with_receipts_and_one_token_fetch(sandbox: Running) -> None:
    settings = settings_of(sandbox)
    items = [push(f"{FCM_TOKEN}{i}", platform=1, device=i) for i in range(20)] + [push("c" + "A" * 21, platform=1)]
    answers = await send(Fcm(settings, Receipts(settings)), items)
    assert {a.status for a in answers} == {Status.SENT}
    assert all(a.provider_id.startswith("projects/tidings-sandbox/messages/") for a in answers)
    found = {message.to: message for message in arrived(sandbox, "fcm")}
    fifth = found[f"{FCM_TOKEN}5"]
    assert (fifth.title, fifth.text, fifth.data["order"]) == ("Order 7", "is on its way", "7")
    receipt = read_receipt(SECRET, fifth.data["tidings_receipt"])
    assert (receipt.id, receipt.channel, receipt.device) == (items[5].id, Channel.PUSH, 5)
    assert fifth.data["tidings_receipt_url"] == "http://web.test/receipts"


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "expected", "code"),
    [
        ("invalid", PERMANENT, "INVALID_ARGUMENT"),
        ("unregistered", UNREGISTERED, "UNREGISTERED"),
        ("throttle", THROTTLED, "QUOTA_EXCEEDED"),
        ("error", TEMPORARY, "UNAVAILABLE"),
        ("hang", AMBIGUOUS, "no_answer"),
        ("reset", AMBIGUOUS, "no_answer"),
    ],
)
async def test_fcm_faults(sandbox: Running, kind: str, expected: ErrorClass, code: str) -> None:
    settings = settings_of(sandbox)
    (answer,) = await send(Fcm(settings, Receipts(settings)), [push(f"fault-{kind}-1" + "x" * 100, platform=1)])
    assert (answer.error_class, answer.code) == (expected, code)
    assert answer.retry_after_ms == (2000 if kind == "throttle" else answer.retry_after_ms)


async def test_fcm_renews_a_token_that_is_refused(sandbox: Running) -> None:
    settings = settings_of(sandbox)
    provider = Fcm(settings, Receipts(settings))
    assert await provider._token.get()
    provider._token._credentials.token = "withdrawn"
    assert classes(await send(provider, [push(FCM_TOKEN, platform=1)])) == [OK]


async def test_fcm_token_endpoint_away_and_bad_credentials(sandbox: Running, tmp_path: Path) -> None:
    settings = settings_of(sandbox)
    file = sandbox.sandbox.credentials.service_account_file
    away = tmp_path / "away.json"
    away.write_text(file.read_text().replace(str(sandbox.endpoints.port), str(closed_port())))
    settings = settings_of(sandbox, fcm={"credentials_file": str(away)})
    assert classes(await send(Fcm(settings, Receipts(settings)), [push(FCM_TOKEN, platform=1)])) == [UNREACHABLE]
    other = tmp_path / "other.json"
    other.write_text(file.read_text().replace("sandbox@", "stranger@"))
    settings = settings_of(sandbox, fcm={"credentials_file": str(other)})
    assert classes(await send(Fcm(settings, Receipts(settings)), [push(FCM_TOKEN, platform=1)])) == [MISCONFIGURED]
    other.write_text("{}")
    with pytest.raises(ConfigError, match="CREDENTIALS_FILE"):
        Fcm(settings, Receipts(settings))


async def test_apns_sends_all_over_one_connection(sandbox: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tidings")
    settings = settings_of(sandbox)
    provider = Apns(settings, Receipts(settings))
    items = [push(APNS_TOKEN[:-3] + f"{i:03x}", platform=2, priority=Priority.CRITICAL) for i in range(300)]
    desk = Notes()
    await provider.send(messages(items), desk)
    assert classes(list(desk.answers.values())) == [OK] * 300
    assert provider._client._transport._pool.connections.__len__() == 1  # type: ignore[attr-defined]
    await provider.close()
    found = {message.to: message for message in arrived(sandbox, "apns")}
    assert len(found) == 300
    one = found[items[77].address]
    own_id = messages(items)[77].id
    assert desk.answers[77].provider_id == one.provider_id == own_id
    assert one.headers["apns-collapse-id"] == own_id
    assert (one.headers["apns-priority"], one.headers["apns-push-type"]) == ("10", "alert")
    assert (one.title, one.data["order"]) == ("Order 7", "7")
    assert read_receipt(SECRET, one.data["tidings_receipt"]).id == items[77].id


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("token", "expected", "code"),
    [
        ("fa1104", PERMANENT, "BadDeviceToken"),
        ("fa1105", UNREGISTERED, "Unregistered"),
        ("fa1102", THROTTLED, "TooManyRequests"),
        ("fa1103", TEMPORARY, "ServiceUnavailable"),
        ("fa1106", AMBIGUOUS, "no_answer"),
        ("fa1107", AMBIGUOUS, "no_answer"),
        ("nonsense", PERMANENT, "BadDeviceToken"),
        ("a/../b", PERMANENT, "BadDeviceToken"),
    ],
)
async def test_apns_faults(sandbox: Running, token: str, expected: ErrorClass, code: str) -> None:
    settings = settings_of(sandbox)
    provider = Apns(settings, Receipts(settings))
    desk = Notes()
    address = token.ljust(64, "0") if token.startswith("fa") else token
    await provider.send(messages([push(address, platform=2)]), desk)
    assert (desk.only.error_class, desk.only.code) == (expected, code)
    after = Notes()
    await provider.send(messages([push(APNS_TOKEN, platform=2)]), after)  # the connection is of use afterwards, or a new one is
    assert after.only.error_class is OK
    await provider.close()


async def test_apns_a_connection_that_ends_while_it_is_written_to(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpcore lets anyio's own error out there; which write meets the end is chance, so it is raised here."""
    settings = settings_of(sandbox)
    provider = Apns(settings, Receipts(settings))

    async def ended(*_: object, **__: object) -> None:
        raise anyio.EndOfStream

    monkeypatch.setattr(provider._client, "post", ended)
    desk = Notes()
    await provider.send(messages([push(APNS_TOKEN, platform=2)]), desk)
    assert (desk.only.error_class, desk.only.code) == (AMBIGUOUS, "no_answer")
    await provider.close()


async def test_apns_renews_an_expired_token_once(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(sandbox)
    provider = Apns(settings, Receipts(settings))
    real = time.time
    with monkeypatch.context() as then:
        then.setattr(time, "time", lambda: real() - TOKEN_LIFE_S - 60)
        provider._token._make()
        old = provider._token.get()
    provider._token._made_s = real()  # it believes that its token is fresh
    desk = Notes()
    await provider.send(messages(push(APNS_TOKEN, platform=2) for _ in range(5)), desk)
    assert classes(list(desk.answers.values())) == [OK] * 5
    assert provider._token.get() != old
    assert not provider._token.renew(provider._token.get())  # not twice within twenty minutes
    await provider.close()


async def test_apns_goes_on_after_goaway_and_says_when_nobody_is_there(sandbox: Running) -> None:
    settings = settings_of(sandbox)
    provider = Apns(settings, Receipts(settings))
    first = Notes()
    await provider.send(messages([push(APNS_TOKEN, platform=2)]), first)
    for connection in list(sandbox._apns._connections):
        connection.go_away()
    second = Notes()
    await provider.send(messages([push(APNS_TOKEN, platform=2)]), second)
    assert second.only.error_class in (OK, AMBIGUOUS)  # ambiguous if it was said while we wrote
    third = Notes()
    await provider.send(messages([push(APNS_TOKEN, platform=2)]), third)
    assert third.only.error_class is OK
    await sandbox.stop()
    fourth = Notes()
    await provider.send(messages([push(APNS_TOKEN, platform=2)]), fourth)
    assert fourth.only.error_class in (UNREACHABLE, AMBIGUOUS)
    await provider.close()


async def test_apns_refuses_keys_that_cannot_sign(sandbox: Running, tmp_path: Path) -> None:
    bad = tmp_path / "key.p8"
    bad.write_text("rubbish")
    for file in (bad, tmp_path / "missing.p8"):
        settings = settings_of(sandbox, apns={"key_file": str(file)})
        with pytest.raises(ConfigError, match="KEY_FILE"):
            Apns(settings, Receipts(settings))


async def test_the_push_channel_goes_by_platform(sandbox: Running) -> None:
    channel, desk = open_push(settings_of(sandbox)), Notes()
    await channel.send(messages([push(FCM_TOKEN, platform=1), push(APNS_TOKEN, platform=2)]), desk)
    await channel.close()
    assert classes([desk.answers[0], desk.answers[1]]) == [OK, OK]
    assert [len(arrived(sandbox, name)) for name in ("fcm", "apns")] == [1, 1]


def test_expiry_reaches_the_providers() -> None:
    (late,) = messages([push(FCM_TOKEN, platform=1, expires_ms=NOW + 90_000, klass=Class.ALERT)])
    assert headers(late, "topic")["apns-expiration"] == str((NOW + 90_000) // 1000)
    assert b'"ttl":"90s"' in body(late, {}, NOW)
