"""Page tokens come back as they went out, and nothing else comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import pages
from gateway.validate import Faults


@given(st.binary(min_size=16, max_size=16))
def test_an_id_comes_back(last: bytes) -> None:
    faults = Faults()
    assert pages.read_id(pages.INBOX, pages.token(pages.INBOX, last), faults) == last and not faults


def test_a_name_comes_back() -> None:
    faults = Faults()
    assert pages.read_name(pages.TEMPLATES, pages.token(pages.TEMPLATES, b"a" * 128), faults) == "a" * 128 and not faults
    assert pages.read_name(pages.TEMPLATES, "", faults) == "" and not faults


@pytest.mark.parametrize(
    "text",
    ["x", "aaaa", "ä", "====", " ", pages.token(pages.TEMPLATES, b"a" * 16), pages.token(pages.INBOX, b"a" * 15), "a" * 300],
)
def test_what_is_no_token_of_this_list(text: str) -> None:
    faults = Faults()
    assert pages.read_id(pages.INBOX, text, faults) == b""
    assert [fault.field for fault in faults] == ["page_token"]


def test_a_name_is_text() -> None:
    faults = Faults()
    assert pages.read_name(pages.TEMPLATES, pages.token(pages.TEMPLATES, b"\xff\xfe"), faults) == ""
    assert faults
