"""Twilio's status callbacks: POST /webhooks/twilio?n=ID, a signed form for each change of a message's status.

Source: Twilio's guides on message status callbacks and on validating requests, and its error dictionary.
"""

from collections.abc import Mapping

from aiohttp import web
from twilio.request_validator import RequestValidator, get_signature_algorithm

from core.clock import Clock
from core.model import Channel, ErrorClass, Status
from gateway.web.events import FOREIGN, IGNORED, REFUSED, Event, Fate, Teller, count, our_id

NAME = "twilio"
PATH = "/webhooks/twilio"
SIGNATURE = "X-Twilio-Signature"
ALGORITHM = "X-Twilio-Webhooks-Signature-Settings"
MAX_BODY = 64 * 1024  # bytes; a callback has a few hundred

# The sender has told "sent" itself; these change nothing.
SILENT = frozenset({"accepted", "scheduled", "queued", "sending", "sent"})

# Callbacks bring a code without words.
WORDS: dict[str, str] = {
    "30001": "Queue overflow",
    "30002": "Account suspended",
    "30003": "Unreachable destination handset",
    "30004": "Message blocked",
    "30005": "Unknown destination handset",
    "30006": "Landline or unreachable carrier",
    "30007": "Carrier violation",
    "30008": "Unknown error",
    "30034": "Unregistered number",
    "30036": "Validity period expired",
}
_BLOCKED = frozenset({"30001", "30002", "30007", "30008", "30034"})  # the route's or our account's doing, not the number's
_GONE = frozenset({"21610", "21614", "30005", "30006"})  # this number will not take an SMS another time either


def fate_of(form: Mapping[str, str]) -> Fate | None:
    """What a callback means; None if it changes nothing."""
    status = form.get("MessageStatus") or form.get("SmsStatus") or ""
    code = form.get("ErrorCode", "")
    match status:
        case "delivered":
            return Fate(Status.DELIVERED)
        case "read":
            return Fate(Status.OPENED)
        case "canceled":
            return Fate(Status.CANCELLED, code=status)
        case "undelivered" | "failed":
            error_class = ErrorClass.UNREGISTERED if code in _GONE else ErrorClass.PERMANENT
            words = form.get("ErrorMessage") or WORDS.get(code, "")
            return Fate(Status.FAILED, error_class, code or status, words, blocked=code in _BLOCKED)
    return None


def read_event(notification_id: str, form: Mapping[str, str], now_ms: int) -> Event | str:
    """The event, or why it is not stored: "ignored" or "foreign"."""
    found = our_id(notification_id, now_ms)
    if found is None:
        return FOREIGN
    fate = fate_of(form)
    if fate is None:
        return IGNORED
    return Event(id=found, channel=Channel.SMS, device=0, fate=fate, provider=NAME, provider_id=form.get("MessageSid", ""))


class TwilioDoor:
    """The callbacks' handler.

    Args:
        auth_token: the account's; without it every callback is refused.
        public_url: the address that callbacks were asked to go to, without a path; the signature covers it.
    """

    def __init__(self, auth_token: str, public_url: str, teller: Teller, clock: Clock) -> None:
        self._validator = RequestValidator(auth_token) if auth_token else None
        self._public_url = public_url
        self._teller = teller
        self._clock = clock

    async def receive(self, request: web.Request) -> web.Response:
        """204 once the event is in Redis, or if it does not concern us; 403 for a wrong signature."""
        signature = request.headers.get(SIGNATURE, "")
        if not signature or self._validator is None:
            raise _refused()
        if request.content_type != "application/x-www-form-urlencoded":
            raise _refused()
        body = await request.read()
        if len(body) > MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY, actual_size=len(body))
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        algorithm = get_signature_algorithm(request.headers.get(ALGORITHM, ""))
        if not self._validator.validate(self._public_url + request.raw_path, form, signature, algorithm):
            raise _refused()
        now_ms = self._clock.now_ms()
        event = read_event(request.query.get("n", ""), form, now_ms)
        if isinstance(event, Event):
            await self._teller.tell([event], now_ms)
        else:
            count(NAME, event)
        return web.Response(status=204)


def _refused() -> web.HTTPForbidden:
    count(NAME, REFUSED)
    return web.HTTPForbidden(text="wrong signature")
