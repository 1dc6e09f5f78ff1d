"""Twilio: an SMS in each call, by its own asynchronous client. What arrived is told by its status callbacks."""

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from core.model import ErrorClass, Part
from core.settings import Settings
from senders import answers
from senders.http import TIMEOUT_S, new_session, place_of, unanswered
from senders.provider import Answer, Desk, Message, fault, sent
from senders.segments import segments
from senders.tracing import Call, calling
from senders.turnstile import Turnstile, one_by_one

CALLS = 50  # in flight at once; Twilio queues by sending number, so more would not arrive earlier
CALLBACK_PATH = "/webhooks/twilio"  # gateway/web listens there


class Refused(Exception):
    """Twilio answered, and it was no success. (The client's own exceptions lose the headers.)"""

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class RebasedClient(AsyncTwilioHttpClient):  # type: ignore[misc]  # twilio ships no types
    """Twilio's HTTP client towards another base address, with a time limit (its own has none) and without its logs."""

    def __init__(self, base_url: str) -> None:
        super().__init__(pool_connections=False)
        self.session: aiohttp.ClientSession = new_session(CALLS)
        self._base = urlsplit(base_url)

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        """As its parent's; scheme and host are those of the base address.

        Raises:
            Refused: the answer was no success.
        """
        path = urlsplit(url)
        url = path._replace(scheme=self._base.scheme, netloc=self._base.netloc, path=self._base.path + path.path).geturl()
        user, password = kwargs.pop("auth")
        login = base64.b64encode(f"{user}:{password}".encode()).decode()  # its parent's way of it is deprecated by aiohttp
        headers = {**kwargs.pop("headers"), "Authorization": f"Basic {login}"}
        form = urlencode(kwargs.pop("data"), doseq=True).encode()  # aiohttp's own way of it costs three times as much
        response = await super().request(
            method, url, *args, **{**kwargs, "data": form, "headers": headers, "timeout": TIMEOUT_S}
        )
        if response.status_code >= 300:
            raise Refused(response.status_code, response.headers, response.text)
        return response

    def log_request(self, kwargs: Mapping[str, Any]) -> None:
        """Says nothing: its parent would log headers and URLs."""

    def log_response(self, status_code: int, response: Any) -> None:
        """Says nothing."""


class Twilio:
    """senders.provider.Provider."""

    name = "twilio"

    def __init__(self, settings: Settings) -> None:
        own = settings.twilio
        self._http = RebasedClient(own.base_url)
        client = Client(
            own.account_sid,
            own.auth_token.get_secret_value(),
            http_client=self._http,
            environment={"TWILIO_REGION": ""},  # not empty: it would read the process's environment
        )
        self._messages = client.messages  # loads a large package: now, and not when the first SMS is urgent
        self._from = own.from_number
        self._callback = settings.web_public_url + CALLBACK_PATH
        self._place = place_of(own.base_url)
        self._turnstile = Turnstile(CALLS)

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        await one_by_one(self._turnstile, messages, desk, self._attempt)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        await self._http.close()

    async def _attempt(self, message: Message) -> Answer:
        with calling(self.name, "POST /2010-04-01/Accounts/{sid}/Messages.json", [message], self._place) as call:
            return await self._call(message, call)

    async def _call(self, message: Message, call: Call) -> Answer:
        text = message.text(Part.TEXT)
        try:
            taken = await self._messages.create_async(
                to=message.record.address,
                from_=self._from,
                body=text,
                status_callback=f"{self._callback}?{urlencode({'n': message.id})}",
            )
        except Refused as refused:
            answer = answer_of(refused, message.record.address, int(time.time() * 1000))
            call.answered(answer.error_class, code=answer.code, status=refused.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            answer = unanswered(error)
            call.answered(answer.error_class, code=answer.code)
        else:
            answer = sent(taken.sid, code=str(taken.status), units=segments(text))
            call.answered(ErrorClass.NONE, status=201)
        return answer


def answer_of(refused: Refused, address: str, now_ms: int) -> Answer:
    """The answer for a refusal: Twilio's own code and words."""
    try:
        told = orjson.loads(refused.body)
        code, message = str(told["code"]), str(told.get("message") or told.get("detail") or told.get("title") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        code, message = str(refused.status), f"HTTP {refused.status}"
    error_class = answers.of_http(answers.TWILIO, code, refused.status)
    headers = {name.lower(): value for name, value in refused.headers.items()}
    wish = answers.retry_after_ms(headers.get("retry-after"), now_ms)
    return fault(error_class, answers.code_word(code), answers.words(message, address), retry_after_ms=wish)
