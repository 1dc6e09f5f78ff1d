"""Twin of fastpath/intake.pyx: notifications of a request, from the bytes of protobuf straight to records.

Takes what is plainly good: fields once each, values in the form that the gateway's own checks would leave as they are. All else
needs a closer look, and whoever looks closer is the only one who says what is wrong. What is taken here would have been
accepted there, as the same record.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple, TypeAlias

from fastpath import layout, varints
from fastpath.pure.canonical import Canonical
from fastpath.pure.records import Record, record
from fastpath.values import Checks, Terms

Reference: TypeAlias = tuple[str, int]  # a template's name and version; 0 is the latest
Taken: TypeAlias = Record | tuple[Record, bytes] | None

NAME_CHARACTERS = 128
ID_CHARACTERS = 128
SOURCE_CHARACTERS = 128
KEY_CHARACTERS = 255
EMAIL_CHARACTERS = 254
LOCAL_CHARACTERS = 64
VERSION_MAX = 2**31 - 1
LAST_SECOND = 253_402_300_799  # 9999-12-31
DEDUPE_MAX_S = 7 * 24 * 3600
PROMOTIONAL_DEDUPE_S = 3600
NANOS = 1_000_000_000
MEDIUM, TRANSACTIONAL, PROMOTIONAL = 3, 1, 2  # core.model's
EMAIL, SMS = 1, 2  # masks of the channels that take an address given with the call
RANDOM = 8  # bytes of each id
NO_ID = bytes(layout.ID_WIDTH)

_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]*")
_EMAIL = re.compile(rb"([a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+)([a-z]{2,63})")


class _Closer(Exception):
    """Something that needs a closer look."""


class Reader:
    """Reads requests; one at a time."""

    def __init__(self, partitions: int, checks: Checks) -> None:
        """`partitions`: how many there are. `checks`: what is asked about single values that are not plain."""
        self._partitions = partitions
        self._checks = checks
        self._canonical = Canonical()

    def scan(self, wire: bytes) -> tuple[int, set[Reference]] | None:
        """How many notifications a request has (field 1, SendRequest's and SendBatchRequest's), and the templates they name.

        None if there is anything else in it. A notification whose fields cannot be told apart names no template.
        """
        references: set[Reference] = set()
        count = 0
        try:
            for item in _items(wire):
                count += 1
                reference = _reference(item)
                if reference is not None:
                    references.add(reference)
        except _Closer:
            return None
        return count, references

    def read(
        self,
        wire: bytes,
        first: int,
        known: Mapping[Reference, Terms | None],
        *,
        admitted: int,
        now_ms: int,
        random: bytes,
        traceparent: str,
        mark: Callable[[str], str],
    ) -> list[Taken]:
        """The notifications of a request from the `first`-th on (0 is the first), as many as `random` has 8 bytes for.

        Args:
            wire: the request; `scan` has found nothing else in it.
            known: terms of templates; a notification of one that is not there needs a closer look.
            admitted: which priorities are accepted now, bit 0 for priority 1.
            now_ms: now; also when they are accepted.
            random: for the ids, 8 bytes each.
            traceparent: goes into each record.
            mark: the digest that stands for the caller's idempotency key.

        Returns:
            For each a record, complete with its id; with an idempotency key a record and 16 bytes that are equal for equal
            content (a digest of the record without what the caller did not say); None if it needs a closer look.

        Raises:
            ValueError: the request has not so many, or `scan` would have found something else in it.
        """
        if len(random) % RANDOM or first < 0:
            raise ValueError("8 random bytes for each id, from a place in the request on")
        count = len(random) // RANDOM
        try:
            items = list(islice(_items(wire), first, first + count)) if count else []
        except _Closer as error:
            raise ValueError("not a request of notifications only") from error
        if len(items) != count:
            raise ValueError("the request has not so many notifications")
        found: list[Taken] = []
        for index, item in enumerate(items):
            try:
                draft = _Draft.of(item, self._checks, self._canonical, known, now_ms)
                if not admitted >> (draft.priority - 1) & 1:
                    raise _Closer
            except (_Closer, UnicodeDecodeError):
                found.append(None)
                continue
            partition = zlib.crc32(draft.who.encode()) % self._partitions
            id = _id(partition, draft.priority, now_ms, random[RANDOM * index : RANDOM * (index + 1)])
            if not draft.key:
                found.append(draft.record(id, draft.version, now_ms, traceparent, ""))
                continue
            content = blake2b(draft.record(NO_ID, draft.asked, 0, "", "").raw, digest_size=16).digest()
            found.append((draft.record(id, draft.version, now_ms, traceparent, mark(draft.key)), content))
        return found


class _Draft(NamedTuple):
    """A notification's values, all of them good."""

    priority: int
    asked: int  # the version that the caller asked for
    version: int
    key: str
    who: str
    fields: dict[str, int | str | bytes]

    def record(self, id: bytes, version: int, accepted_ms: int, traceparent: str, mark: str) -> Record:
        """The record of it."""
        return record(
            layout.NOTIFICATION,
            id=id,
            version=version,
            accepted_ms=accepted_ms,
            traceparent=traceparent,
            mark=mark,
            **self.fields,
        )

    @classmethod
    def of(
        cls, item: bytes, checks: Checks, canonical: Canonical, known: Mapping[Reference, Terms | None], now_ms: int
    ) -> "_Draft":
        """The values of a notification's bytes; raises _Closer."""
        n = _fields(item, {1: bytes, 2: int, 3: int, 4: bytes, 5: bytes, 6: bytes, 7: int, 8: bytes, 9: bytes, 10: bytes,
                           11: bytes, 12: bytes, 13: bytes})  # fmt: skip
        priority, klass = _number(n, 2, 4) or MEDIUM, _number(n, 3, 3) or TRANSACTIONAL
        asked, mask = _number(n, 7, VERSION_MAX), _mask(_bytes(n, 4))
        template = _name(_bytes(n, 6))
        terms = known.get((template, asked))
        if terms is None or mask & ~terms.channels:
            raise _Closer
        data = canonical.write(_bytes(n, 8), terms.required)
        expires_ms = _moment(_bytes(n, 11)) if 11 in n else 0
        if data is None or (11 in n and expires_ms <= now_ms):
            raise _Closer
        to = _recipient(_bytes(n, 5), mask, checks)
        fields: dict[str, int | str | bytes] = {
            "priority": priority,
            "klass": klass,
            "channel": mask,
            "extra": _window(_bytes(n, 13)) if 13 in n else PROMOTIONAL_DEDUPE_S if klass == PROMOTIONAL else 0,
            "at_ms": _moment(_bytes(n, 10)) if 10 in n else 0,
            "expires_ms": expires_ms,
            "type": _name(_bytes(n, 1)),
            "template": template,
            "data": data,
            "source": _line(_bytes(n, 9), SOURCE_CHARACTERS),
            **to,
        }
        who = to["recipient_id"] or to["email"] or to["phone"]
        return cls(priority, asked, terms.version, _line(_bytes(n, 12), KEY_CHARACTERS), who, fields)


