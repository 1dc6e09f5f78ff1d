"""A checked draft becomes a record: the bytes that travel through the streams. Pure; id and time are handed in."""

import hashlib

from core import ids
from fastpath import Checks, Record, Writer
from fastpath.layout import NOTIFICATION
from gateway import fields
from gateway.validate import Draft

# What fastpath.Reader asks about single values that are not plain; validate.py asks the same.
CHECKS = Checks(fields.email, fields.phone, fields.language, fields.timezone, fields.UNDELIVERABLE)
NO_ID = bytes(16)


def partition(draft: Draft, partitions: int) -> int:
    """Where the recipient's notifications live: by its id, else by the first address that was given."""
    to = draft.to
    who = to.recipient_id or to.email or to.phone
    return ids.partition_for(who.encode() if who else to.devices, partitions)


_write = Writer(
    NOTIFICATION,
    (
        "priority",
        "klass",
        "channel",
        "version",
        "extra",
        "accepted_ms",
        "at_ms",
        "expires_ms",
        "type",
        "recipient_id",
        "email",
        "phone",
        "devices",
        "language",
        "timezone",
        "template",
        "data",
        "source",
        "traceparent",
        "mark",
    ),
)


def to_record(draft: Draft, *, id: bytes, version: int, accepted_ms: int, traceparent: str, mark: str) -> Record:
    """The record of a draft: `version` is the template's as it was resolved, `mark` the digest of its key or ""."""
    return _write(
        id,
        draft.priority,
        draft.klass,
        draft.channels,
        version,
        draft.dedupe_s,
        accepted_ms,
        draft.at_ms,
        draft.expires_ms,
        draft.type,
        *draft.to,
        draft.template,
        draft.data,
        draft.source,
        traceparent,
        mark,
    )


def mark_of(caller: str, key: str) -> str:
    """The digest that stands for a caller's idempotency key, 32 hexadecimal digits."""
    return hashlib.sha256(f"{len(caller)}:{caller}{key}".encode()).hexdigest()[:32]


def content_of(draft: Draft) -> bytes:
    """16 bytes that are equal for equal content: all that the caller said but the key and the trace context."""
    plain = to_record(draft, id=NO_ID, version=draft.version, accepted_ms=0, traceparent="", mark="")
    return hashlib.blake2b(plain.raw, digest_size=16).digest()
