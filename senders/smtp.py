"""SMTP: e-mails one by one over a few connections that are kept. The server's 250 means taken and arrived."""

import asyncio
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parseaddr

import aiosmtplib
from aiosmtplib import SMTP, SMTPResponseException

from core.errors import ConfigError
from core.model import ErrorClass
from core.settings import Settings, SmtpSettings
from senders import answers
from senders.http import CONNECT, NO_ANSWER
from senders.mime import Composer
from senders.provider import Answer, Desk, Message, delivered, fault
from senders.tracing import calling
from senders.turnstile import Turnstile, one_by_one

CONNECTIONS = 8
TIMEOUT_S = 8.0  # for each command
IDLE_S = 20.0  # servers hang up on those who say nothing for longer
IMPLICIT_TLS_PORT = 465

NO_SMTPUTF8 = "5.6.7"  # RFC 6531: the server cannot take an address that is not ASCII

_ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\b")
_QUEUED = re.compile(r"queued as <?([\w.@-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Letter:
    """What is handed over: to whom (the domain in ASCII), the e-mail, and what it is called where the server gives no name."""

    target: str
    content: bytes
    message_id: str


@dataclass(slots=True)
class _Idle:
    client: SMTP
    since: float  # monotonic seconds


class _Stage:
    """How far a conversation came; a silence after DATA leaves open whether the e-mail was taken."""

    def __init__(self) -> None:
        self.connected = False
        self.sender = False  # MAIL was said
        self.data = False


class Smtp:
    """senders.provider.Provider."""

    name = "smtp"

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError if there is no sender address."""
        own = settings.smtp
        sender = own.from_ or settings.email_from
        self._envelope = parseaddr(sender)[1]
        if "@" not in self._envelope:
            raise ConfigError("TIDINGS_EMAIL_FROM: e-mail needs a sender address, e.g. Shop <news@shop.example>")
        try:
            self._composer = Composer(sender, _ascii_domain(self._envelope).rpartition("@")[2])
        except ValueError as error:
            raise ConfigError(f"TIDINGS_EMAIL_FROM: cannot be a header: {error}") from error
        self._own = own
        self._idle: list[_Idle] = []
        self._turnstile = Turnstile(CONNECTIONS)
        self._place: dict[str, str | int] = {"server.address": own.host, "server.port": own.port}

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        await one_by_one(self._turnstile, messages, desk, self._attempt)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_hang_up(each.client) for each in idle))

    async def _attempt(self, message: Message) -> Answer:
        try:
            letter = self._letter(message)
        except ValueError as error:
            return fault(ErrorClass.PERMANENT, "invalid_message", answers.words(str(error), message.record.address))
        with calling(self.name, "SMTP", [message], self._place) as call:
            answer = await self._converse(letter, message.record.address)
            call.answered(answer.error_class, code=answer.code)
        return answer

    def _letter(self, message: Message) -> _Letter:
        target = _ascii_domain(message.record.address)
        content = self._composer.compose(message, target, utf8=not target.isascii())
        return _Letter(target, content, self._composer.message_id(message))

    async def _converse(self, letter: _Letter, address: str) -> Answer:
        client = self._kept()
        if client is not None:
            stage = _Stage()
            answer = await self._deliver(client, letter, address, stage)
            if stage.sender or client.is_connected or answer.error_class is not ErrorClass.TEMPORARY:
                return answer
            # The server hung up on the kept connection before it was told anything: once more on a new one.
        client = new_client(self._own)
        return await self._deliver(client, letter, address, _Stage())

    def _kept(self) -> SMTP | None:
        while self._idle:
            idle = self._idle.pop()
            if idle.client.is_connected and time.monotonic() - idle.since < IDLE_S:
                return idle.client
            idle.client.close()
        return None

    async def _deliver(self, client: SMTP, letter: _Letter, address: str, stage: _Stage) -> Answer:
        """One e-mail over one connection, which is kept afterwards if it is still of use."""
        try:
            if not client.is_connected:
                await client.connect()
            stage.connected = True
            answer = await self._say(client, letter, stage)
        except SMTPResponseException as error:
            answer = refusal(error, address, stage.connected and not stage.sender)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            return _silence(error, stage, address)
        if client.is_connected and answer.code != "421":
            await self._keep(client, clean=answer.error_class is ErrorClass.NONE)
        return answer

    async def _say(self, client: SMTP, letter: _Letter, stage: _Stage) -> Answer:
        options: list[str] = []
        if not letter.target.isascii():
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
            if not client.supports_extension("smtputf8"):
                return fault(ErrorClass.PERMANENT, NO_SMTPUTF8, "the server takes no addresses outside ASCII")
            options = ["SMTPUTF8"]
        encoding = "utf-8" if options else "ascii"
        await client.mail(self._envelope, options=options, encoding=encoding)
        stage.sender = True
        await client.rcpt(letter.target, encoding=encoding)
        stage.data = True
        reply = await client.data(letter.content)
        queued = _QUEUED.search(reply.message)
        return delivered(queued[1] if queued else letter.message_id, code=str(reply.code))

    async def _keep(self, client: SMTP, *, clean: bool) -> None:
        try:
            if not clean:
                await client.rset()
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            client.close()
            return
        self._idle.append(_Idle(client, time.monotonic()))


def new_client(own: SmtpSettings) -> SMTP:
    """A client that is not connected yet: TLS from the start on port 465, else STARTTLS if the settings say so."""
    implicit = own.port == IMPLICIT_TLS_PORT
    return SMTP(
        hostname=own.host,
        port=own.port,
        username=own.username or None,
        password=own.password.get_secret_value() if own.username else None,
        local_hostname=socket.gethostname() or "localhost",
        timeout=TIMEOUT_S,
        use_tls=implicit,
        start_tls=None if implicit else own.starttls,
    )


def refusal(error: SMTPResponseException, address: str, ours: bool) -> Answer:
    """The answer for a reply that is no success; `ours`: to our own address or credentials, before any recipient was named."""
    found = _ENHANCED.match(error.message)
    enhanced = found[1] if found else ""
    error_class = answers.of_smtp(error.code, enhanced)
    if ours and error_class in (ErrorClass.PERMANENT, ErrorClass.UNREGISTERED):
        error_class = ErrorClass.MISCONFIGURED
    return fault(error_class, enhanced or str(error.code), answers.words(f"{error.code} {error.message}", address))


def _silence(error: Exception, stage: _Stage, address: str) -> Answer:
    reason = answers.words(f"{type(error).__name__}: {error}", address)
    if stage.data:
        return fault(ErrorClass.AMBIGUOUS, NO_ANSWER, reason)
    if not isinstance(error, OSError | TimeoutError):  # aiosmtplib's own connection errors are OSErrors too
        return fault(ErrorClass.MISCONFIGURED, CONNECT, reason)  # e.g. no STARTTLS, no AUTH
    return fault(ErrorClass.TEMPORARY if stage.connected else ErrorClass.UNREACHABLE, CONNECT, reason)


def _ascii_domain(address: str) -> str:
    """The address with its domain in ASCII (IDNA); the part before the @ stays as it is."""
    local, at, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError as error:
        raise ValueError("the address's domain cannot be written in ASCII") from error


async def _hang_up(client: SMTP) -> None:
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        client.close()
