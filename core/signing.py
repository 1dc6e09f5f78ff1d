"""Signed tokens that leave the house and come back: receipts that an app sends when a push arrived. Pure; keys are handed in.

A token is a JWT (HS256). Each purpose signs with a key of its own, derived from the one secret, so that a token of one
purpose is worthless for another.
"""

import hashlib
import hmac
from dataclasses import dataclass

import jwt

from core.errors import BadId, BadToken
from core.ids import format_id, parse_id
from core.model import Channel

_ALGORITHM = "HS256"
_RECEIPT = b"tidings receipt v1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Which delivery a receipt speaks of: notification id (16 bytes), channel, device (from 0)."""

    id: bytes
    channel: Channel
    device: int


def _key(secret: str, purpose: bytes) -> bytes:
    return hmac.digest(secret.encode(), purpose, hashlib.sha256)


def sign_receipt(secret: str, id: bytes, channel: Channel, device: int) -> str:
    """A token that proves, when it comes back, that the delivery (notification id, channel, device) arrived."""
    return jwt.encode({"n": format_id(id), "c": int(channel), "d": device}, _key(secret, _RECEIPT), algorithm=_ALGORITHM)


def read_receipt(secret: str, token: str) -> Receipt:
    """The delivery that a token speaks of.

    Raises:
        BadToken: not signed by us, or not a receipt.
    """
    try:
        claims = jwt.decode(token, _key(secret, _RECEIPT), algorithms=[_ALGORITHM])
        return Receipt(parse_id(claims["n"]), Channel(claims["c"]), int(claims["d"]))
    except (jwt.PyJWTError, BadId, KeyError, TypeError, ValueError) as error:
        raise BadToken("not a receipt that tidings signed") from error
