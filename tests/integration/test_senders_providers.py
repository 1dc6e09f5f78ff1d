"""Every provider against the sandbox's simulator of it, over real sockets: what arrives, and what each fault leads to."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

import senders.apns
import senders.http
import senders.smtp
from core.errors import ConfigError
from core.model import Channel, Class, ErrorClass, Part, Priority, Status
from core.settings import Settings
from core.signing import read_receipt
from fastpath import Record
from senders.apns import Apns, headers
from senders.email import open_email
from senders.fcm import Fcm, body
from senders.provider import Answer, Provider
from senders.push import open_push
from senders.receipts import Receipts
from senders.sendgrid import SendGrid
from senders.sms import open_sms
from senders.smtp import Smtp
from senders.twilio import Twilio
from tests.helpers import eventually
from tests.unit.senders.kit import E_MAIL, NOW, PUSH, SMS, Notes, delivery, messages
from tidings.sandbox import server
from tidings.sandbox.apns import TOKEN_LIFE_S
from tidings.sandbox.server import Plan, Running
from tidings.sandbox.store import Message, Query

SECRET = "only-for-tests-0123456789"


@pytest.fixture(scope="module")
def sandbox_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys are made once."""
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture
async def sandbox(sandbox_folder: Path) -> AsyncIterator[Running]:
    running = await server.start(Plan(sandbox_folder, smtp_login=True))
    yield running
    await running.stop()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging provider is given up on soon."""
    for module in (senders.http, senders.apns, senders.twilio, senders.smtp):
        monkeypatch.setattr(module, "TIMEOUT_S", 1.0)


def settings_of(running: Running, **more: Any) -> Settings:
    tree: dict[str, Any] = {"secret_key": SECRET, "email_from": "Shop <news@shop.example>", "web_public_url": "http://web.test"}
    for name, value in running.environment.items():
        path = name.removeprefix("TIDINGS_").lower().split("__")
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    for name, value in more.items():
        tree[name] = {**tree.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings.model_validate(tree)


async def send(provider: Provider, items: Sequence[Record]) -> list[Answer]:
    """The answers to one batch, in its order; closes the provider."""
    desk = Notes()
    try:
        await provider.send(messages(items), desk)
    finally:
        await provider.close()
    return [desk.answers[i] for i in range(len(items))]


def arrived(running: Running, provider: str) -> list[Message]:
    return running.sandbox.store.find(Query(provider=provider, limit=10_000))


def classes(answers: Sequence[Answer]) -> list[ErrorClass]:
    return [answer.error_class for answer in answers]


OK, TEMPORARY, THROTTLED, PERMANENT, UNREGISTERED, AMBIGUOUS, MISCONFIGURED, UNREACHABLE = (
    ErrorClass.NONE,
    ErrorClass.TEMPORARY,
    ErrorClass.THROTTLED,
    ErrorClass.PERMANENT,
    ErrorClass.UNREGISTERED,
    ErrorClass.AMBIGUOUS,
    ErrorClass.MISCONFIGURED,
    ErrorClass.UNREACHABLE,
)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# SendGrid ---------------------------------------------------------------------------------------------------------------


def fault_at(kind: str) -> str:
    return f"{kind}@fault.example.com"


async def test_sendgrid_takes_many_different_e_mails_in_one_call(sandbox: Running) -> None:
    items = [delivery(f"u{i}@example.org", {**E_MAIL, Part.HTML: f"<p>{i}</p>"}, device=i % 3) for i in range(200)]
    answers = await send(SendGrid(settings_of(sandbox)), items)
    assert {answer.status for answer in answers} == {Status.SENT}
    assert len({answer.provider_id for answer in answers}) == 1  # X-Message-Id of the only call
    found = {message.to: message for message in arrived(sandbox, "sendgrid")}
    assert len(found) == 200
    seventh = found["u7@example.org"]
    assert (seventh.title, seventh.html, seventh.text, seventh.device) == ("Order 7", "<p>7</p>", "Hello", 1)
    assert seventh.sender == "Shop <news@shop.example>"
    assert seventh.provider_id.startswith(answers[0].provider_id)


async def test_sendgrid_refuses_one_and_takes_the_others(sandbox: Running) -> None:
    addresses = ["a@example.org", fault_at("invalid"), "b@example.org", "nonsense", "c@example.org"]
    answers = await send(SendGrid(settings_of(sandbox)), [delivery(a) for a in addresses])
    assert classes(answers) == [OK, PERMANENT, OK, PERMANENT, OK]
    assert answers[1].reason == "Does not contain a valid address. (personalizations.1.to.0.email)"
    assert sorted(m.to for m in arrived(sandbox, "sendgrid")) == ["a@example.org", "b@example.org", "c@example.org"]


async def test_sendgrid_splits_a_call_whose_refusal_names_nobody(sandbox: Running) -> None:
    long_subject = {**E_MAIL, Part.SUBJECT: ""}
    items = [delivery("a@example.org"), delivery("b@example.org", long_subject), delivery("c@example.org")]
    answers = await send(SendGrid(settings_of(sandbox)), items)
    assert classes(answers) == [OK, PERMANENT, OK]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("throttle", THROTTLED), ("error", TEMPORARY), ("hang", AMBIGUOUS), ("reset", AMBIGUOUS), ("slow", OK)],
)
async def test_sendgrid_faults(sandbox: Running, kind: str, expected: ErrorClass) -> None:
    sandbox.sandbox.faults.tell({"provider": "sendgrid", "kind": kind, "seconds": 0.05, "retry_after_s": 7})
    answers = await send(SendGrid(settings_of(sandbox)), [delivery("a@example.org"), delivery("b@example.org")])
    assert classes(answers) == [expected, expected]
    assert answers[0].retry_after_ms == (7000 if kind == "throttle" else 0)


async def test_sendgrid_without_the_right_key_or_sender_is_our_fault(sandbox: Running) -> None:
    answers = await send(SendGrid(settings_of(sandbox, sendgrid={"api_key": "SG.wrong"})), [delivery(), delivery("b@x.org")])
    assert classes(answers) == [MISCONFIGURED] * 2
    answers = await send(SendGrid(settings_of(sandbox, email_from="nonsense")), [delivery(), delivery("b@x.org")])
    assert classes(answers) == [MISCONFIGURED] * 2
    gone = settings_of(sandbox, sendgrid={"base_url": f"http://127.0.0.1:{closed_port()}"})
    assert classes(await send(SendGrid(gone), [delivery()])) == [UNREACHABLE]


# SMTP -------------------------------------------------------------------------------------------------------------------


async def test_smtp_delivers_proper_mime_over_few_connections(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = 0
    connect = aiosmtplib.SMTP.connect

    async def counted(self: Any, **options: Any) -> Any:
        nonlocal opened
        opened += 1
        return await connect(self, **options)

    monkeypatch.setattr(aiosmtplib.SMTP, "connect", counted)
    html = "<p>Grüße, ß</p>" + "x" * 2000
    items = [delivery(f"u{i}@example.org", {**E_MAIL, Part.HTML: html, Part.SUBJECT: f"Grüße {i}"}) for i in range(40)]
    answers = await send(Smtp(settings_of(sandbox)), items)
    assert {(a.status, a.code) for a in answers} == {(Status.DELIVERED, "250")}
    assert opened <= senders.smtp.CONNECTIONS
    found = {message.to: message for message in arrived(sandbox, "smtp")}
    third = found["u3@example.org"]
    assert (third.title, third.text.strip(), third.html.strip()) == ("Grüße 3", "Hello", html)
    assert third.sender == "news@shop.example" or "news@shop.example" in third.sender


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttle", {THROTTLED, TEMPORARY}),
        ("error", {TEMPORARY}),
        ("invalid", {PERMANENT, UNREGISTERED}),
        ("unregistered", {UNREGISTERED}),
        ("hang", {AMBIGUOUS}),
        ("reset", {AMBIGUOUS}),
    ],
)
async def test_smtp_faults(sandbox: Running, kind: str, expected: set[ErrorClass]) -> None:
    answers = await send(
        Smtp(settings_of(sandbox)), [delivery("a@example.org"), delivery(fault_at(kind)), delivery("b@example.org")]
    )
    assert answers[1].error_class in expected
    assert classes([answers[0], answers[2]]) == [OK, OK]
    assert "fault.example.com" not in answers[1].reason
    if kind in ("invalid", "unregistered"):
        assert answers[1].code.startswith("5.")


async def test_smtp_login_and_server_are_our_business(sandbox: Running) -> None:
    assert classes(await send(Smtp(settings_of(sandbox, smtp={"password": "wrong"})), [delivery()])) == [MISCONFIGURED]
    untrusted = settings_of(sandbox, smtp={"starttls": True})  # a certificate that nobody knows
    assert classes(await send(Smtp(untrusted), [delivery()])) == [UNREACHABLE]
    assert classes(await send(Smtp(settings_of(sandbox, smtp={"port": closed_port()})), [delivery()])) == [UNREACHABLE]
    with pytest.raises(ConfigError, match="EMAIL_FROM"):
        Smtp(settings_of(sandbox, email_from=""))


async def test_smtp_sends_again_when_the_kept_connection_is_gone(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, desk = Smtp(settings_of(sandbox)), Notes()
    await provider.send(messages([delivery("a@example.org")]), desk)
    (idle,) = provider._idle

    async def gone(*_: Any, **__: Any) -> None:
        idle.client.close()
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")

    monkeypatch.setattr(idle.client, "mail", gone)  # the server hung up, and we notice only when we speak
    second = Notes()
    await provider.send(messages([delivery("b@example.org")]), second)
    await provider.close()
    assert second.only.status is Status.DELIVERED
    assert len(arrived(sandbox, "smtp")) == 2


async def test_headers_cannot_be_injected(sandbox: Running) -> None:
    evil = {**E_MAIL, Part.SUBJECT: "Hi\r\nBcc: evil@example.org\r\n\r\nbody"}
    answers = await send(
        Smtp(settings_of(sandbox)), [delivery("a@example.org", evil), delivery("a@x.org\r\nRCPT TO:<b@x.org>")]
    )
    assert classes(answers) == [OK, PERMANENT]
    (message,) = arrived(sandbox, "smtp")
    assert "bcc" not in {name.lower() for name in message.headers}
    assert message.title == "Hi Bcc: evil@example.org body"


async def test_an_address_outside_ascii(sandbox: Running) -> None:
    answers = await send(Smtp(settings_of(sandbox)), [delivery("ada@bücher.example")])
    assert classes(answers) == [OK]
    assert arrived(sandbox, "smtp")[0].to == "ada@xn--bcher-kva.example"


# Twilio -----------------------------------------------------------------------------------------------------------------


def sms(number: str, text: str = SMS[Part.TEXT]) -> Record:
    return delivery(number, {Part.TEXT: text}, channel=Channel.SMS)


async def test_twilio_sends_counts_and_asks_for_callbacks(sandbox: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    items = [sms("+4915112345678"), sms("+4915112345679", "ő" * 71)]
    answers = await send(open_sms(settings_of(sandbox)), items)  # type: ignore[arg-type]
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


# Push -------------------------------------------------------------------------------------------------------------------


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


# Channels ---------------------------------------------------------------------------------------------------------------


async def test_the_email_channel_goes_by_type(sandbox: Running) -> None:
    channel = open_email(settings_of(sandbox, email_routes={"invoice*": "smtp"}))
    desk = Notes()
    found = messages(
        [
            delivery("a@example.org"),
            delivery("b@example.org", type="invoice.x"),
            delivery("c@example.org", {Part.SUBJECT: "only"}),
        ]
    )
    await channel.send(found, desk)
    await channel.close()
    assert [desk.answers[i].status for i in range(3)] == [Status.SENT, Status.DELIVERED, Status.FAILED]
    assert desk.answers[2].code == "no_content"
    assert [m.to for m in arrived(sandbox, "smtp")] == ["b@example.org"]
    assert [m.to for m in arrived(sandbox, "sendgrid")] == ["a@example.org"]


async def test_the_push_channel_goes_by_platform(sandbox: Running) -> None:
    channel, desk = open_push(settings_of(sandbox)), Notes()
    await channel.send(messages([push(FCM_TOKEN, platform=1), push(APNS_TOKEN, platform=2)]), desk)
    await channel.close()
    assert classes([desk.answers[0], desk.answers[1]]) == [OK, OK]
    assert [len(arrived(sandbox, name)) for name in ("fcm", "apns")] == [1, 1]


def test_missing_credentials_are_named() -> None:
    with pytest.raises(ConfigError, match="TIDINGS_EMAIL_FROM"):
        open_email(Settings())
    with pytest.raises(ConfigError, match="TIDINGS_SENDGRID__API_KEY"):
        open_email(Settings(email_from="a@example.org"))
    with pytest.raises(ConfigError, match="TIDINGS_TWILIO__ACCOUNT_SID"):
        open_sms(Settings())
    with pytest.raises(ConfigError, match="TIDINGS_FCM__PROJECT_ID"):
        open_push(Settings())


def test_expiry_reaches_the_providers() -> None:
    (late,) = messages([push(FCM_TOKEN, platform=1, expires_ms=NOW + 90_000, klass=Class.ALERT)])
    assert headers(late, "topic")["apns-expiration"] == str((NOW + 90_000) // 1000)
    assert b'"ttl":"90s"' in body(late, {}, NOW)


@pytest.mark.usefixtures("_impatient")
async def test_a_stopped_process_leaves_no_call_behind(sandbox: Running) -> None:
    sandbox.sandbox.faults.tell({"provider": "sendgrid", "kind": "hang"})
    provider, desk = SendGrid(settings_of(sandbox)), Notes()
    task = asyncio.create_task(provider.send(messages([delivery()]), desk))
    await eventually(lambda: desk.begun)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await provider.close()
    assert not provider._batcher._calls
