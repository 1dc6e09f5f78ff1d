"""Twin of fastpath/records.pyx: records as views of encoded bytes, frames of records, packed parts (see fastpath/layout.py).

No I/O; a view never copies the bytes it looks at until `.raw` is asked for.
"""

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from fastpath import layout
from fastpath.errors import FrameError

_U32_MAX = 0xFFFF_FFFF
_SETTABLE = {name: slot for name, slot in layout.SLOTS.items() if name not in ("length", "kind")}


class Record:
    """One notification, delivery or outcome: an immutable view of its encoded bytes.

    Attributes: every slot of `layout.SLOTS` (int), `id` (16 bytes), the strings of its kind (str; bytes for `layout.BLOBS`).
    A string of another kind is an AttributeError, text that is not UTF-8 a FrameError. Equal and hashed by its bytes.
    """

    __slots__ = ("_at", "_buffer", "_size")

    _buffer: bytes
    _at: int
    _size: int

    def __init__(self) -> None:
        raise TypeError("records are made by record() and unpack_frame()")

    @property
    def raw(self) -> bytes:
        """The encoded record, a copy."""
        return self._buffer[self._at : self._at + self._size]

    @property
    def id(self) -> bytes:
        """The notification's id, 16 bytes."""
        at = self._at + layout.ID_OFFSET
        return self._buffer[at : at + layout.ID_WIDTH]

    def __getattr__(self, name: str) -> Any:
        if name in Record.__slots__:  # missing only where nobody made the record
            raise TypeError("records are made by record() and unpack_frame()")
        slot = layout.SLOTS.get(name)
        if slot is not None:
            at = self._at + slot[0]
            return int.from_bytes(self._buffer[at : at + slot[1]], "little", signed=slot[2])
        names = layout.STRINGS[self._buffer[self._at + 4]]
        if name not in names:
            raise AttributeError(f"a record of kind {self.kind} has no {name!r}")
        value = self._text(names.index(name), len(names))
        if name in layout.BLOBS:
            return value
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise FrameError(f"{name} is not UTF-8") from error

    def _text(self, index: int, count: int) -> bytes:
        ends = self._at + layout.HEADER
        payload = ends + 4 * count
        start = _u32(self._buffer, ends + 4 * (index - 1)) if index else 0
        return self._buffer[payload + start : payload + _u32(self._buffer, ends + 4 * index)]

    def replace(self, **changes: Any) -> "Record":
        """A new record with some fields changed.

        Raises:
            TypeError: a name that this kind does not have, or a value of the wrong type.
            ValueError: a number that does not fit its slot.
        """
        header = bytearray(self._buffer[self._at : self._at + layout.HEADER])
        names = layout.STRINGS[header[4]]
        texts = [self._text(index, len(names)) for index in range(len(names))]
        return _encode(header, texts, changes)

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"<Record kind={self.kind} id={self.id.hex()}>"


def record(kind: int, /, *, id: bytes, **fields: Any) -> Record:
    """Encode a record. Numbers not given are 0, strings not given are empty.

    Raises:
        TypeError: a name that this kind does not have, or a value of the wrong type.
        ValueError: an unknown kind, an id that is not 16 bytes, or a number that does not fit its slot.
    """
    if kind not in layout.STRINGS:
        raise ValueError(f"unknown kind of record: {kind}")
    header = bytearray(layout.HEADER)
    header[4] = kind
    fields["id"] = id
    return _encode(header, [b""] * len(layout.STRINGS[kind]), fields)


class Writer:
    """Makes records of one kind from values by position: for loops, as it looks the names up once."""

    def __init__(self, kind: int, names: Sequence[str]) -> None:
        """`names` are the fields that the values will be for.

        Raises:
            ValueError: an unknown kind.
            TypeError: a name that this kind does not have.
        """
        if kind not in layout.STRINGS:
            raise ValueError(f"unknown kind of record: {kind}")
        for name in names:
            if name not in _SETTABLE and name not in layout.STRINGS[kind]:
                raise TypeError(f"a record of kind {kind} has no {name!r}")
        self._kind = kind
        self._names = tuple(names)

    def __call__(self, id: bytes, *values: Any) -> Record:
        """The record with this id and these values, one for each name.

        Raises:
            TypeError, ValueError: as `record`.
        """
        if len(values) != len(self._names):
            raise TypeError(f"{len(values)} values for {len(self._names)} names")
        return record(self._kind, id=id, **dict(zip(self._names, values, strict=True)))


def pack_frame(records: Sequence[Record]) -> bytes:
    """The frame of `records`.

    Raises:
        ValueError: no record at all, or records of different kinds.
    """
    if not records:
        raise ValueError("a frame has at least one record")
    kind = records[0].kind
    if any(each.kind != kind for each in records):
        raise ValueError("records of different kinds in one frame")
    head = layout.MAGIC + bytes((layout.VERSION, kind)) + len(records).to_bytes(4, "little")
    return head + b"".join(each.raw for each in records)


