"""google.protobuf.Struct to the plain values of a template, and to JSON: whole numbers as ints, keys sorted, bounded. Pure."""

import math
from collections.abc import Callable

import orjson
from google.protobuf import struct_pb2

from fastpath import read_struct
from gateway.errors import Reason, Violation
from gateway.fields import quote
from tidings.v1.types_pb2 import ErrorReason

JSON_BYTES = 64 * 1024
WIRE_BYTES = 1024 * 1024  # a number takes eleven bytes in a message and may take two in JSON: only an early way out
DEPTH = 16  # levels of objects and lists
FAULTS = 20  # faults collected before the rest is not looked at any more
EXACT = 2.0**53  # whole numbers beyond this are not exact in a double: they stay floats

Plain = dict[str, object]


def plain(struct: struct_pb2.Struct) -> tuple[Plain, bytes, list[Violation]]:
    """The values, the same as JSON, and what is wrong with them (then the values are not to be used).

    Paths of the violations begin with the struct's own keys; the path "" stands for the struct as a whole.
    """
    faults: list[Violation] = []
    wire = struct.SerializeToString()
    if len(wire) > WIRE_BYTES:
        return {}, b"", [_too_large(len(wire))]
    values = read_struct(wire)
    if values is None:  # something in it is strange: find out what
        values = _object(struct, "", 1, faults)
    if faults:
        return {}, b"", faults
    encoded = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    if len(encoded) > JSON_BYTES:
        return {}, b"", [_too_large(len(encoded))]
    return values, encoded, faults


def _too_large(size: int) -> Violation:
    return Violation("", f"is {size} bytes long; at most {JSON_BYTES} as JSON are allowed", ErrorReason.ERROR_REASON_TOO_LARGE)


def _object(struct: struct_pb2.Struct, path: str, depth: int, faults: list[Violation]) -> Plain:
    if depth > DEPTH:
        return _fault(faults, path, f"is nested deeper than {DEPTH} levels", ErrorReason.ERROR_REASON_TOO_LARGE)
    values: Plain = {}
    fields = struct.fields
    for key in fields:  # items() would be iterated in Python, by collections.abc
        value = fields[key]
        if value.WhichOneof("kind") == "string_value" and "\0" not in key:  # the usual case, without a call
            text = value.string_value
            if "\0" not in text:
                values[key] = text
                continue
        inner = f"{path}.{key}" if path else key
        values[key] = _value(value, inner, depth, faults)
        if "\0" in key:
            _fault(faults, path, f"has a NUL character in the key {quote(key)}", ErrorReason.ERROR_REASON_INVALID_FORMAT)
    return values


def _list(values: struct_pb2.ListValue, path: str, depth: int, faults: list[Violation]) -> object:
    if depth > DEPTH:
        return _fault(faults, path, f"is nested deeper than {DEPTH} levels", ErrorReason.ERROR_REASON_TOO_LARGE)
    return [_value(value, f"{path}[{i}]", depth, faults) for i, value in enumerate(values.values)]


def _value(value: struct_pb2.Value, path: str, depth: int, faults: list[Violation]) -> object:
    if len(faults) >= FAULTS:
        return None
    read = _READERS.get(value.WhichOneof("kind"))
    if read is None:
        return _fault(faults, path, "has no value; write null if that is meant", ErrorReason.ERROR_REASON_REQUIRED)
    return read(value, path, depth, faults)


def _string(value: struct_pb2.Value, path: str, depth: int, faults: list[Violation]) -> object:
    text = value.string_value
    if "\0" in text:
        return _fault(faults, path, "has a NUL character", ErrorReason.ERROR_REASON_INVALID_FORMAT)
    return text


def _number(value: struct_pb2.Value, path: str, depth: int, faults: list[Violation]) -> object:
    number = value.number_value
    if not math.isfinite(number):
        return _fault(faults, path, "is not a finite number", ErrorReason.ERROR_REASON_INVALID_FORMAT)
    return int(number) if number.is_integer() and -EXACT <= number <= EXACT else number


def _fault(faults: list[Violation], path: str, text: str, reason: Reason) -> Plain:
    faults.append(Violation(path, text, reason))
    return {}


_Reader = Callable[[struct_pb2.Value, str, int, list[Violation]], object]
_READERS: dict[str | None, _Reader] = {
    "null_value": lambda value, path, depth, faults: None,
    "bool_value": lambda value, path, depth, faults: value.bool_value,
    "number_value": _number,
    "string_value": _string,
    "struct_value": lambda value, path, depth, faults: _object(value.struct_value, path, depth + 1, faults),
    "list_value": lambda value, path, depth, faults: _list(value.list_value, path, depth + 1, faults),
}
