"""A Struct read from its bytes: the same values as by protobuf's own objects, or nothing."""

import math
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from fastpath import structs
from fastpath.pure import structs as pure_structs
from tests.unit.fastpath.twins import TEXT, THOROUGH

TWINS = [pytest.param(structs.read_struct, id="native"), pytest.param(pure_structs.read_struct, id="pure")]
PLAIN_TEXT = TEXT.filter(lambda text: "\0" not in text)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT, inner, max_size=4),
    max_leaves=20,
)


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    """The message; built by hand, as Struct.update takes a shorter way with some values."""
    return json_format.ParseDict({}, struct_pb2.Struct()) if not values else _filled(values)


def _filled(values: dict[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(values)
    return message


def nested(levels: int) -> dict[str, Any]:
    """An object of so many levels, lists and objects by turns."""
    inner: Any = "x"
    for level in range(levels - 1):
        inner = [inner] if level % 2 else {"k": inner}
    return {"k": inner}


@pytest.mark.parametrize("read_struct", TWINS)
class TestOne:
    """What each of the two does."""

    def test_values_of_every_kind(self, read_struct: Any) -> None:
        values = {"none": None, "yes": True, "no": False, "text": "ü", "": "", "o": {"l": [1.5, "a", [], {}]}}
        assert read_struct(struct(values).SerializeToString()) == values

    def test_whole_numbers_are_ints_as_long_as_they_are_exact(self, read_struct: Any) -> None:
        numbers = {"a": 3.0, "b": -0.0, "c": 2.0**53, "d": 2.0**53 + 2, "e": -1e300, "f": 0.1}
        found = read_struct(struct(numbers).SerializeToString())
        assert {name: repr(number) for name, number in found.items()} == {
            "a": "3",
            "b": "0",
            "c": "9007199254740992",
            "d": "9007199254740994.0",
            "e": "-1e+300",
            "f": "0.1",
        }

    def test_long_texts_have_lengths_of_several_bytes(self, read_struct: Any) -> None:
        values = {"k" * 200: "v" * 70_000}
        assert read_struct(struct(values).SerializeToString()) == values

    def test_depth_is_bounded(self, read_struct: Any) -> None:
        assert read_struct(struct(nested(16)).SerializeToString()) == nested(16)
        assert read_struct(struct(nested(17)).SerializeToString()) is None

    @pytest.mark.parametrize("value", ["a\0b", math.nan, math.inf, -math.inf])
    def test_what_needs_a_closer_look_is_not_read(self, read_struct: Any, value: Any) -> None:
        assert read_struct(struct({"fine": 1, "odd": [value]}).SerializeToString()) is None

    def test_a_nul_in_a_key_needs_a_closer_look(self, read_struct: Any) -> None:
        assert read_struct(struct({"a\0b": "c"}).SerializeToString()) is None

    def test_a_value_of_no_kind_needs_a_closer_look(self, read_struct: Any) -> None:
        message = struct_pb2.Struct()
        message.fields["empty"].SetInParent()
        assert read_struct(message.SerializeToString()) is None

    def test_text_that_is_not_utf8_needs_a_closer_look(self, read_struct: Any) -> None:
        wire = struct({"key": "text"}).SerializeToString().replace(b"text", b"t\xfft!")
        assert read_struct(wire) is None


@THOROUGH
@given(st.dictionaries(PLAIN_TEXT, VALUES, max_size=5))
def test_both_read_what_protobuf_reads(values: dict[str, Any]) -> None:
    message = struct(values)
    wire = message.SerializeToString()
    found = structs.read_struct(wire)
    assert found == pure_structs.read_struct(wire)
    assert found == json_format.MessageToDict(message)


@THOROUGH
@given(st.binary(max_size=60), st.dictionaries(PLAIN_TEXT, VALUES, max_size=3), st.integers(0, 500), st.binary(max_size=4))
def test_damaged_bytes_are_read_alike_or_not_at_all(junk: bytes, values: dict[str, Any], at: int, patch: bytes) -> None:
    wire = struct(values).SerializeToString()
    at %= len(wire) + 1
    for damaged in (junk, wire[:at], wire[:at] + patch + wire[at + len(patch) :]):
        found = structs.read_struct(damaged)
        assert repr(found) == repr(pure_structs.read_struct(damaged))
