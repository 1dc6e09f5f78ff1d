"""Bodies of SendGrid's /v3/mail/send: many differently rendered e-mails in one call, within its documented limits. Pure.

A call has one text for all of its e-mails, so what differs goes in by substitution: the text is a common beginning, a tag and
a common end, and each personalization puts its own middle in the tag's place. SendGrid allows 10,000 bytes of substitutions
per personalization (API reference of mail/send; newer pages say 50,000): rendered e-mails that are longer share a call with
those of the same template, whose beginnings and ends are alike, or go alone.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from sendgrid.helpers.mail import Category, Content, From, Mail

from core.model import Class, Part
from senders.provider import Message

CALL_MAX = 1_000  # personalizations
SUBSTITUTIONS_MAX = 10_000  # bytes per personalization, tags included
BODY_MAX = 20_000_000  # bytes of contents in a call; the limit is 30 MB for the whole

_NONCE = secrets.token_hex(6)  # no rendered text can hold a tag that nobody knows
TAGS = {Part.HTML: f"-html{_NONCE}-", Part.TEXT: f"-text{_NONCE}-"}
MIME = ((Part.TEXT, "text/plain"), (Part.HTML, "text/html"))  # in the order that SendGrid demands
_ROOM = SUBSTITUTIONS_MAX - sum(len(tag) for tag in TAGS.values())
_HTML, _TEXT = int(Part.HTML), int(Part.TEXT)
SHAPES: Sequence[Sequence[Part]] = ((), (Part.HTML,), (Part.TEXT,), (Part.HTML, Part.TEXT))  # which parts an e-mail has


@dataclass(frozen=True, slots=True)
class Frame:
    """What the e-mails of a call have in common in one part: its beginning and its end, in bytes of UTF-8."""

    head: bytes = b""
    tail: bytes = b""

    def middle(self, text: bytes) -> bytes:
        """What is particular to one e-mail."""
        return text[len(self.head) : len(text) - len(self.tail)] if self.head or self.tail else text

    def left(self, text: bytes) -> int:
        """Bytes of what is particular to one e-mail."""
        return len(text) - len(self.head) - len(self.tail)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The e-mails of one call, and what they have in common by part (the parts that all of them have)."""

    messages: Sequence[Message]
    frames: dict[Part, Frame]


def bundles(messages: Sequence[Message], batch_max: int = CALL_MAX) -> list[Bundle]:
    """Messages of one sender and class, divided into as few calls as the limits allow; order is kept within a call."""
    short: list[list[Message]] = [[] for _ in SHAPES]
    long: list[list[Message]] = [[] for _ in SHAPES]
    for message in messages:
        said = message.parts
        html, text = len(said.get(_HTML, b"")), len(said.get(_TEXT, b""))
        kind = short if html + text <= _ROOM else long
        kind[(1 if html else 0) + (2 if text else 0)].append(message)
    found: list[Bundle] = []
    for parts, few, many in zip(SHAPES, short, long, strict=True):
        found += _divide(few, {part: Frame() for part in parts}, batch_max)
        alike: dict[tuple[str, int, str], list[Message]] = {}
        for message in many:
            record = message.record
            alike.setdefault((record.template, record.version, record.language), []).append(message)
        for group in alike.values():
            found += _divide_long(group, parts, batch_max)
    return found


def _divide_long(messages: Sequence[Message], parts: Sequence[Part], batch_max: int) -> list[Bundle]:
    frames = {part: common([message.parts[part] for message in messages]) for part in parts}
    together: list[Message] = []
    alone: list[Message] = []
    for message in messages:
        left = sum(frame.left(message.parts[part]) for part, frame in frames.items())
        (together if left <= _ROOM else alone).append(message)
    return _divide(together, frames, batch_max) + [bundle for message in alone for bundle in _divide([message], frames, 1)]


