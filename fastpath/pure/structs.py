"""A serialized google.protobuf.Struct as plain values, without a Python object per message on the way.

The wire format as protobuf writes it (each field once, in order), and nothing else: what is unusual or faulty is left to
somebody who can say what is wrong with it.
"""

import math
from struct import Struct

DEPTH = 16  # levels of objects and lists
EXACT = 2.0**53  # whole numbers beyond this are not exact in a double: they stay floats

# Tags: field number << 3 | wire type
_KEY = _FIELD = _ITEM = 1 << 3 | 2
_VALUE = 2 << 3 | 2
_NULL = 1 << 3
_NUMBER = 2 << 3 | 1
_STRING = 3 << 3 | 2
_BOOL = 4 << 3
_OBJECT = 5 << 3 | 2
_LIST = 6 << 3 | 2

_double = Struct("<d").unpack_from


class _Strange(Exception):
    """Something that needs a closer look."""


def read_struct(wire: bytes, *, once: bool = False) -> dict[str, object] | None:
    """The values of a Struct, whole numbers as ints.

    None if something needs a closer look: a NUL in a text, a number that is not finite, a value of no kind, more than DEPTH
    levels, or bytes that protobuf would have written otherwise. `once` (of the twin only): also a key that stands twice.
    """
    try:
        return _object(wire, 0, len(wire), 1, once)
    except (_Strange, UnicodeDecodeError):
        return None


def _object(wire: bytes, at: int, end: int, depth: int, once: bool) -> dict[str, object]:
    if depth > DEPTH:
        raise _Strange
    values: dict[str, object] = {}
    while at < end:
        at, entry_end = _message(wire, at, end, _FIELD)
        key, key_end = _message(wire, at, entry_end, _KEY)
        name = _text(wire[key:key_end])
        at, value_end = _message(wire, key_end, entry_end, _VALUE)
        if value_end != entry_end or (once and name in values):
            raise _Strange
        values[name] = _value(wire, at, entry_end, depth, once)
        at = entry_end
    return values


def _list(wire: bytes, at: int, end: int, depth: int, once: bool) -> list[object]:
    if depth > DEPTH:
        raise _Strange
    values: list[object] = []
    while at < end:
        at, item_end = _message(wire, at, end, _ITEM)
        values.append(_value(wire, at, item_end, depth, once))
        at = item_end
    return values


def _value(wire: bytes, at: int, end: int, depth: int, once: bool) -> object:
    """The one field of a Value, which is all of it."""
    if end - at < 2:
        raise _Strange
    tag = wire[at]
    if tag == _NUMBER:
        return _number(wire, at + 1, end)
    if tag in (_NULL, _BOOL):
        if end - at != 2 or wire[at + 1] > 1:
            raise _Strange
        return None if tag == _NULL else wire[at + 1] == 1
    inner, inner_end = _message(wire, at, end, tag)
    if inner_end != end:
        raise _Strange
    if tag == _STRING:
        return _text(wire[inner:end])
    if tag == _OBJECT:
        return _object(wire, inner, end, depth + 1, once)
    if tag == _LIST:
        return _list(wire, inner, end, depth + 1, once)
    raise _Strange


def _number(wire: bytes, at: int, end: int) -> int | float:
    if end - at != 8:
        raise _Strange
    number: float = _double(wire, at)[0]
    if not math.isfinite(number):
        raise _Strange
    return int(number) if number.is_integer() and -EXACT <= number <= EXACT else number


def _text(raw: bytes) -> str:
    if 0 in raw:
        raise _Strange
    return raw.decode()


def _message(wire: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Steps over the tag, which must be this one, and the length: where what is so long begins and ends."""
    if at >= end or wire[at] != tag:
        raise _Strange
    size = shift = 0
    while True:
        at += 1
        if at >= end or shift > 28:
            raise _Strange
        size |= (wire[at] & 127) << shift
        shift += 7
        if wire[at] < 128:
            break
    at += 1
    if size > end - at:
        raise _Strange
    return at, at + size
