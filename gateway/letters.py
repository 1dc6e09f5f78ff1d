"""Dead letters as operators see them: requests to filters, letters to messages. Pure but for the rate of a replay."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from enum import IntEnum

from core.deadletters import EVERYWHERE, DeadLetters, Filter, Letter
from core.ids import format_id
from core.model import Channel, ErrorClass
from fastpath.layout import DELIVERY
from gateway import fields, validate
from gateway.errors import invalid
from gateway.views import timestamp
from tidings.v1 import admin_pb2 as pb
from tidings.v1 import types_pb2
from tidings.v1.types_pb2 import ErrorReason

REPLAY_PER_S = 100
SEPARATOR = "@"  # between a letter's entry id and its stream, in its key
KEYS = 1_000  # letters named in one request
KEY_CHARACTERS = 128
_KEY = re.compile(r"[0-9]{1,19}-[0-9]{1,19}@[ -~]+")

_MANY = ErrorReason.ERROR_REASON_TOO_MANY_ITEMS
_UNKNOWN = ErrorReason.ERROR_REASON_UNKNOWN_VALUE
_FORMAT = ErrorReason.ERROR_REASON_INVALID_FORMAT


def key_of(letter: Letter) -> str:
    """A letter's name for operators: where it lies."""
    return f"{letter.entry_id}{SEPARATOR}{letter.stream}"


def filter_of(wanted: pb.DeadLetterFilter) -> Filter:
    """The filter that a request asks for.

    Raises:
        Refusal: with every fault of it.
    """
    faults = validate.Faults()
    channels = _chosen(wanted.channels, Channel, "filter.channels", faults)
    error_classes = _chosen(wanted.error_classes, ErrorClass, "filter.error_classes", faults)
    faults.check("filter.type", fields.line, wanted.type, 128)
    after_ms = validate.moment(wanted.after, "filter.after", faults) if wanted.HasField("after") else 0
    until_ms = max(validate.moment(wanted.before, "filter.before", faults), 1) if wanted.HasField("before") else 0
    if len(wanted.keys) > KEYS:
        faults.note("filter.keys", _MANY, f"has {len(wanted.keys)} items; at most {KEYS} are allowed")
    for i, key in enumerate(wanted.keys[:KEYS]):
        if len(key) > KEY_CHARACTERS or _KEY.fullmatch(key) is None:
            faults.note(f"filter.keys[{i}]", _FORMAT, "is no key of a dead letter; take one from ListDeadLetters")
    if faults:
        raise invalid(faults)
    return Filter(
        channels=tuple(map(Channel, channels)) or EVERYWHERE,
        type=wanted.type,
        error_classes=frozenset(map(ErrorClass, error_classes)),
        after_ms=max(after_ms, 0),
        until_ms=until_ms,
    )


def _chosen(values: Sequence[int], known: type[IntEnum], path: str, faults: validate.Faults) -> list[int]:
    numbers = [int(each) for each in known if each]
    if len(values) > len(numbers):
        faults.note(path, _MANY, f"has {len(values)} items; there are {len(numbers)}")
        return []
    for i, value in enumerate(values):
        if value not in numbers:
            faults.note(f"{path}[{i}]", _UNKNOWN, f"{value} is none of the known values")
        elif value in values[:i]:
            faults.note(f"{path}[{i}]", ErrorReason.ERROR_REASON_DUPLICATE_ITEM, "stands twice")
    return list(values)


async def find(letters: DeadLetters, wanted: pb.DeadLetterFilter) -> AsyncIterator[Letter]:
    """The letters that a request is about: those it names, or all that its filter admits; at most its limit."""
    left = wanted.limit or 2**62
    async for letter in _named(letters, wanted) if wanted.keys else letters.find(filter_of(wanted)):
        yield letter
        left -= 1
        if left == 0:
            return


async def _named(letters: DeadLetters, wanted: pb.DeadLetterFilter) -> AsyncIterator[Letter]:
    admits = filter_of(wanted)
    for key in wanted.keys:
        entry_id, _, stream = key.partition(SEPARATOR)
        letter = await letters.get(stream, entry_id)
        if letter is not None and admits.admits(letter):
            yield letter


def view(letter: Letter) -> pb.DeadLetter:
    """The letter without addresses and words."""
    item = letter.record
    if item is None:
        return pb.DeadLetter(key=key_of(letter), died_at=timestamp(letter.died_ms))
    delivery = item.kind == DELIVERY
    return pb.DeadLetter(
        key=key_of(letter),
        notification_id=format_id(item.id),
        channel=types_pb2.Channel.ValueType(item.channel if delivery else 0),
        type=item.type,
        priority=types_pb2.Priority.ValueType(item.priority),
        recipient_id=item.recipient_id,
        provider=item.provider if delivery else "",
        error_class=pb.ErrorClass.ValueType(item.error_class),
        code=item.code if delivery else "",
        reason=item.reason if delivery else "",
        attempts=item.attempt,
        accepted_at=timestamp(item.accepted_ms),
        died_at=timestamp(letter.died_ms),
    )


class Pace:
    """Lets at most `per_second` through."""

    def __init__(self, per_second: int) -> None:
        self._interval_s = 1 / (per_second or REPLAY_PER_S)
        self._next = time.monotonic()

    async def wait(self) -> None:
        """Waits for the next turn."""
        now = time.monotonic()
        self._next = max(self._next + self._interval_s, now - 1)  # what was missed is made up for, a second of it at most
        if self._next > now:
            await asyncio.sleep(self._next - now)
