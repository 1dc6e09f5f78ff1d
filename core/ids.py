"""Notification ids: UUIDv7 (RFC 9562) whose `rand_a` says where the notification lives.

Layout of the 128 bits: 48 milliseconds since the epoch, 4 version (7), 10 partition, 2 priority - 1, 2 variant, 62 random.
So the day partition of the ledger and the stream in Redis follow from the id alone, with no look-up.
"""

import os
import uuid
import zlib

from core.errors import BadId
from core.model import Priority

MAX_PARTITIONS = 1024  # ten bits of rand_a


def new_id(partition: int, priority: int, now_ms: int) -> bytes:
    """A fresh id, 16 bytes. `partition` is 0 to 1023, `now_ms` the acceptance time in milliseconds."""
    high = (now_ms & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | partition << 2 | (priority - 1)
    low = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    return high.to_bytes(8, "big") + low.to_bytes(8, "big")


def time_of(raw: bytes) -> int:
    """When the id was made, milliseconds since the epoch."""
    return int.from_bytes(raw[:6], "big")


def partition_of(raw: bytes) -> int:
    """The partition whose streams carry the notification."""
    return (int.from_bytes(raw[6:8], "big") & 0x0FFF) >> 2


def priority_of(raw: bytes) -> Priority:
    """The notification's priority."""
    return Priority((raw[7] & 3) + 1)


def format_id(raw: bytes) -> str:
    """The id as callers see it: the usual 36 characters of a UUID."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def parse_id(text: str) -> bytes:
    """The 16 bytes of an id that a caller gave.

    Raises:
        BadId: not a UUID, or not one that tidings made.
    """
    try:
        value = uuid.UUID(text)
    except ValueError as error:
        raise BadId(f"{text[:64]!r} is not a notification id: expected a UUID such as 018f2f6e-...") from error
    if value.version != 7:
        raise BadId(f"{text!r} was not made by tidings: its ids are version 7 UUIDs")
    return value.bytes


def partition_for(recipient: bytes, partitions: int) -> int:
    """The partition of a recipient: the same recipient always meets the same one (CRC-32 modulo `partitions`)."""
    return zlib.crc32(recipient) % partitions