def unpack_frame(frame: bytes) -> list[Record]:
    """The records of a frame: views that share `frame`. Everything but the encoding of text is checked here.

    Raises:
        FrameError: not a frame, another version, cut off or damaged.
    """
    if len(frame) < layout.FRAME_HEADER or frame[:2] != layout.MAGIC:
        raise FrameError("not a frame")
    if frame[2] != layout.VERSION:
        raise FrameError(f"frame of version {frame[2]}; this process reads version {layout.VERSION}")
    if frame[3] not in layout.STRINGS:
        raise FrameError(f"frame of unknown kind {frame[3]}")
    at = layout.FRAME_HEADER
    records = []
    for _ in range(_u32(frame, 4)):
        records.append(_view(frame, at, _checked_size(frame, at, frame[3])))
        at += records[-1]._size
    if not records or at != len(frame):
        raise FrameError(f"frame of {len(records)} records ends at byte {at} of {len(frame)}")
    return records


def ages(records: Iterable[Record]) -> dict[int, int]:
    """How many of `records` were accepted when: accepted_ms -> count."""
    return dict(Counter(each.accepted_ms for each in records))


def pack_parts(parts: Sequence[tuple[int, bytes]]) -> bytes:
    """Rendered parts as one string of bytes: u8 part | u32 length | bytes, for each.

    Raises:
        ValueError: a part number outside 0 to 255.
    """
    return b"".join(_int(part, 1, False, "part") + _int(len(text), 4, False, "length") + text for part, text in parts)


def unpack_parts(content: bytes) -> dict[int, bytes]:
    """Parts by their number, in their order.

    Raises:
        FrameError: cut off, or a part twice.
    """
    parts: dict[int, bytes] = {}
    at = 0
    while at < len(content):
        if len(content) - at < 5:
            raise FrameError("content is cut off")
        part, size = content[at], _u32(content, at + 1)
        at += 5
        if size > len(content) - at or part in parts:
            raise FrameError("content is cut off or has a part twice")
        parts[part] = content[at : at + size]
        at += size
    return parts


def _view(buffer: bytes, at: int, size: int) -> Record:
    view = object.__new__(Record)
    view._buffer, view._at, view._size = buffer, at, size
    return view


def _encode(header: bytearray, texts: list[bytes], fields: dict[str, Any]) -> Record:
    names = layout.STRINGS[header[4]]
    for name, value in fields.items():
        if name in _SETTABLE:
            at, width, signed = _SETTABLE[name]
            header[at : at + width] = _int(value, width, signed, name)
        elif name in names:
            texts[names.index(name)] = _bytes(value, name)
        elif name == "id":
            header[layout.ID_OFFSET : layout.ID_OFFSET + layout.ID_WIDTH] = _id(value)
        else:
            raise TypeError(f"a record of kind {header[4]} has no {name!r}")
    ends, end = bytearray(), 0
    for text in texts:
        end += len(text)
        ends += _int(end, 4, False, "record")
    header[0:4] = _int(layout.HEADER + len(ends) + end, 4, False, "length")
    raw = bytes(header) + bytes(ends) + b"".join(texts)
    return _view(raw, 0, len(raw))


def _id(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("id is bytes")
    if len(value) != layout.ID_WIDTH:
        raise ValueError(f"id has {len(value)} bytes, not {layout.ID_WIDTH}")
    return value


def _int(value: Any, width: int, signed: bool, name: str) -> bytes:
    try:
        return operator.index(value).to_bytes(width, "little", signed=signed)
    except OverflowError as error:
        raise ValueError(f"{name} does not fit {width} bytes") from error


def _bytes(value: object, name: str) -> bytes:
    if name in layout.BLOBS:
        if not isinstance(value, bytes):
            raise TypeError(f"{name} is bytes")
        return value
    if not isinstance(value, str):
        raise TypeError(f"{name} is str")
    return value.encode()


def _checked_size(frame: bytes, at: int, kind: int) -> int:
    """The size of the record at `at`, once its strings are known to lie inside of it and it inside of the frame."""
    count = len(layout.STRINGS[kind])
    least = layout.HEADER + 4 * count
    if len(frame) - at < least:
        raise FrameError(f"frame is cut off in the record at byte {at}")
    size = _u32(frame, at)
    if size < least or size > len(frame) - at or frame[at + 4] != kind:
        raise FrameError(f"record at byte {at} has a damaged header")
    end = 0
    for index in range(count):
        start, end = end, _u32(frame, at + layout.HEADER + 4 * index)
        if end < start:
            raise FrameError(f"record at byte {at} has damaged strings")
    if end != size - least:
        raise FrameError(f"record at byte {at} has damaged strings")
    return size


def _u32(buffer: bytes, at: int) -> int:
    return int.from_bytes(buffer[at : at + 4], "little")
