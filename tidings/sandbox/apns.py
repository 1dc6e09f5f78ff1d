"""APNs, simulated: POST /3/device/{token} over HTTP/2 with TLS, authenticated by provider tokens.

One protocol object a connection. As at Apple, a connection has one stream at a time until a good token was seen.
"""

import asyncio
import secrets
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast

import jwt
import orjson
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tidings.sandbox import apns_rules as rules
from tidings.sandbox import phone
from tidings.sandbox.context import FOREVER_S, Sandbox
from tidings.sandbox.faults import Fault
from tidings.sandbox.store import Message

NAME = "apns"
STREAMS = 1000  # at once on a connection, once it has shown a good token
TOKEN_LIFE_S = 3600
TOKEN_PAUSE_S = 20 * 60  # a connection may not change its token sooner
SKEW_S = 300
MAX_BODY = 64 * 1024  # bytes that are kept of a payload; what is larger is refused anyway


class ProviderTokens:
    """Checks provider tokens; remembers good ones, as verifying a signature costs more than the rest of a request."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._credentials = sandbox.credentials
        self._key = sandbox.credentials.apns_key.public_key()
        self._good: dict[str, int] = {}  # token -> issued at, seconds

    def check(self, authorization: str) -> str | None:
        """The reason to refuse, or None."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            return "MissingProviderToken"
        issued = self._good.get(token)
        if issued is None:
            try:
                issued = self._verify(token)
            except jwt.PyJWTError:
                return "InvalidProviderToken"
            if len(self._good) > 1000:
                self._good.clear()
            self._good[token] = issued
        now = time.time()
        return "ExpiredProviderToken" if issued < now - TOKEN_LIFE_S or issued > now + SKEW_S else None

    def _verify(self, token: str) -> int:
        if jwt.get_unverified_header(token).get("kid") != self._credentials.apns_key_id:
            raise jwt.InvalidTokenError("unknown key id")
        options: Any = {"require": ["iss", "iat"], "verify_iat": False}
        claims = jwt.decode(token, self._key, algorithms=["ES256"], issuer=self._credentials.apns_team_id, options=options)
        if not isinstance(claims["iat"], int):
            raise jwt.InvalidTokenError("iat is not a number")
        return claims["iat"]


