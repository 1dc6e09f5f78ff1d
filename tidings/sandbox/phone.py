"""The simulated phone: says that a push arrived or was opened, by sending the receipt that the push carried.

It holds no secret: it hands back the token it was given, as an app would, and reads in it only which notification it is of.
"""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson

from tidings.sandbox.outbox import Outbox, Post

RECEIPT = "tidings_receipt"  # the token, a key of the push's data
RECEIPT_URL = "tidings_receipt_url"  # where it goes
ARRIVES_S = 0.05  # how long a push is under way

_HEADERS = {"Content-Type": "application/json", "User-Agent": "tidings-sandbox-phone"}


def send_receipt(outbox: Outbox, data: Mapping[str, str], event: str, delay_s: float = ARRIVES_S) -> bool:
    """Tell the push's sender of an event ("delivered" or "opened"); False if the push asks for no receipt."""
    token, url = data.get(RECEIPT), data.get(RECEIPT_URL)
    if not token or not url or urlsplit(url).scheme not in ("http", "https"):
        return False
    outbox.put(Post(url, orjson.dumps({"receipt": token, "event": event}), lambda _: _HEADERS), delay_s)
    return True


def read_unverified(token: str) -> tuple[str, int]:
    """Notification id and device that a receipt token speaks of; ("", 0) if it cannot be read."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["n"]), int(claims.get("d", 0))
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return "", 0
