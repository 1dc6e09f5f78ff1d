"""Twilio: an SMS in each call, by its own client over a transport of ours. What arrived is told by its status callbacks."""

import base64
import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote_plus

import orjson
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from core.model import Part
from core.settings import Settings, TwilioSettings
from senders import answers
from senders.http import new_session, place_of, post
from senders.provider import Answer, Desk, Message, fault, sent
from senders.segments import segments
from senders.tracing import Call, calling
from senders.turnstile import Turnstile, one_by_one

CALLS = 50  # in flight at once; Twilio queues by sending number, so more would not arrive earlier
CALLBACK_PATH = "/webhooks/twilio"  # gateway/web listens there
API = "https://api.twilio.com"


class Unanswered(Exception):
    """There was no reply, and `answer` says what that means."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


class Transport(HttpClient):  # type: ignore[misc]  # twilio ships no types
    """The client's HTTP towards another base address: with a time limit (its own has none), without its logs."""

    def __init__(self, base_url: str) -> None:
        super().__init__(logging.getLogger("tidings.senders"), is_async=True)
        self._session = new_session(CALLS)
        self._base_url = base_url
        self._auth: tuple[str, str] | None = None
        self._login = ""

    async def request(
        self, _: str, url: str, *, data: bytes, headers: dict[str, str], auth: tuple[str, str], **__: Any
    ) -> Response:
        """Posts `data` to the path of `url`; the client sees to headers and login.

        Raises:
            Unanswered: there was no reply.
        """
        if auth != self._auth:
            self._auth, self._login = auth, login(*auth)
        headers["Authorization"] = self._login
        reply = await post(self._session, url.replace(API, self._base_url, 1), data, headers)
        if isinstance(reply, Answer):
            raise Unanswered(reply)
        return Response(reply.status, reply.body.decode(errors="replace"), reply.headers)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


class Form:
    """Writes the form of each SMS of an account."""

    def __init__(self, settings: Settings) -> None:
        callback = f"{settings.web_public_url}{CALLBACK_PATH}?n="
        self._same = f"&From={quote_plus(settings.twilio.from_number)}&StatusCallback={quote_plus(callback)}"

    def of(self, message: Message, text: str) -> bytes:
        """To whom, what, from which number, and where to tell what became of it: that address ends with the message's id."""
        return f"To={quote_plus(message.record.address)}&Body={quote_plus(text)}{self._same}{message.id}".encode()


class Twilio:
    """senders.provider.Provider."""

    name = "twilio"

    def __init__(self, settings: Settings) -> None:
        own = settings.twilio
        self._transport = Transport(own.base_url)
        self._client = new_client(own, self._transport)
        self._url = f"{API}/2010-04-01/Accounts/{own.account_sid}/Messages.json"
        self._form = Form(settings)
        self._place = place_of(own.base_url)
        self._turnstile = Turnstile(CALLS)

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        await one_by_one(self._turnstile, messages, desk, self._attempt)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        await self._transport.close()

    async def _attempt(self, message: Message) -> Answer:
        with calling(self.name, "POST /2010-04-01/Accounts/{sid}/Messages.json", [message], self._place) as call:
            return await self._call(message, call)

    async def _call(self, message: Message, call: Call) -> Answer:
        text = message.text(Part.TEXT)
        # Not by its `messages`, which make an object with parsed dates of every reply: half of what an SMS costs.
        try:
            reply = await self._client.request_async("POST", self._url, data=self._form.of(message, text))
        except Unanswered as silence:
            call.answered(silence.answer.error_class, code=silence.answer.code)
            return silence.answer
        answer = answer_of(reply, message.record.address, text, int(time.time() * 1000))
        call.answered(answer.error_class, code=answer.code, status=reply.status_code)
        return answer


def new_client(own: TwilioSettings, transport: HttpClient) -> Client:
    """Twilio's client for the account."""
    return Client(
        own.account_sid,
        own.auth_token.get_secret_value(),
        http_client=transport,
        environment={"TWILIO_REGION": ""},  # not empty: it would read the process's environment
    )


def login(user: str, password: str) -> str:
    """The authorization header's value."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def answer_of(reply: Response, address: str, text: str, now_ms: int) -> Answer:
    """The answer to an SMS that says `text`: Twilio's own id or code, and words."""
    try:
        told = orjson.loads(reply.text)
    except orjson.JSONDecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    if reply.status_code < 300:
        return sent(str(told.get("sid") or ""), code=str(told.get("status") or ""), units=segments(text))
    code = str(told.get("code") or reply.status_code)
    message = str(told.get("message") or told.get("detail") or told.get("title") or f"HTTP {reply.status_code}")
    error_class = answers.of_http(answers.TWILIO, code, reply.status_code)
    wish = answers.retry_after_ms(reply.headers.get("retry-after"), now_ms)
    return fault(error_class, answers.code_word(code), answers.words(message, address), retry_after_ms=wish)