class Apns:
    """What one request comes to; knows no HTTP/2."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.tokens = ProviderTokens(sandbox)

    def fault(self, headers: Mapping[str, str]) -> Fault | None:
        """The fault that the device asks for, or a rule."""
        return self.sandbox.faults.decide(NAME, [rules.device_of(headers[":path"])])

    def take(self, headers: Mapping[str, str], payload: bytes, apns_id: str, fault: Fault | None) -> None:
        """Keep a good request and let the phone confirm it."""
        sandbox = self.sandbox
        body = rules.parse(payload) or {}
        alert = body["aps"].get("alert") or {}
        if isinstance(alert, str):
            alert = {"body": alert}
        data = {key: value for key, value in body.items() if key != "aps" and isinstance(value, str)}
        notification_id, device = phone.read_unverified(data.get(phone.RECEIPT, ""))
        message = sandbox.store.add(
            Message(
                provider=NAME,
                channel="push",
                to=rules.device_of(headers[":path"]),
                sender=headers["apns-topic"],
                notification_id=data.get("tidings_id", notification_id),
                provider_id=apns_id,
                at_ms=sandbox.now_ms(),
                device=device,
                title=str(alert.get("title", "")),
                text=str(alert.get("body", "")),
                data=data,
                headers={name: value for name, value in headers.items() if name.startswith("apns-")},
                fault=fault.kind if fault else "",
            )
        )
        if (fault is None or fault.kind != "bounce") and phone.send_receipt(sandbox.outbox, data, "delivered"):
            sandbox.store.note(message, "delivered", sandbox.now_ms())


class ApnsConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, apns: Apns, open_ones: set["ApnsConnection"]) -> None:
        self._apns = apns
        self._open_ones = open_ones
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False))
        self._h2.local_settings = Settings(client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        self._streams: dict[int, tuple[list[tuple[str, str]], bytearray]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self._token = ""
        self._token_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the HTTP/2 conversation."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it
        self._open_ones.add(self)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what was under way."""
        self._transport = None
        self._open_ones.discard(self)
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Handle whatever frames have arrived; one write for all answers."""
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
        except ProtocolError:
            self._flush()  # h2 has put the GOAWAY there
            if self._transport:
                self._transport.close()
            return
        self._flush()

    def go_away(self) -> None:
        """Tell the client that the server shuts down, and close."""
        if self._transport:
            self._h2.close_connection(ErrorCodes.NO_ERROR)
            self._flush()
            self._transport.close()

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=list(headers)):
                self._streams[stream] = ([(_text(name), _text(value)) for name, value in headers], bytearray())
            case DataReceived(stream_id=int(stream), data=bytes(data), flow_controlled_length=int(length)):
                self._h2.acknowledge_received_data(length, stream)
                if stream in self._streams and len(self._streams[stream][1]) <= MAX_BODY:
                    self._streams[stream][1].extend(data)
            case StreamEnded(stream_id=int(stream)) if stream in self._streams:
                head, body = self._streams.pop(stream)
                self._answer(stream, head, bytes(body))
            case StreamReset(stream_id=int(stream)):
                self._streams.pop(stream, None)
            case ConnectionTerminated() if self._transport:
                self._transport.close()

    def _answer(self, stream: int, raw: list[tuple[str, str]], body: bytes) -> None:
        headers = dict(raw)
        apns_id = headers.get("apns-id", "")
        apns_id = apns_id if rules.is_uuid(apns_id) else str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)).upper()
        reason = rules.check_head(raw) or self._check_token(headers.get("authorization", "")) or rules.check(headers, body)
        fault = None if reason else self._apns.fault(headers)
        if fault and fault.kind in _REFUSALS:
            reason = _REFUSALS[fault.kind](fault)
        if reason:
            self._refuse(stream, apns_id, reason, fault)
            return
        self._apns.take(headers, body, apns_id, fault)
        if fault and fault.kind == "reset":
            if self._transport:
                self._transport.abort()
        elif fault and fault.kind in ("slow", "hang"):
            self._later(stream, apns_id, fault.seconds if fault.kind == "slow" else FOREVER_S)
        else:
            self._accept(stream, apns_id)

    def _check_token(self, authorization: str) -> str | None:
        reason = self._apns.tokens.check(authorization)
        if reason:
            return reason
        if authorization != self._token:
            now = time.monotonic()
            if self._token and now - self._token_since < TOKEN_PAUSE_S:
                return "TooManyProviderTokenUpdates"
            if not self._token:
                self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS})
            self._token, self._token_since = authorization, now
        return None

    def _refuse(self, stream: int, apns_id: str, reason: str, fault: Fault | None) -> None:
        self._apns.sandbox.store.refuse(NAME)
        body: dict[str, object] = {"reason": reason}
        if reason == "Unregistered":
            body["timestamp"] = self._apns.sandbox.now_ms() - 86_400_000
        head = [(":status", str(rules.STATUS[reason])), ("apns-id", apns_id)]
        if fault and reason in ("TooManyRequests", "ServiceUnavailable"):
            head.append(("retry-after", str(fault.retry_after_s)))
        self._h2.send_headers(stream, head)
        self._h2.send_data(stream, orjson.dumps(body), end_stream=True)

    def _accept(self, stream: int, apns_id: str) -> None:
        self._h2.send_headers(stream, [(":status", "200"), ("apns-id", apns_id)], end_stream=True)

    def _later(self, stream: int, apns_id: str, seconds: float) -> None:
        async def respond() -> None:
            await asyncio.sleep(seconds)
            if self._transport:
                self._accept(stream, apns_id)
                self._flush()

        task = asyncio.get_running_loop().create_task(respond())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport:
            self._transport.write(data)


_REFUSALS: dict[str, Callable[[Fault], str]] = {
    "invalid": lambda _: "BadDeviceToken",
    "unregistered": lambda _: "Unregistered",
    "throttle": lambda _: "TooManyRequests",
    "error": lambda fault: "InternalServerError" if fault.status == 500 else "ServiceUnavailable",
}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class ApnsServer:
    """The listening socket and its connections."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._apns = Apns(sandbox)
        self._connections: set[ApnsConnection] = set()
        self._server: asyncio.Server | None = None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(sandbox.credentials.server_file)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.set_alpn_protocols(["h2"])

    async def start(self, host: str, port: int) -> int:
        """Listen; the port."""
        loop = asyncio.get_running_loop()

        def connect() -> ApnsConnection:
            return ApnsConnection(self._apns, self._connections)

        self._server = await loop.create_server(connect, host, port, ssl=self._tls)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        """Say goodbye to every client and close."""
        if self._server:
            self._server.close()
            for connection in list(self._connections):
                connection.go_away()
            await self._server.wait_closed()
