"""What operators ask of a running system, without its I/O: dead letters, halted channels. See calls.py for how it is driven.

Dead letters come as feeds: the gateway works while its answers are read, so who stops reading leaves the rest untouched.
"""

from tidings import messages, values
from tidings.calls import Feed, Operation, invoke
from tidings.v1 import admin_pb2

REPLAY_MAX_PER_S = 100_000


def dead_letters(fields: messages.LetterFilter) -> Feed[values.DeadLetter]:
    """Dead letters, oldest first within each channel."""
    request = admin_pb2.ListDeadLettersRequest(filter=messages.letter_filter(fields))
    return Feed("ListDeadLetters", lambda stubs: stubs.admin.ListDeadLetters, request, lambda r: values.dead_letter(r.letter))


def replay(fields: messages.LetterFilter, per_second: int) -> Feed[values.Replayed]:
    """Send them again, at most `per_second`; 0 is the gateway's own pace.

    Raises:
        InvalidRequest: the filter or the rate makes no sense.
    """
    if not 0 <= per_second <= REPLAY_MAX_PER_S:
        raise messages.wrong("per_second", f"is a number from 1 to {REPLAY_MAX_PER_S}, or 0 for 100", "invalid_format")
    request = admin_pb2.ReplayDeadLettersRequest(filter=messages.letter_filter(fields), per_second=per_second)
    return Feed(
        "ReplayDeadLetters",
        lambda stubs: stubs.admin.ReplayDeadLetters,
        request,
        lambda r: values.Replayed(r.key, r.notification_id, r.fate),
    )


def drop(fields: messages.LetterFilter) -> Feed[values.Dropped]:
    """Delete them for good."""
    request = admin_pb2.DropDeadLettersRequest(filter=messages.letter_filter(fields))
    return Feed(
        "DropDeadLetters",
        lambda stubs: stubs.admin.DropDeadLetters,
        request,
        lambda r: values.Dropped(r.key, r.notification_id, r.dropped),
    )


def halt(channel: str, reason: str, timeout: float) -> Operation[bool]:
    """Halt a channel; False if it was halted already."""
    request = admin_pb2.HaltChannelRequest(channel=messages.channel(channel), reason=reason)
    return (yield from invoke(lambda stubs: stubs.admin.HaltChannel, request, timeout)).changed


def resume(channel: str, timeout: float) -> Operation[bool]:
    """Let a channel go on; False if it was not halted."""
    request = admin_pb2.ResumeChannelRequest(channel=messages.channel(channel))
    return (yield from invoke(lambda stubs: stubs.admin.ResumeChannel, request, timeout)).changed


def stations(timeout: float) -> Operation[values.Stations]:
    """Streams and who reads them, providers, halts, overload."""
    response = yield from invoke(lambda stubs: stubs.admin.ListStations, admin_pb2.ListStationsRequest(), timeout)
    return values.stations(response)
