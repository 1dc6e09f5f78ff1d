"""Firebase Cloud Messaging, HTTP v1: a push in each call, by aiohttp. What arrived is told by the app's receipt."""

import re
import time
from collections.abc import Sequence

import orjson

from core.errors import ConfigError
from core.model import ErrorClass, Part, Priority
from core.settings import Settings
from senders import answers
from senders.google_token import GoogleToken, TokenRefused, TokenUnavailable
from senders.http import CONNECT, Reply, new_session, place_of, post
from senders.provider import Answer, Desk, Message, fault, sent
from senders.receipts import Receipts
from senders.tracing import calling
from senders.turnstile import Turnstile, one_by_one

CALLS = 100  # in flight at once
TTL_MAX_S = 28 * 24 * 3600  # FCM keeps a message for at most four weeks
_INSTALLATION = re.compile(r"[c-f][A-Za-z0-9_-]{21}")  # a Firebase installation id; registration tokens are far longer
_INSTALLATION_LENGTH = 22
_ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class Fcm:
    """senders.provider.Provider."""

    name = "fcm"

    def __init__(self, settings: Settings, receipts: Receipts) -> None:
        """Raises ConfigError if the credentials cannot be read."""
        own = settings.fcm
        if own.credentials_file is None:
            raise ConfigError("TIDINGS_FCM__CREDENTIALS_FILE: is not set; set it to the service account's JSON file")
        self._token = GoogleToken(own.credentials_file)
        self._url = f"{own.base_url}/v1/projects/{own.project_id}/messages:send"
        self._place = place_of(self._url)
        self._receipts = receipts
        self._session = new_session(CALLS)
        self._turnstile = Turnstile(CALLS)

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        await one_by_one(self._turnstile, messages, desk, self._attempt, self._receipts.make_ahead)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        await self._session.close()
        self._token.close()

    async def _attempt(self, message: Message) -> Answer:
        try:
            data = self._receipts.data(message)
        except ValueError as error:
            return fault(ErrorClass.PERMANENT, "invalid_message", answers.words(str(error)))
        content = body(message, data, int(time.time() * 1000))
        answer = await self._post(message, content)
        if answer.code in ("UNAUTHENTICATED", "401"):  # a token that was withdrawn before its end: once more with a new one
            answer = await self._post(message, content)
        return answer

    async def _post(self, message: Message, content: bytes) -> Answer:
        try:
            token = await self._token.get()
        except TokenUnavailable as error:
            return fault(ErrorClass.UNREACHABLE, CONNECT, answers.words(str(error)))
        except TokenRefused as error:
            return fault(ErrorClass.MISCONFIGURED, "token_refused", answers.words(str(error)))
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        with calling(self.name, "POST /v1/projects/{project}/messages:send", [message], self._place) as call:
            reply = await post(self._session, self._url, content, headers)
            answer = reply if isinstance(reply, Answer) else answer_of(reply, message.record.address, int(time.time() * 1000))
            call.answered(answer.error_class, code=answer.code, status=0 if isinstance(reply, Answer) else reply.status)
        if isinstance(reply, Reply) and reply.status == 401:
            self._token.forget(token)
        return answer


def body(message: Message, data: dict[str, str], now_ms: int) -> bytes:
    """The JSON body of one push.

    A second attempt at a notification replaces the first on the device (its tag is the notification's id).
    """
    record = message.record
    address = record.address
    target = "fid" if len(address) == _INSTALLATION_LENGTH and _INSTALLATION.fullmatch(address) else "token"
    urgent = record.priority <= Priority.HIGH
    tag = {"tag": message.id}
    android: dict[str, object] = {"priority": "HIGH" if urgent else "NORMAL", "notification": tag}
    web: dict[str, object] = {"headers": {"Urgency": "high" if urgent else "normal"}, "notification": tag}
    if record.expires_ms:
        ttl_s = min(max((record.expires_ms - now_ms) // 1000, 0), TTL_MAX_S)
        android["ttl"] = f"{ttl_s}s"
        web["headers"] = {"Urgency": "high" if urgent else "normal", "TTL": str(ttl_s)}
    return orjson.dumps(
        {
            "message": {
                target: address,
                "notification": {"title": message.text(Part.TITLE), "body": message.text(Part.BODY)},
                "data": data,
                "android": android,
                "webpush": web,
            }
        }
    )


def answer_of(reply: Reply, address: str, now_ms: int) -> Answer:
    """The answer in FCM's own code and words."""
    if reply.ok:
        try:
            return sent(str(orjson.loads(reply.body)["name"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return sent()
    code, message = _error(reply)
    error_class = answers.of_http(answers.FCM, code, reply.status)
    wish = answers.retry_after_ms(reply.headers.get("retry-after"), now_ms)
    return fault(error_class, answers.code_word(code), answers.words(message, address), retry_after_ms=wish)


def _error(reply: Reply) -> tuple[str, str]:
    """(code, message) of an error: FcmError's errorCode, else google.rpc's status, else the HTTP status."""
    try:
        error = orjson.loads(reply.body)["error"]
        details = [d for d in error.get("details") or () if d.get("@type") == _ERROR_TYPE]
        code = details[0].get("errorCode") if details else error.get("status")
        return str(code or reply.status), str(error.get("message") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return str(reply.status), f"HTTP {reply.status}"
