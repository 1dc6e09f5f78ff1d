"""SendGrid's Event Webhook: POST /webhooks/sendgrid, a signed JSON array of events.

Source: SendGrid's Event Webhook reference (events, security features).
"""

import binascii
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from sendgrid.helpers.eventwebhook import EventWebhook

from core.clock import Clock
from core.errors import ConfigError
from core.model import Channel, ErrorClass, Status
from gateway.web.events import FOREIGN, IGNORED, REFUSED, Event, Fate, Teller, count, device_number, our_id

NAME = "sendgrid"
PATH = "/webhooks/sendgrid"
SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
MAX_AGE_MS = 10 * 60 * 1000  # of a signed post, so that a recorded one cannot be played again later

# Events that change nothing for a delivery: the sender has told "sent" itself, a deferral is SendGrid's own patience, and
# what a recipient wishes (spamreport, unsubscribe, ...) is not a delivery's fate.
SILENT = frozenset({"processed", "deferred", "spamreport", "unsubscribe", "group_unsubscribe", "group_resubscribe"})
_GONE = ("5.1.1", "5.1.6", "5.1.10", "5.2.1")  # enhanced status codes of mailboxes that will not come back


def fate_of(event: Mapping[str, Any]) -> Fate | None:
    """What an event means; None if it changes nothing."""
    code, reason = str(event.get("status") or ""), str(event.get("reason") or "")
    match event.get("event"):
        case "delivered":
            return Fate(Status.DELIVERED)
        case "open":
            return Fate(Status.OPENED)
        case "click":
            return Fate(Status.CLICKED)
        case "bounce" if event.get("type") == "blocked":  # refused this time, by this server
            return Fate(Status.FAILED, ErrorClass.PERMANENT, code or "blocked", reason, blocked=True)
        case "bounce":
            gone = not code or code.startswith(_GONE)
            return Fate(Status.FAILED, ErrorClass.UNREGISTERED if gone else ErrorClass.PERMANENT, code or "bounce", reason)
        case "dropped":  # not even tried: on a suppression list, or invalid
            gone = reason in ("Bounced Address", "Invalid")
            return Fate(Status.FAILED, ErrorClass.UNREGISTERED if gone else ErrorClass.PERMANENT, "dropped", reason)
    return None


def read_event(raw: object, now_ms: int) -> Event | str:
    """The event, or why it is not stored: "ignored" or "foreign"."""
    if not isinstance(raw, dict):
        return FOREIGN
    notification_id = our_id(raw.get("tidings_id"), now_ms)
    if notification_id is None:
        return FOREIGN
    fate = fate_of(raw)
    if fate is None:
        return IGNORED
    at_s = raw.get("timestamp")
    return Event(
        id=notification_id,
        channel=Channel.EMAIL,
        device=device_number(raw.get("tidings_device")),
        fate=fate,
        # Whole seconds: the last moment of that second, which the Teller cuts at now; the first would lie before our "sent".
        at_ms=at_s * 1000 + 999 if isinstance(at_s, int) and 0 < at_s < 2**40 else 0,
        provider=NAME,
        provider_id=str(raw.get("sg_message_id") or "").partition(".")[0],  # what the call's X-Message-Id was
    )


class SendGridDoor:
    """The webhook's handler.

    Args:
        public_key: the verification key, base64; without it every post is refused.

    Raises:
        ConfigError: it is not a key.
    """

    def __init__(self, public_key: str, teller: Teller, clock: Clock) -> None:
        try:
            self._webhook = EventWebhook(public_key) if public_key else None
        except ValueError as error:
            raise ConfigError("TIDINGS_SENDGRID__WEBHOOK_PUBLIC_KEY is not a key as SendGrid shows it (base64)") from error
        self._teller = teller
        self._clock = clock

    async def receive(self, request: web.Request) -> web.Response:
        """204 once every event that concerns us is in Redis, 403 for a wrong or stale signature."""
        signature, timestamp = request.headers.get(SIGNATURE, ""), request.headers.get(TIMESTAMP, "")
        now_ms = self._clock.now_ms()
        fresh = timestamp.isascii() and timestamp.isdigit() and abs(now_ms - int(timestamp) * 1000) <= MAX_AGE_MS
        if not (fresh and signature and self._verify(await request.read(), signature, timestamp)):
            count(NAME, REFUSED)
            raise web.HTTPForbidden(text="wrong signature")
        events = self._events(await request.read(), now_ms)
        await self._teller.tell(events, now_ms)
        return web.Response(status=204)

    def _verify(self, body: bytes, signature: str, timestamp: str) -> bool:
        if self._webhook is None:
            return False
        try:
            return bool(self._webhook.verify_signature(body.decode(), signature, timestamp))
        except (UnicodeDecodeError, binascii.Error, ValueError):
            return False

    def _events(self, body: bytes, now_ms: int) -> list[Event]:
        try:
            batch = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise web.HTTPBadRequest(text="not JSON") from error
        if not isinstance(batch, list):
            raise web.HTTPBadRequest(text="not an array of events")
        found: list[Event] = []
        for raw in batch:
            event = read_event(raw, now_ms)
            if isinstance(event, Event):
                found.append(event)
            else:
                count(NAME, event)
        return found