def _recipient(wire: bytes, mask: int, checks: Checks) -> dict[str, str]:
    r = _fields(wire, {1: bytes, 2: bytes, 3: bytes, 5: bytes, 6: bytes})
    id = _line(_bytes(r, 1), ID_CHARACTERS)
    email, phone = _email(_bytes(r, 2), checks), _checked(_bytes(r, 3), checks.phone)
    unreached = mask & ~(EMAIL | SMS) or (mask & EMAIL and not email) or (mask & SMS and not phone)
    if (id[:1] == " " or id[-1:] == " ") if id else (unreached or not (email or phone)):
        raise _Closer
    language, timezone = _checked(_bytes(r, 5), checks.language), _checked(_bytes(r, 6), checks.timezone)
    return {"recipient_id": id, "email": email, "phone": phone, "language": language, "timezone": timezone}


def _items(wire: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(wire):
        if wire[at] != 1 << 3 | 2:
            raise _Closer
        at, end = _size(wire, at + 1, len(wire))
        yield wire[at:end]
        at = end


def _reference(item: bytes) -> Reference | None:
    """The template that is named, as far as that can be told without a look at other fields."""
    name, version, at = b"", 0, 0
    try:
        while at < len(item):
            tag = item[at]
            if tag & 7 == 0:
                at, number = _varint(item, at + 1, len(item))
                version = number if tag == 7 << 3 else version
            elif tag & 7 == 2:
                at, end = _size(item, at + 1, len(item))
                name = item[at:end] if tag == 6 << 3 | 2 else name
                at = end
            else:
                return None
        return (_name(name), version) if version <= VERSION_MAX else None
    except _Closer:
        return None


def _fields(wire: bytes, kinds: Mapping[int, type]) -> dict[int, int | bytes]:
    """Fields by number, each of which is of its kind and stands once."""
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(wire):
        number, form = wire[at] >> 3, wire[at] & 7
        kind = kinds.get(number)
        if wire[at] >= 128 or number in found or form != (0 if kind is int else 2) or kind is None:
            raise _Closer
        if kind is int:
            at, found[number] = _varint(wire, at + 1, len(wire))
        else:
            at, end = _size(wire, at + 1, len(wire))
            found[number] = wire[at:end]
            at = end
    return found


def _varint(wire: bytes, at: int, end: int) -> tuple[int, int]:
    """Where it ends, and its value."""
    at, value = varints.take(wire, at, end)
    if at < 0:
        raise _Closer
    return at, value


def _size(wire: bytes, at: int, end: int) -> tuple[int, int]:
    """Where what is so long begins and ends."""
    at, size = _varint(wire, at, end)
    if size > end - at:
        raise _Closer
    return at, at + size


def _bytes(fields: Mapping[int, int | bytes], number: int) -> bytes:
    value = fields.get(number, b"")
    assert isinstance(value, bytes)
    return value


def _number(fields: Mapping[int, int | bytes], number: int, most: int) -> int:
    value = fields.get(number, 0)
    assert isinstance(value, int)
    if value > most:
        raise _Closer
    return value


def _name(raw: bytes) -> str:
    if len(raw) > NAME_CHARACTERS or _NAME.fullmatch(raw) is None:
        raise _Closer
    return raw.decode()


def _line(raw: bytes, limit: int) -> str:
    text = raw.decode()
    if len(text) > limit or not text.isprintable():
        raise _Closer
    return text


def _mask(channels: bytes) -> int:
    mask = 0
    for channel in channels:  # packed; those that exist take a byte each
        if not 1 <= channel <= 4 or mask >> (channel - 1) & 1:
            raise _Closer
        mask |= 1 << (channel - 1)
    return mask


def _email(raw: bytes, checks: Checks) -> str:
    plain = _EMAIL.fullmatch(raw) if len(raw) <= EMAIL_CHARACTERS else None
    if plain is None or plain.end(1) > LOCAL_CHARACTERS or b"--" in plain[2] or plain[3].decode() in checks.undeliverable:
        return _checked(raw, checks.email)
    return raw.decode()


def _checked(raw: bytes, check: Callable[[str], str]) -> str:
    """The value in its normal form; "" was not given."""
    try:
        return check(raw.decode()) if raw else ""
    except ValueError as error:
        raise _Closer from error


def _pair(wire: bytes, most: int) -> tuple[int, int]:
    """Seconds and nanoseconds, neither negative."""
    fields = _fields(wire, {1: int, 2: int})
    return _number(fields, 1, most), _number(fields, 2, NANOS - 1)


def _moment(wire: bytes) -> int:
    seconds, nanos = _pair(wire, LAST_SECOND)
    return seconds * 1000 + nanos // 1_000_000


def _window(wire: bytes) -> int:
    seconds, nanos = _pair(wire, DEDUPE_MAX_S)
    if (seconds, nanos) > (DEDUPE_MAX_S, 0):
        raise _Closer
    return seconds + (nanos > 0)


def _id(partition: int, priority: int, now_ms: int, random: bytes) -> bytes:
    """As core.ids.new_id makes it."""
    high = (now_ms & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | partition << 2 | (priority - 1)
    low = int.from_bytes(random, "big") & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    return high.to_bytes(8, "big") + low.to_bytes(8, "big")
