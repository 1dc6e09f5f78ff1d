"""Tokens of the next page: opaque to callers, checked when they come back. Pure."""

import base64

from gateway.validate import Faults
from tidings.v1.types_pb2 import ErrorReason

NOTIFICATIONS, TEMPLATES, INBOX = b"n", b"t", b"i"
LONGEST = 129  # bytes: kind and a name


def token(kind: bytes, last: bytes) -> str:
    """The token of the page after `last`."""
    return base64.urlsafe_b64encode(kind + last).rstrip(b"=").decode()


def read_id(kind: bytes, text: str, faults: Faults) -> bytes:
    """The id (16 bytes) in a page_token; b"" for none, or with a fault noted if it is not one of this list."""
    last = _read(kind, text, faults)
    if last and len(last) != 16:
        _note(faults)
        return b""
    return last


def read_name(kind: bytes, text: str, faults: Faults) -> str:
    """The name in a page_token; "" for none, or with a fault noted if it is not one of this list."""
    try:
        return _read(kind, text, faults).decode()
    except UnicodeDecodeError:
        _note(faults)
        return ""


def _read(kind: bytes, text: str, faults: Faults) -> bytes:
    if not text:
        return b""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:  # also binascii.Error
        raw = b""
    if raw[:1] != kind or not 2 <= len(raw) <= LONGEST:
        _note(faults)
        return b""
    return raw[1:]


def _note(faults: Faults) -> None:
    faults.note("page_token", ErrorReason.ERROR_REASON_INVALID_FORMAT, "is not a next_page_token of this method")
