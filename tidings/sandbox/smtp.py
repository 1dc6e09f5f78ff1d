"""An SMTP server that keeps what it is given. STARTTLS is offered, a login can be demanded; bounces do not exist here."""

import asyncio
import re
import secrets
import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tidings.sandbox.context import FOREVER_S, Sandbox
from tidings.sandbox.credentials import SMTP_USERNAME
from tidings.sandbox.faults import Fault
from tidings.sandbox.store import Message

NAME = "smtp"
MAX_MESSAGE = 32 * 1024 * 1024  # bytes
_MESSAGE_ID = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(\d{1,3})@")


class SmtpHandler:
    """What one connection is answered at each step; the hooks' names and signatures are aiosmtpd's."""

    def __init__(self, sandbox: Sandbox, login: bool) -> None:
        self._sandbox = sandbox
        self._login = login
        self._faults: list[Fault | None] = []  # of the envelope's recipients so far

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        """Check a login."""
        right = self._sandbox.credentials.smtp_password.encode()
        good = (
            isinstance(data, LoginPassword)
            and data.login == SMTP_USERNAME.encode()
            and secrets.compare_digest(data.password, right)
        )
        return AuthResult(success=good, handled=False)

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """MAIL FROM."""
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        self._faults.clear()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """RCPT TO: what is wrong with an address shows here."""
        fault = self._sandbox.faults.decide(NAME, [address])
        if fault and fault.kind in _REFUSALS:
            self._sandbox.store.refuse(NAME)
            return _REFUSALS[fault.kind]
        envelope.rcpt_tos.append(address)
        self._faults.append(fault)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """The message itself."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        queue_id = secrets.token_hex(8)
        refused = next((fault for fault in self._faults if fault and fault.kind == "error"), None)
        if refused:
            self._sandbox.store.refuse(NAME)
            return "554 5.3.0 Error" if refused.status == 554 else "451 4.3.0 Error: queue file write error"
        for to, fault in zip(envelope.rcpt_tos, self._faults, strict=True):
            self._sandbox.store.add(self._read(message, to, envelope.mail_from or "", queue_id, fault))
        await self._answer_late(next((fault for fault in self._faults if fault), None), server)
        return f"250 2.0.0 OK queued as {queue_id}"

    async def _answer_late(self, fault: Fault | None, server: SMTP) -> None:
        if fault is None:
            return
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        elif fault.kind in ("hang", "reset"):
            if fault.kind == "reset":
                cut(server)
            await asyncio.sleep(FOREVER_S)

    def _read(self, message: EmailMessage, to: str, sender: str, queue_id: str, fault: Fault | None) -> Message:
        notification_id, device = delivery_of(str(message.get("Message-ID", "")))
        return Message(
            provider=NAME,
            channel="email",
            to=to,
            sender=str(message.get("From", sender)),
            notification_id=notification_id,
            provider_id=queue_id,
            at_ms=self._sandbox.now_ms(),
            device=device,
            title=str(message.get("Subject", "")),
            text=_part(message, "plain"),
            html=_part(message, "html"),
            headers={name: str(value) for name, value in message.items()},
            fault=fault.kind if fault else "",
            events=[("delivered", self._sandbox.now_ms())],
        )


_REFUSALS = {
    "invalid": "550 5.1.1 The email account that you tried to reach does not exist",
    "unregistered": "550 5.1.6 Recipient address has changed",
    "bounce": "550 5.1.1 The email account that you tried to reach does not exist",
    "throttle": "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents delivery",
}


def _part(message: EmailMessage, kind: str) -> str:
    body = message.get_body(preferencelist=(kind,))
    return str(body.get_content()) if body else ""


def delivery_of(message_id: str) -> tuple[str, int]:
    """Notification id and device in a Message-ID as tidings writes it, `<id.device@domain>`; ("", 0) if it is another's."""
    found = _MESSAGE_ID.match(message_id.strip())
    return (found[1], int(found[2])) if found else ("", 0)


def cut(connection: SMTP) -> None:
    """Close a connection without a word."""
    if connection.transport is not None:
        cast(asyncio.Transport, connection.transport).abort()  # uvloop's transports are not instances of it


class _Connection(SMTP):
    """aiosmtpd's protocol, and a place in the server's set of open connections."""

    def __init__(self, handler: SmtpHandler, tls: ssl.SSLContext, open_ones: set["_Connection"]) -> None:
        super().__init__(
            handler,
            hostname="localhost",
            ident="tidings sandbox",
            data_size_limit=MAX_MESSAGE,
            enable_SMTPUTF8=True,
            tls_context=tls,
            auth_require_tls=False,  # whether a login is demanded is the handler's decision
            authenticator=handler.authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._open_ones = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open_ones.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_ones.discard(self)
        super().connection_lost(error)


class SmtpServer:
    """The listening socket and its connections."""

    def __init__(self, sandbox: Sandbox, login: bool) -> None:
        self._sandbox = sandbox
        self._login = login
        self._server: asyncio.Server | None = None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(sandbox.credentials.server_file)
        self._connections: set[_Connection] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; the port."""
        loop = asyncio.get_running_loop()

        def connect() -> _Connection:
            return _Connection(SmtpHandler(self._sandbox, self._login), self._tls, self._connections)

        self._server = await loop.create_server(connect, host, port)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        """Close the door and cut the connections."""
        if self._server:
            self._server.close()
            for connection in list(self._connections):
                cut(connection)
            await self._server.wait_closed()
