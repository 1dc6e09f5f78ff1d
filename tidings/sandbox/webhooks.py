"""What the simulated providers tell later: SendGrid's Event Webhook and Twilio's status callbacks, signed as theirs are.

Makes events and signatures and hands them to an Outbox; does not decide what becomes of a message.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tidings.sandbox.outbox import Outbox, Post

SENDGRID_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
TWILIO_SIGNATURE = "X-Twilio-Signature"
BATCH_EVENTS = 1000
BATCH_BYTES = 768 * 1024  # SendGrid posts when a batch reaches this size
FLUSH_S = 0.25  # or after this time; SendGrid says a second


def sign_sendgrid(key: ec.EllipticCurvePrivateKey, timestamp: str, body: bytes) -> str:
    """The signature header's value: ECDSA with SHA-256 over timestamp and body, DER, base64."""
    return base64.b64encode(key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()


def sign_twilio(token: str, url: str, form: Mapping[str, str]) -> str:
    """The signature header's value: HMAC-SHA1 over the URL and the form's names and values, sorted by name."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


class SendGridEvents:
    """Gathers events into batches, as SendGrid does, and posts them to the one address that the account has set."""

    def __init__(self, outbox: Outbox, key: ec.EllipticCurvePrivateKey, url: str) -> None:
        self.url = url  # "" tells nobody
        self._outbox = outbox
        self._key = key
        self._events: list[bytes] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, event: Mapping[str, Any]) -> None:
        """Add an event to the batch."""
        if not self.url:
            return
        encoded = orjson.dumps(event)
        self._events.append(encoded)
        self._bytes += len(encoded) + 1
        if len(self._events) >= BATCH_EVENTS or self._bytes >= BATCH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Post what is gathered."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._events:
            body = b"[" + b",".join(self._events) + b"]"
            self._events, self._bytes = [], 0
            self._outbox.put(Post(self.url, body, self._sign))

    def _sign(self, body: bytes) -> Mapping[str, str]:
        timestamp = str(int(time.time()))
        return {
            "Content-Type": "application/json;charset=utf-8",
            "User-Agent": "SendGrid Event API",
            SENDGRID_TIMESTAMP: timestamp,
            SENDGRID_SIGNATURE: sign_sendgrid(self._key, timestamp, body),
        }


class TwilioCallbacks:
    """Posts one form for each change of a message's status to the address that the message gave."""

    def __init__(self, outbox: Outbox, token: str) -> None:
        self._outbox = outbox
        self._token = token

    def tell(self, url: str, form: Mapping[str, str], delay_s: float) -> None:
        """Owe the address a status after `delay_s`."""

        def sign(body: bytes) -> Mapping[str, str]:
            return {
                "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
                "User-Agent": "TwilioProxy/1.1",
                TWILIO_SIGNATURE: sign_twilio(self._token, url, form),
            }

        self._outbox.put(Post(url, urlencode(form).encode(), sign), delay_s)
