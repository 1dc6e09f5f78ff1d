"""A checked draft becomes a record: the bytes that travel through the streams. Pure; id and time are handed in."""

import hashlib

from core import ids
from fastpath import Record, record
from fastpath.layout import NOTIFICATION
from gateway.validate import Draft

NO_ID = bytes(16)


def partition(draft: Draft, partitions: int) -> int:
    """Where the recipient's notifications live: by its id, else by the first address that was given."""
    to = draft.to
    who = to.recipient_id or to.email or to.phone
    return ids.partition_for(who.encode() if who else to.devices, partitions)


def to_record(draft: Draft, *, id: bytes, version: int, accepted_ms: int, traceparent: str, mark: str) -> Record:
    """The record of a draft: `version` is the template's as it was resolved, `mark` the digest of its key or ""."""
    to = draft.to
    return record(
        NOTIFICATION,
        id=id,
        priority=draft.priority,
        klass=draft.klass,
        channel=draft.channels,
        version=version,
        extra=draft.dedupe_s,
        accepted_ms=accepted_ms,
        at_ms=draft.at_ms,
        expires_ms=draft.expires_ms,
        type=draft.type,
        recipient_id=to.recipient_id,
        email=to.email,
        phone=to.phone,
        devices=to.devices,
        language=to.language,
        timezone=to.timezone,
        template=draft.template,
        data=draft.data,
        source=draft.source,
        traceparent=traceparent,
        mark=mark,
    )


def mark_of(caller: str, key: str) -> str:
    """The digest that stands for a caller's idempotency key, 32 hexadecimal digits."""
    return hashlib.sha256(f"{len(caller)}:{caller}{key}".encode()).hexdigest()[:32]


def content_of(draft: Draft) -> bytes:
    """16 bytes that are equal for equal content: all that the caller said but the key and the trace context."""
    plain = to_record(draft, id=NO_ID, version=draft.version, accepted_ms=0, traceparent="", mark="")
    return hashlib.blake2b(plain.raw, digest_size=16).digest()
