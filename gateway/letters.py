"""Dead letters as operators see them: requests to filters, letters to messages. Pure but for the rate of a replay."""

import asyncio
import time
from collections.abc import AsyncIterator

from core.deadletters import EVERYWHERE, DeadLetters, Filter, Letter
from core.ids import format_id
from core.model import Channel, ErrorClass
from fastpath.layout import DELIVERY
from gateway.errors import Violation, invalid
from gateway.views import timestamp
from tidings.v1 import admin_pb2 as pb
from tidings.v1 import types_pb2
from tidings.v1.types_pb2 import ErrorReason

REPLAY_PER_S = 100
SEPARATOR = "@"  # between a letter's entry id and its stream, in its key


def key_of(letter: Letter) -> str:
    """A letter's name for operators: where it lies."""
    return f"{letter.entry_id}{SEPARATOR}{letter.stream}"


def filter_of(wanted: pb.DeadLetterFilter) -> Filter:
    """The filter that a request asks for.

    Raises:
        Refusal: a channel or error class that does not exist.
    """
    faults = []
    for field, values, known in (("channels", wanted.channels, Channel), ("error_classes", wanted.error_classes, ErrorClass)):
        numbers = set(map(int, known)) - {0}
        for i, value in enumerate(values):
            if value not in numbers:
                text = f"{value} is none of the known values"
                faults.append(Violation(f"filter.{field}[{i}]", text, ErrorReason.ERROR_REASON_UNKNOWN_VALUE))
    for i, key in enumerate(wanted.keys):
        if SEPARATOR not in key:
            text = "is no key of a dead letter; take one from ListDeadLetters"
            faults.append(Violation(f"filter.keys[{i}]", text, ErrorReason.ERROR_REASON_INVALID_FORMAT))
    if faults:
        raise invalid(faults)
    return Filter(
        channels=tuple(map(Channel, wanted.channels)) or EVERYWHERE,
        type=wanted.type,
        error_classes=frozenset(map(ErrorClass, wanted.error_classes)),
        after_ms=wanted.after.ToMilliseconds(),
        until_ms=wanted.before.ToMilliseconds(),
    )


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
