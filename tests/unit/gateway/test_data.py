"""Struct to plain values and JSON: whole numbers, order, limits, faults with their paths."""

import math
from typing import Any

import orjson
import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from gateway.data import DEPTH, FAULTS, JSON_BYTES, plain
from tidings.v1.types_pb2 import ErrorReason


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def faults(made: struct_pb2.Struct) -> dict[str, str]:
    return {v.field: ErrorReason.Name(v.reason).removeprefix("ERROR_REASON_") for v in plain(made)[2]}


def test_whole_numbers_become_ints_and_keys_are_sorted() -> None:
    values, encoded, found = plain(
        struct({"total": 99.99, "count": 3, "big": 2.0**60, "neg": -0.0, "a": [1, {"b": True, "c": None}]})
    )
    assert found == []
    assert encoded == b'{"a":[1,{"b":true,"c":null}],"big":1.152921504606847e+18,"count":3,"neg":0,"total":99.99}'
    assert type(values["count"]) is int and type(values["big"]) is float


def test_no_data_is_an_empty_object() -> None:
    assert plain(struct_pb2.Struct()) == ({}, b"{}", [])


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc", max_size=3), VALUES, max_size=4))
def test_json_says_the_same_as_the_struct(values: dict[str, Any]) -> None:
    made = struct(values)
    got, encoded, found = plain(made)
    assert found == []
    assert orjson.loads(encoded) == json_format.MessageToDict(made) == got


def test_the_size_limit_is_of_the_json() -> None:
    rest = len(b'{"a":""}')
    assert faults(struct({"a": "x" * (JSON_BYTES - rest)})) == {}
    assert faults(struct({"a": "x" * (JSON_BYTES - rest + 1)})) == {"": "TOO_LARGE"}
    assert faults(struct({"a": "x" * 2_000_000})) == {"": "TOO_LARGE"}


def nested(levels: int) -> struct_pb2.Struct:
    inner: Any = 1
    for _ in range(levels - 1):
        inner = [inner]
    return struct({"a": inner})


def test_the_depth_limit() -> None:
    assert faults(nested(DEPTH)) == {}
    assert faults(nested(DEPTH + 1)) == {"a" + "[0]" * (DEPTH - 1): "TOO_LARGE"}


def test_every_fault_has_its_path() -> None:
    made = struct({"order": {"items": [1, math.nan, math.inf]}, "nul": "a\0b", "k\0": 1})
    made.fields["empty"].Clear()
    made.fields["list"].list_value.values.add()
    assert faults(made) == {
        "order.items[1]": "INVALID_FORMAT",
        "order.items[2]": "INVALID_FORMAT",
        "nul": "INVALID_FORMAT",
        "": "INVALID_FORMAT",
        "empty": "REQUIRED",
        "list[0]": "REQUIRED",
    }


def test_faults_are_bounded() -> None:
    assert len(plain(struct({"a": [math.nan] * 1000}))[2]) == FAULTS


@pytest.mark.parametrize("key", ["a.b", "", "ключ", "a b"])
def test_keys_may_be_anything_else(key: str) -> None:
    assert plain(struct({key: 1}))[0] == {key: 1}
