from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.errors import FrameError
from fastpath.layout import FIELD
from tests.unit.fastpath.twins import NATIVE, PURE, TEXT, THOROUGH, Implementation, outcome

ARGUMENT = st.one_of(st.binary(max_size=120), TEXT, st.integers(), st.floats())


def parsed(packed: bytes) -> list[Any]:
    """The commands that a server would read."""
    reader = hiredis.Reader()
    reader.feed(packed)
    commands: list[Any] = []
    while (command := reader.gets()) is not False:
        commands.append(command)
    return commands


def test_a_command_is_an_array_of_bulk_strings(fast: Implementation) -> None:
    assert fast.resp.pack_command(("SET", b"k\r\n", "ü", -12, 1.5)) == (
        b"*5\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n\xc3\xbc\r\n$3\r\n-12\r\n$3\r\n1.5\r\n"
    )


def test_lengths_of_one_to_six_digits(fast: Implementation) -> None:
    arguments = [b"x" * size for size in (0, 9, 10, 99, 100, 999, 1000, 123_456)]
    assert parsed(fast.resp.pack_command(arguments)) == [arguments]
    assert parsed(fast.resp.pack_command([b"y"] * 1000)) == [[b"y"] * 1000]


def test_a_pipeline(fast: Implementation) -> None:
    commands = [("XADD", "s", "*", "f", b"1"), ["XDEL", "s", "1-1"]]
    assert parsed(fast.resp.pack_commands(commands)) == [[b"XADD", b"s", b"*", b"f", b"1"], [b"XDEL", b"s", b"1-1"]]
    assert fast.resp.pack_commands([]) == b""


def test_xadd_and_acknowledgement(fast: Implementation) -> None:
    assert parsed(fast.resp.pack_xadd("s", b"frame")) == [[b"XADD", b"s", b"*", FIELD, b"frame"]]
    assert parsed(fast.resp.pack_ack(b"s", "g", ["1-0", b"2-0"])) == [
        [b"XACK", b"s", b"g", b"1-0", b"2-0"],
        [b"XDEL", b"s", b"1-0", b"2-0"],
    ]
    with pytest.raises(ValueError):
        fast.resp.pack_ack("s", "g", [])


@pytest.mark.parametrize("argument", [None, True, [], (), 1j, memoryview(b"")])
def test_refuses_what_redis_has_no_word_for(fast: Implementation, argument: Any) -> None:
    with pytest.raises(TypeError):
        fast.resp.pack_command(("SET", argument))


def test_refuses_an_empty_command(fast: Implementation) -> None:
    for pack in (fast.resp.pack_command, lambda args: fast.resp.pack_commands([args])):
        with pytest.raises(ValueError):
            pack(())


@THOROUGH
@given(st.lists(st.lists(ARGUMENT, min_size=1, max_size=6), max_size=5))
def test_twins_pack_alike(commands: list[list[Any]]) -> None:
    packed = NATIVE.resp.pack_commands(commands)
    assert packed == PURE.resp.pack_commands(commands)
    assert [len(command) for command in parsed(packed)] == [len(command) for command in commands]


ENTRIES = [[b"1-0", [FIELD, b"one"]], [b"1-1", [b"other", b"x", FIELD, b"two"]], [b"1-2", None]]
EXPECTED = [("s", "1-0", b"one"), ("s", "1-1", b"two"), ("s", "1-2", b"")]


def test_reads_entries_of_both_protocols(fast: Implementation) -> None:
    assert fast.resp.read_entries([[b"s", ENTRIES]]) == EXPECTED
    assert fast.resp.read_entries({b"s": ENTRIES, b"t": []}) == EXPECTED
    assert fast.resp.read_entries(None) == []
    assert fast.resp.read_entries([]) == []


@pytest.mark.parametrize(
    "reply",
    [
        b"OK",
        5,
        [b"s"],
        [[b"s"]],
        [[b"s", 1]],
        [[1, []]],
        [[b"s", [b"1-0"]]],
        [[b"s", [[b"1-0"]]]],
        [[b"s", [[b"1-0", []]]]],
        [[b"s", [[b"1-0", [FIELD]]]]],
        [[b"s", [[b"1-0", [b"x", b"y"]]]]],
        [[b"s", [["1-0", [FIELD, b"y"]]]]],
        [[b"s", [[b"1-0", [FIELD, "y"]]]]],
        [[b"\xff", [[b"1-0", [FIELD, b"y"]]]]],
    ],
)
def test_another_reply_is_a_frame_error(fast: Implementation, reply: Any) -> None:
    with pytest.raises(FrameError):
        fast.resp.read_entries(reply)


LEAVES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from([b"s", b"1-0", FIELD, b"frame", b"\xff"]))
REPLIES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=12)


@THOROUGH
@given(REPLIES)
def test_twins_read_alike(reply: Any) -> None:
    assert outcome(NATIVE.resp.read_entries, reply) == outcome(PURE.resp.read_entries, reply)
    wrapped = [[b"s", [[b"1-0", reply]]]]
    assert outcome(NATIVE.resp.read_entries, wrapped) == outcome(PURE.resp.read_entries, wrapped)