def _divide(messages: Sequence[Message], frames: dict[Part, Frame], batch_max: int) -> list[Bundle]:
    """Calls of at most `batch_max`; an address stands in a call once (SendGrid refuses the whole call otherwise)."""
    calls: list[Bundle] = []
    queue = messages
    while queue:
        taken, queue = _first_call(queue, batch_max)
        calls.append(Bundle(taken, frames if len(taken) > 1 else {p: Frame(taken[0].parts[p]) for p in frames}))
    return calls


def _first_call(queue: Sequence[Message], batch_max: int) -> tuple[Sequence[Message], Sequence[Message]]:
    """Those that the first call takes, and those that are left."""
    if len(queue) <= batch_max and sum([len(message.record.content) for message in queue]) <= BODY_MAX:
        addresses = {message.record.address.casefold() for message in queue}
        if len(addresses) == len(queue):
            return queue, ()  # nearly always
    taken: list[Message] = []
    left: list[Message] = []
    addresses = set()
    size = 0
    for message in queue:
        record = message.record
        address, length = record.address.casefold(), len(record.content)
        if address in addresses or len(taken) == batch_max or (taken and size + length > BODY_MAX):
            left.append(message)
            continue
        addresses.add(address)
        taken.append(message)
        size += length
    return taken, left


def common(texts: Sequence[bytes]) -> Frame:
    """What all texts begin and end with, cut so that no character is split."""
    head = tail = texts[0]
    for text in texts[1:]:
        head = head[: _alike(head, text)]
    head = head.decode(errors="ignore").encode()
    room = min(map(len, texts)) - len(head)  # beginning and end must not overlap
    tail = tail[len(tail) - room :]
    for text in texts:
        tail = tail[len(tail) - _alike_at_end(tail, text) :]
    while tail and tail[0] & 0xC0 == 0x80:  # begins inside a character
        tail = tail[1:]
    return Frame(head, tail)


def _alike(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    return _longest(min(len(one), len(other)), lambda n: other.startswith(one[:n]))


def _alike_at_end(one: bytes, other: bytes) -> int:
    """How many bytes both end with."""
    return _longest(min(len(one), len(other)), lambda n: other.endswith(one[len(one) - n :]))


def _longest(limit: int, holds: Callable[[int], bool]) -> int:
    """The largest n up to `limit` for which `holds(n)`; it holds for all smaller ones too."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def body(bundle: Bundle, sender: From) -> bytes:
    """The JSON body of one call."""
    mail = Mail(from_email=sender)
    mail.category = Category(Class(bundle.messages[0].record.klass).name.lower())
    same = {part: _is_same(bundle, part) for part in bundle.frames}
    for part, mime in MIME:
        if part in bundle.frames:
            mail.add_content(Content(mime, _text_of(bundle, part, same[part])))
    tagged = [(part, frame) for part, frame in bundle.frames.items() if not same[part]]
    personalizations = [personalization(message, tagged) for message in bundle.messages]
    return orjson.dumps({**mail.get(), "personalizations": personalizations})


def _is_same(bundle: Bundle, part: Part) -> bool:
    first = bundle.messages[0].parts[part]
    return all(message.parts[part] == first for message in bundle.messages)


def _text_of(bundle: Bundle, part: Part, same: bool) -> str:
    if same:
        return bundle.messages[0].text(part)
    frame = bundle.frames[part]
    return f"{frame.head.decode()}{TAGS[part]}{frame.tail.decode()}"


def personalization(message: Message, tagged: Sequence[tuple[Part, Frame]]) -> dict[str, object]:
    """One e-mail of the call, as the package's helper would say it; that costs ten times as much (a test compares the two)."""
    record = message.record
    entry: dict[str, object] = {
        "to": [{"email": record.address}],
        "custom_args": {"tidings_id": message.id, "tidings_device": str(record.device)},
    }
    if subject := message.subject:
        entry["subject"] = subject
    if tagged:
        said, own = message.parts, {}
        for part, frame in tagged:
            own[TAGS[part]] = frame.middle(said[part]).decode()
        entry["substitutions"] = own
    return entry
