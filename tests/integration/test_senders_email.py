"""SendGrid and SMTP against the sandbox, over real sockets: what arrives, and what each fault leads to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

import senders.http
import senders.smtp
from core.errors import ConfigError
from core.model import ErrorClass, Part, Status
from senders.email import open_email
from senders.sendgrid import SendGrid
from senders.smtp import Smtp
from tests.helpers import eventually
from tests.unit.senders.kit import E_MAIL, Notes, delivery, messages
from tests.unit.senders.sandboxed import (
    AMBIGUOUS,
    MISCONFIGURED,
    OK,
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
    for module in (senders.http, senders.smtp):
        monkeypatch.setattr(module, "TIMEOUT_S", 1.0)


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
