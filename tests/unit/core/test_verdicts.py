"""Verdicts come back as they were, in few characters that any column of text takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.verdicts import pack, unpack

OWN = st.sampled_from(["", "recipient", "stored", "failed", "cancelled"])
WORD = st.one_of(OWN, st.text(st.characters(exclude_categories=["Cs"])))


@given(st.lists(st.tuples(WORD, WORD, WORD)))
def test_any_words_come_back(verdicts: list[tuple[str, str, str]]) -> None:
    packed = pack(*verdicts)
    assert b"\0" not in packed
    assert unpack(packed.decode()) == tuple(verdicts)


def test_a_usual_decision_is_a_few_characters_and_they_never_change() -> None:
    usual = ("recipient", "stored", ""), ("route", "email", "requested"), ("language", "de", "de-AT")
    assert pack(*usual) == b'bdaglhp"de""de-AT"'
    assert pack(("overload", "suppressed", "cancelled")) == b"yzB"


def test_verdicts_from_before_are_read() -> None:
    assert unpack('[["recipient","stored",""],["route","sms,email","codes"]]') == (
        ("recipient", "stored", ""),
        ("route", "sms,email", "codes"),
    )


@pytest.mark.parametrize("packed", ["bd", "bda!", 'bd"', "[1]", "["])
def test_what_is_neither_is_an_error(packed: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        unpack(packed)
