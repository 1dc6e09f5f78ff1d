"""A Struct as JSON with sorted keys: the same bytes as orjson's, or nothing."""

from typing import Any

import orjson
import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from fastpath import canonical
from fastpath.pure import canonical as pure_canonical
from fastpath.structs import read_struct
from tests.unit.fastpath.test_structs import PLAIN_TEXT, VALUES, nested, struct
from tests.unit.fastpath.twins import THOROUGH

TWINS = [pytest.param(canonical.Canonical(), id="native"), pytest.param(pure_canonical.Canonical(), id="pure")]
NATIVE, PURE = canonical.Canonical(), pure_canonical.Canonical()


def wire_of(values: dict[str, Any]) -> bytes:
    return struct(values).SerializeToString()


def entry(key: bytes, value: bytes) -> bytes:
    """A field of a Struct, from its key and the bytes of its Value."""
    inner = b"\n" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value
    return b"\n" + bytes([len(inner)]) + inner


@pytest.mark.parametrize("writer", TWINS)
class TestOne:
    """What each of the two does."""

    def test_values_of_every_kind(self, writer: Any) -> None:
        values = {"z": None, "yes": True, "no": False, "ü": "ä\u2028🙂", "": "", "o": {"l": [1.5, "a", [], {}], "a": -3}}
        assert writer.write(wire_of(values)) == orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        assert writer.write(b"") == b"{}"

    def test_numbers_are_written_as_orjson_writes_them(self, writer: Any) -> None:
        numbers = {"a": 3.0, "b": -0.0, "c": 2.0**53, "d": 2.0**53 + 2, "e": -1e300, "f": 0.1, "g": -(2.0**53), "h": 5e-324}
        wire = wire_of(numbers)
        assert writer.write(wire) == orjson.dumps(read_struct(wire), option=orjson.OPT_SORT_KEYS)
        assert b'"b":0,"c":9007199254740992,"d":9007199254740994.0' in writer.write(wire)

    def test_every_character_below_space_and_the_others_that_json_escapes(self, writer: Any) -> None:
        values = {chr(code) + '"\\/': f"a{chr(code)}b\x7f\"\\'" for code in range(1, 32)}
        assert writer.write(wire_of(values)) == orjson.dumps(values, option=orjson.OPT_SORT_KEYS)

    @pytest.mark.parametrize("count", [2, 12, 13, 1000])
    def test_keys_are_sorted_by_code_point(self, writer: Any, count: int) -> None:
        keys = [key for i in range(count) for key in (f"k{i}", f"k{i}é", f"\uffff{i}", f"🙂{i}")][:count]
        values = dict.fromkeys(reversed(keys), True)
        assert writer.write(wire_of(values)) == orjson.dumps(values, option=orjson.OPT_SORT_KEYS)

    @pytest.mark.parametrize("count", [2, 40])
    def test_a_key_that_stands_twice_needs_a_closer_look(self, writer: Any, count: int) -> None:
        entries = [entry(b"k%d" % i, b"\x08\x00") for i in range(count)]
        assert writer.write(b"".join(entries)) is not None
        assert writer.write(b"".join(entries) + entries[0]) is None

    def test_depth_is_bounded(self, writer: Any) -> None:
        assert writer.write(wire_of(nested(16))) == orjson.dumps(nested(16))
        assert writer.write(wire_of(nested(17))) is None

    def test_size_is_bounded(self, writer: Any) -> None:
        most = 64 * 1024 - len(b'{"k":""}')
        assert writer.write(wire_of({"k": "x" * most})) is not None
        assert writer.write(wire_of({"k": "x" * (most + 1)})) is None
        assert writer.write(wire_of({"k": "\n" * (most // 2 + 1)})) is None
        assert writer.write(wire_of({"k": "x" * 2**20})) is None

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(b"\x1a\x03a\0b", id="NUL"),
            pytest.param(b"\x11\0\0\0\0\0\0\xf8\x7f", id="not a number"),
            pytest.param(b"\x11\0\0\0\0\0\0\xf0\xff", id="infinite"),
            pytest.param(b"", id="no value"),
            pytest.param(b"\x08\x00\x20\x01", id="two values"),
            pytest.param(b"\x20\x02", id="neither true nor false"),
            pytest.param(b"\x1a\x02\xc0\xaf", id="overlong"),
            pytest.param(b"\x1a\x03\xed\xa0\x80", id="a surrogate"),
            pytest.param(b"\x1a\x04\xf4\x90\x80\x80", id="beyond Unicode"),
            pytest.param(b"\x1a\x02\xe2\x82", id="cut off"),
        ],
    )
    def test_what_needs_a_closer_look_is_not_written(self, writer: Any, value: bytes) -> None:
        assert writer.write(entry(b"fine", b"\x20\x01") + entry(b"odd", value)) is None
        if value[:1] == b"\x1a":
            assert writer.write(entry(value[2:], b"\x20\x01")) is None

    def test_what_is_required_must_be_there_and_not_null(self, writer: Any) -> None:
        wire = wire_of({"b": 1, "a": "", "none": None, "ü": {}})
        assert writer.write(wire, frozenset({"a", "b", "ü"})) is not None
        assert writer.write(wire, frozenset({"a", "c"})) is None
        assert writer.write(wire, frozenset({"none"})) is None
        assert writer.write(wire_of({"b": {"a": 1}}), frozenset({"a"})) is None
        assert writer.write(b"", frozenset({"a"})) is None

    def test_a_struct_of_many_objects_can_be_followed_by_another(self, writer: Any) -> None:
        values = {f"k{i}": {f"l{j}": {"m": [{"n": j}]} for j in range(30)} for i in range(30)}
        for _ in range(2):
            assert writer.write(wire_of(values)) == orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        assert writer.write(wire_of({"a": 1})) == b'{"a":1}'


@THOROUGH
@given(st.dictionaries(PLAIN_TEXT, VALUES, max_size=20), st.frozensets(PLAIN_TEXT, max_size=2))
def test_both_write_what_orjson_writes(values: dict[str, Any], required: frozenset[str]) -> None:
    wire = wire_of(values)
    expected = orjson.dumps(read_struct(wire), option=orjson.OPT_SORT_KEYS)
    assert NATIVE.write(wire) == PURE.write(wire) == expected
    some = required | frozenset(list(values)[:2])
    assert NATIVE.write(wire, some) == PURE.write(wire, some)


@THOROUGH
@given(st.binary(max_size=60), st.dictionaries(PLAIN_TEXT, VALUES, max_size=3), st.integers(0, 500), st.binary(max_size=4))
def test_damaged_bytes_are_written_alike_or_not_at_all(junk: bytes, values: dict[str, Any], at: int, patch: bytes) -> None:
    wire = wire_of(values)
    at %= len(wire) + 1
    for damaged in (junk, wire[:at], wire[:at] + patch + wire[at + len(patch) :]):
        found = NATIVE.write(damaged)
        assert found == PURE.write(damaged)
        if found is not None:
            struct_pb2.Struct.FromString(damaged)
