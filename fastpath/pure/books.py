"""Twin of fastpath/books.pyx: what a sender's books need of many deliveries at once: outcomes, what is late, what is empty.

A call reads the records as they lie (see fastpath/layout.py) and writes whole frames; no I/O.
"""

from collections.abc import Sequence

from fastpath import layout
from fastpath.errors import FrameError
from fastpath.pure.records import Record, Writer, pack_frame, unpack_parts

# What an outcome takes over from its delivery. Its fixed fields (type, recipient) are in the delivery's first outcome already.
_KEPT = ("priority", "klass", "channel", "platform", "device", "version", "accepted_ms", "expires_ms", "queued_ms")
_TOLD = ("station", "error_class", "extra", "at_ms", "sending_ms", "provider", "provider_id", "code", "reason")
_write = Writer(layout.OUTCOME, ("attempt", "status", *_KEPT, *_TOLD))


def outcome_frame(
    items: Sequence[Record],
    statuses: Sequence[int],
    *,
    station: int,
    attempts: int,
    at_ms: int,
    begun_ms: int = 0,
    error_class: int = 0,
    units: int = 0,
    provider: str = "",
    provider_id: str = "",
    code: str = "",
    reason: str = "",
) -> bytes:
    """The frame of what one answer means for many deliveries: for each of `items` an outcome per status, in these orders.

    Args:
        items: deliveries, as they were read.
        statuses: core.model.Status, in the order of their time.
        station: core.model.Station that writes it.
        attempts: how many attempts this was, on top of an item's own: 0 or 1.
        at_ms: when it happened, milliseconds since the epoch.
        begun_ms: when the attempt began; 0 if none did.
        error_class: core.model.ErrorClass.
        units: what the provider bills for each.
        provider: its name; "" if none was asked.
        provider_id: its own id of the message.
        code: its own code.
        reason: its own words.

    Raises:
        ValueError: no item or no status at all, or a number that does not fit its slot.
        TypeError: a value of the wrong type.
    """
    told = (station, error_class, units, at_ms, begun_ms, provider, provider_id, code, reason)
    return pack_frame(
        [
            _write(item.id, item.attempt + attempts, status, *(getattr(item, name) for name in _KEPT), *told)
            for item in items
            for status in statuses
        ]
    )


def join_frames(frames: Sequence[bytes]) -> bytes:
    """One frame with the records of all, in their order. Their records are not looked at.

    Raises:
        ValueError: no frame at all, or frames of different kinds.
        FrameError: one is no frame of this version.
    """
    for frame in frames:
        if len(frame) < layout.FRAME_HEADER or frame[:3] != layout.MAGIC + bytes((layout.VERSION,)):
            raise FrameError("not a frame of this version")
    if not frames:
        raise ValueError("a frame has at least one record")
    if any(frame[3] != frames[0][3] for frame in frames):
        raise ValueError("records of different kinds in one frame")
    count = sum(int.from_bytes(frame[4:8], "little") for frame in frames)
    if count > 0xFFFF_FFFF:
        raise ValueError("count does not fit 4 bytes")
    return frames[0][:4] + count.to_bytes(4, "little") + b"".join(frame[layout.FRAME_HEADER :] for frame in frames)


def overdue(items: Sequence[Record], now_ms: int) -> list[int]:
    """Which of `items` have expired at `now_ms` (milliseconds since the epoch): their places, ascending.

    Raises:
        ValueError: `now_ms` does not fit 8 bytes.
    """
    if not -(1 << 63) <= now_ms < 1 << 63:
        raise ValueError("now_ms does not fit 8 bytes")
    return [place for place, item in enumerate(items) if item.expires_ms and item.expires_ms <= now_ms]


def lacking(items: Sequence[Record], parts: bytes) -> list[int]:
    """Which of `items` (deliveries) have none of `parts`, or only empty ones: their places, ascending.

    Args:
        items: deliveries.
        parts: numbers of parts, a byte each.

    Raises:
        TypeError: a record that is no delivery.
        FrameError: content that is cut off or has a part twice.
    """
    found = []
    for place, item in enumerate(items):
        if item.kind != layout.DELIVERY:
            raise TypeError("only deliveries have content")
        said = unpack_parts(item.content)
        if not any(said.get(part) for part in parts):
            found.append(place)
    return found
