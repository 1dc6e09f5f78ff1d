"""Bodies of SendGrid's /v3/mail/send: many differently rendered e-mails in one call, within its documented limits. Pure.

A call has one text for all of its e-mails, so what differs goes in by substitution: the text is a common beginning, a tag and
a common end, and each personalization puts its own middle in the tag's place. SendGrid allows 10,000 bytes of substitutions
per personalization (API reference of mail/send; newer pages say 50,000): rendered e-mails that are longer share a call with
those of the same template, whose beginnings and ends are alike, or go alone.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson
from sendgrid.helpers.mail import Category, Content, From, Mail

from core.model import Class, Part
from senders.provider import Message

CALL_MAX = 1_000  # personalizations
SUBSTITUTIONS_MAX = 10_000  # bytes per personalization, tags included
BODY_MAX = 20_000_000  # bytes of texts in a call; the limit is 30 MB for the whole

_NONCE = secrets.token_hex(6)  # no rendered text can hold a tag that nobody knows
TAGS = {Part.HTML: f"-html{_NONCE}-", Part.TEXT: f"-text{_NONCE}-"}
MIME = ((Part.TEXT, "text/plain"), (Part.HTML, "text/html"))  # in the order that SendGrid demands
_TAG_BYTES = sum(len(tag) for tag in TAGS.values())


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
    found: list[Bundle] = []
    shapes: dict[tuple[bool, bool], list[Message]] = {}
    for message in messages:
        said = message.parts
        shapes.setdefault((bool(said.get(Part.HTML)), bool(said.get(Part.TEXT))), []).append(message)
    for (html, text), group in shapes.items():
        parts = [part for part, there in ((Part.HTML, html), (Part.TEXT, text)) if there]
        plain = {part: Frame() for part in parts}
        long: dict[tuple[str, int, str], list[Message]] = {}
        short: list[Message] = []
        for message in group:
            if _fits(message, plain):
                short.append(message)
            else:
                record = message.record
                long.setdefault((record.template, record.version, record.language), []).append(message)
        found += _divide(short, plain, batch_max)
        for alike in long.values():
            found += _divide_long(alike, parts, batch_max)
    return found


def _divide_long(messages: Sequence[Message], parts: Sequence[Part], batch_max: int) -> list[Bundle]:
    frames = {part: common([message.parts[part] for message in messages]) for part in parts}
    together = [message for message in messages if _fits(message, frames)]
    alone = [message for message in messages if not _fits(message, frames)]
    return _divide(together, frames, batch_max) + [bundle for message in alone for bundle in _divide([message], frames, 1)]


def _fits(message: Message, frames: dict[Part, Frame]) -> bool:
    said = message.parts
    size = _TAG_BYTES
    for part, frame in frames.items():
        size += frame.left(said[part])
    return size <= SUBSTITUTIONS_MAX


def _divide(messages: Iterable[Message], frames: dict[Part, Frame], batch_max: int) -> list[Bundle]:
    """Calls of at most `batch_max`; an address stands in a call once (SendGrid refuses the whole call otherwise)."""
    calls: list[Bundle] = []
    queue = list(messages)
    while queue:
        taken: list[Message] = []
        left: list[Message] = []
        addresses: set[str] = set()
        size = 0
        for message in queue:
            address = message.record.address.casefold()
            length = sum(map(len, message.parts.values()))
            if address in addresses or len(taken) == batch_max or (taken and size + length > BODY_MAX):
                left.append(message)
                continue
            addresses.add(address)
            taken.append(message)
            size += length
        calls.append(Bundle(taken, frames if len(taken) > 1 else {p: Frame(taken[0].parts[p]) for p in frames}))
        queue = left
    return calls


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
    record, said = message.record, message.parts
    entry: dict[str, object] = {
        "to": [{"email": record.address}],
        "custom_args": {"tidings_id": message.id, "tidings_device": str(record.device)},
    }
    if subject := message.subject:
        entry["subject"] = subject
    if tagged:
        entry["substitutions"] = {TAGS[part]: frame.middle(said[part]).decode() for part, frame in tagged}
    return entry
