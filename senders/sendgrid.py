"""SendGrid: rendered e-mails, many in a call, posted by aiohttp to /v3/mail/send. What arrived is told by its event webhook."""

import re
import time
from collections.abc import Sequence
from email.utils import parseaddr

import orjson
from sendgrid.helpers.mail import From

from core.model import ErrorClass
from core.settings import Settings
from senders import answers
from senders.batcher import Batcher
from senders.http import Reply, new_session, place_of, post
from senders.provider import Answer, Desk, Message, fault, sent
from senders.sendgrid_body import Bundle, body, bundles
from senders.tracing import calling
from senders.turnstile import Turnstile

CALLS = 8  # in flight at once
_INDEX = re.compile(r"personalizations\.(\d+)")


class SendGrid:
    """senders.provider.Provider. One call takes what many batches bring, see senders/batcher.py."""

    name = "sendgrid"

    def __init__(self, settings: Settings) -> None:
        own = settings.sendgrid
        name, address = parseaddr(settings.email_from)
        self._sender = From(address, name or None)
        self._url = f"{own.base_url}/v3/mail/send"
        self._place = place_of(self._url)
        self._headers = {
            "authorization": f"Bearer {own.api_key.get_secret_value()}",
            "content-type": "application/json",
        }
        self._batch_max = own.batch_max
        self._session = new_session(CALLS)
        self._batcher = Batcher(
            lambda message: message.record.klass,
            self._flush,
            Turnstile(CALLS),
            max_items=own.batch_max,
            max_wait_s=own.batch_wait_ms / 1000,
        )

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        await self._batcher.send(messages, desk)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        await self._batcher.close()
        await self._session.close()

    async def _flush(self, messages: Sequence[Message]) -> Sequence[Answer]:
        found: dict[int, Answer] = {}
        for bundle in bundles(messages, self._batch_max):
            found |= await self._send(bundle)
        return [found[id(message)] for message in messages]

    async def _send(self, bundle: Bundle) -> dict[int, Answer]:
        """Posts a call; if it is refused for some of its e-mails, the others are sent again without them. Answers by id()."""
        reply = await self._post(bundle)
        if isinstance(reply, Answer):
            return dict.fromkeys(map(id, bundle.messages), reply)
        if reply.status in (400, 413) and len(bundle.messages) > 1:
            refused = _refused(reply, bundle.messages)
            if refused is not None:
                return await self._send_rest(bundle, refused)
        answer = answer_of(reply, int(time.time() * 1000))
        return dict.fromkeys(map(id, bundle.messages), answer)

    async def _send_rest(self, bundle: Bundle, refused: dict[int, Answer]) -> dict[int, Answer]:
        found = {id(message): refused[i] for i, message in enumerate(bundle.messages) if i in refused}
        rest = [message for i, message in enumerate(bundle.messages) if i not in refused]
        halves = [rest] if refused else [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
        for half in halves:
            if half:
                found |= await self._send(Bundle(half, bundle.frames))
        return found

    async def _post(self, bundle: Bundle) -> Reply | Answer:
        content = body(bundle, self._sender)
        with calling(self.name, "POST /v3/mail/send", bundle.messages, self._place) as call:
            reply = await post(self._session, self._url, content, self._headers)
            if isinstance(reply, Answer):
                call.answered(reply.error_class, code=reply.code)
            else:
                failure = ErrorClass.NONE if reply.ok else answers.of_http(answers.SENDGRID, "", reply.status)
                call.answered(failure, code=str(reply.status), status=reply.status)
        return reply


def answer_of(reply: Reply, now_ms: int) -> Answer:
    """The answer for every e-mail of a call."""
    if reply.ok:
        return sent(reply.headers.get("x-message-id", ""), code=str(reply.status))
    errors = _errors(reply)
    field, message = errors[0] if errors else ("", "")
    error_class = answers.of_http(answers.SENDGRID, "", reply.status)
    if field.split(".")[0] in answers.SENDGRID_OURS and error_class is ErrorClass.PERMANENT:
        error_class = ErrorClass.MISCONFIGURED
    wish = answers.retry_after_ms(reply.headers.get("retry-after"), now_ms) or _reset_ms(reply, now_ms)
    reason = answers.words(f"{message} ({field})" if field else message or f"HTTP {reply.status}")
    return fault(error_class, str(reply.status), reason, retry_after_ms=wish)


def _refused(reply: Reply, messages: Sequence[Message]) -> dict[int, Answer] | None:
    """Which e-mails of a call its refusal names; {} if it may be any of them; None if all of them share the fault."""
    found: dict[int, Answer] = {}
    errors = _errors(reply)
    for field, message in errors:
        named = _INDEX.match(field)
        if named and int(named[1]) < len(messages):
            index = int(named[1])
            reason = answers.words(f"{message} ({field})", messages[index].record.address)
            found.setdefault(index, fault(ErrorClass.PERMANENT, str(reply.status), reason))
    if not found and errors and all(field.split(".")[0] in answers.SENDGRID_OURS for field, _ in errors):
        return None
    return found


def _errors(reply: Reply) -> list[tuple[str, str]]:
    """(field, message) of each error in a reply's body; [] if it holds none."""
    try:
        errors = orjson.loads(reply.body)["errors"]
        return [(str(error.get("field") or ""), str(error.get("message") or "")) for error in errors]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return []


def _reset_ms(reply: Reply, now_ms: int) -> int:
    """X-RateLimit-Reset of a 429: the second (since the epoch) at which calls are taken again."""
    reset = reply.headers.get("x-ratelimit-reset", "")
    if reply.status != 429 or not reset.isdigit():
        return 0
    return min(max(int(reset) * 1000 - now_ms, 0), answers.RETRY_AFTER_MAX_MS)
