"""The two implementations side by side, and values that hypothesis makes for them."""

import dataclasses
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from fastpath import layout


@dataclass(frozen=True)
class Implementation:
    """The modules of one of the two. Any: the twin's types are its own, the .pyi files are the native ones'."""

    records: Any
    router: Any
    dedupe: Any
    render: Any
    resp: Any
    books: Any
    claims: Any
    forward: Any
    planner: Any
    rows: Any


def _of(package: str) -> Implementation:
    return Implementation(*(import_module(f"{package}.{field.name}") for field in dataclasses.fields(Implementation)))


NATIVE, PURE = _of("fastpath"), _of("fastpath.pure")

# No deadline: tests assert behaviour, never time.
THOROUGH = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

ID = bytes(range(16))
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
KINDS = st.sampled_from(sorted(layout.STRINGS))


def numbers(name: str) -> st.SearchStrategy[int]:
    """Every number that fits a slot."""
    _, width, signed = layout.SLOTS[name]
    bits = 8 * width
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


@st.composite
def fields(draw: st.DrawFn, kind: int) -> dict[str, Any]:
    """Some fields of a kind with values that fit."""
    settable = [name for name in layout.SLOTS if name not in ("length", "kind")]
    chosen = draw(st.lists(st.sampled_from([*settable, *layout.STRINGS[kind]]), unique=True))
    return {
        name: draw(numbers(name) if name in layout.SLOTS else st.binary(max_size=40) if name in layout.BLOBS else TEXT)
        for name in chosen
    }


def outcome(call: Any, *arguments: Any, **named: Any) -> Any:
    """What a call gives, or the type of what it raises: for comparing the two."""
    try:
        return call(*arguments, **named)
    except Exception as error:
        return type(error)
