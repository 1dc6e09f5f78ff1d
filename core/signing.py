"""Signed tokens that leave the house and come back: receipts that an app sends when a push arrived. Pure; keys are handed in.

A token is a JWT (HS256). Each purpose signs with a key of its own, derived from the one secret, so that a token of one
purpose is worthless for another.
"""

import hashlib
import hmac
from binascii import b2a_base64
from dataclasses import dataclass
from functools import lru_cache

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


@lru_cache(16)
def _key(secret: str, purpose: bytes) -> bytes:
    return hmac.digest(secret.encode(), purpose, hashlib.sha256)


def sign_receipt(secret: str, id: bytes, channel: int, device: int) -> str:
    """A token that proves, when it comes back, that the delivery (notification id, channel, device) arrived."""
    # PyJWT reads the key and encodes the header anew for each token: ten times as much, and a push signs one (a test compares).
    claims = b'{"n":"%b","c":%d,"d":%d}' % (format_id(id).encode(), channel, device)
    signed = _HEADER + b"." + _base64(claims)
    return (signed + b"." + _base64(_signature(secret, _RECEIPT, signed))).decode()


def _signature(secret: str, purpose: bytes, signed: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) of `signed`."""
    inner, outer = (half.copy() for half in _halves(secret, purpose))
    inner.update(signed)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(16)
def _halves(secret: str, purpose: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """Both hashes of an HMAC once they have read the key; hmac looks its algorithm up anew each time, three times as much."""
    block = _key(secret, purpose).ljust(hashlib.sha256().block_size, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


_URLSAFE = bytes.maketrans(b"+/", b"-_")


def _base64(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False).translate(_URLSAFE, b"=")


_HEADER = _base64(b'{"alg":"HS256","typ":"JWT"}')


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
