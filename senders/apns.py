"""Apple Push Notification service: a push in each request, all of them over one HTTP/2 connection (httpx), by provider tokens.

What arrived is told by the app's receipt. See README for why this is no client library.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from urllib.parse import quote

import anyio
import httpx
import jwt
import orjson

from core.errors import ConfigError
from core.model import ErrorClass, Part, Priority
from core.settings import ApnsSettings, Settings
from senders import answers
from senders.http import CONNECT, CONNECT_S, NO_ANSWER, TIMEOUT_S, Reply, place_of
from senders.provider import Answer, Desk, Message, fault, sent
from senders.receipts import Receipts
from senders.tracing import calling
from senders.turnstile import Turnstile, one_by_one

STREAMS = 100  # in flight at once; Apple's servers allow more, the client waits for their settings anyway
TOKEN_S = 40 * 60.0  # Apple wants a token to be renewed after 20 to 60 minutes
TOKEN_MIN_S = 20 * 60.0  # and not more often
KEEP_S = 30 * 24 * 3600  # how long Apple keeps a push for a device that is off, if the notification never expires
EXPIRED_TOKEN = "ExpiredProviderToken"


class ProviderToken:
    """The signed token that stands in every request."""

    def __init__(self, own: ApnsSettings) -> None:
        """Raises ConfigError if the key cannot be read."""
        try:
            key = own.key_file.read_text() if own.key_file else ""
        except OSError as error:
            raise ConfigError(f"TIDINGS_APNS__KEY_FILE: {error}") from error
        if not key:
            raise ConfigError("TIDINGS_APNS__KEY_FILE: is not set or empty; set it to the signing key, a .p8 file")
        self._key = key
        self._own = own
        self._made_s = 0.0
        self._forced_s = -TOKEN_MIN_S
        self._token = ""
        self.get()  # a key that cannot sign is found out now

    def get(self) -> str:
        """The current token, renewed every TOKEN_S."""
        if not self._token or time.time() - self._made_s >= TOKEN_S:
            self._make()
        return self._token

    def renew(self, refused: str) -> bool:
        """After `refused` was called expired: makes a new token unless somebody did; False if that was tried lately."""
        if refused != self._token:
            return True
        if time.monotonic() - self._forced_s < TOKEN_MIN_S:
            return False
        self._forced_s = time.monotonic()
        self._make()
        return True

    def _make(self) -> None:
        now = time.time()
        claims = {"iss": self._own.team_id, "iat": int(now)}
        try:
            self._token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._own.key_id})
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise ConfigError(f"TIDINGS_APNS__KEY_FILE: cannot sign with it: {error}") from error
        self._made_s = now


class Apns:
    """senders.provider.Provider."""

    name = "apns"

    def __init__(self, settings: Settings, receipts: Receipts) -> None:
        """Raises ConfigError if the signing key cannot be used."""
        own = settings.apns
        self._token = ProviderToken(own)
        self._topic = own.topic
        self._receipts = receipts
        self._place = place_of(own.base_url)
        self._turnstile = Turnstile(STREAMS)
        self._client = httpx.AsyncClient(
            base_url=own.base_url,
            http1=False,
            http2=True,
            verify=ssl.create_default_context(cafile=str(own.ca_file) if own.ca_file else None),
            trust_env=False,
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=3600),
        )

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        await one_by_one(self._turnstile, messages, desk, self._attempt, self._receipts.make_ahead)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        await self._client.aclose()

    async def _attempt(self, message: Message) -> Answer:
        try:
            content = payload(message, self._receipts.data(message))
        except ValueError as error:
            return fault(ErrorClass.PERMANENT, "invalid_message", answers.words(str(error)))
        token = self._token.get()
        answer = await self._post(message, content, token)
        if answer.code == EXPIRED_TOKEN and self._token.renew(token):
            answer = await self._post(message, content, self._token.get())
        return answer

    async def _post(self, message: Message, content: bytes, token: str) -> Answer:
        sent_headers = headers(message, self._topic) | {"authorization": f"bearer {token}"}
        with calling(self.name, "POST /3/device/{token}", [message], self._place) as call:
            reply = await self._exchange(f"/3/device/{quote(message.record.address, safe='')}", content, sent_headers)
            if isinstance(reply, Answer):
                call.answered(reply.error_class, code=reply.code)
                return reply
            answer = answer_of(reply, message.record.address, int(time.time() * 1000))
            call.answered(answer.error_class, code=answer.code, status=reply.status)
        return answer

    async def _exchange(self, path: str, content: bytes, sent_headers: dict[str, str]) -> Reply | Answer:
        try:
            async with asyncio.timeout(TIMEOUT_S):  # httpx limits each read, not the whole
                response = await self._client.post(path, content=content, headers=sent_headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return fault(ErrorClass.UNREACHABLE, CONNECT, answers.words(f"{type(error).__name__}: {error}"))
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            return fault(ErrorClass.PERMANENT, "invalid_message", type(error).__name__)
        except (httpx.TransportError, TimeoutError, anyio.EndOfStream) as error:  # the last: let out by httpcore as it writes
            return fault(ErrorClass.AMBIGUOUS, NO_ANSWER, answers.words(f"{type(error).__name__}: {error}"))
        return Reply(response.status_code, dict(response.headers), response.content)


def headers(message: Message, topic: str) -> dict[str, str]:
    """The request's headers. The notification's id is its apns-id, and its collapse id: a second attempt replaces the first."""
    record = message.record
    return {
        "apns-id": message.id,
        "apns-collapse-id": message.id,
        "apns-expiration": str(record.expires_ms // 1000 or int(time.time()) + KEEP_S),  # 0 would mean: keep nothing
        "apns-priority": "10" if record.priority <= Priority.HIGH else "5",
        "apns-push-type": "alert",
        "apns-topic": topic,
    }


def payload(message: Message, data: dict[str, str]) -> bytes:
    """The JSON payload: Apple's dictionary, and the data beside it."""
    alert = {"title": message.text(Part.TITLE), "body": message.text(Part.BODY)}
    aps: dict[str, object] = {"alert": alert, "sound": "default", "mutable-content": 1}
    if message.record.priority == Priority.CRITICAL:
        aps["interruption-level"] = "time-sensitive"
    return orjson.dumps(data | {"aps": aps})


def answer_of(reply: Reply, address: str, now_ms: int) -> Answer:
    """The answer in Apple's own reason."""
    if reply.ok:
        return sent(reply.headers.get("apns-id", ""))
    try:
        reason = str(orjson.loads(reply.body)["reason"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        reason = str(reply.status)
    error_class = answers.of_http(answers.APNS, reason, reply.status)
    wish = answers.retry_after_ms(reply.headers.get("retry-after"), now_ms)
    words = answers.words(f"HTTP {reply.status} {reason}", address)
    return fault(error_class, answers.code_word(reason), words, retry_after_ms=wish)
