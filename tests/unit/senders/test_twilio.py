"""Twilio's form and replies, without a network."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.http.response import Response

from core.model import ErrorClass, Part
from core.settings import Settings
from senders.twilio import Form, answer_of
from tests.unit.senders.kit import NOW, delivery, message

SETTINGS = Settings(web_public_url="https://t.example/a", twilio={"from_number": "+15005550006"})


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
)
def test_the_form_says_what_was_meant(address: str, text: str) -> None:
    item = message(delivery(address, {Part.TEXT: text}))
    assert parse_qsl(Form(SETTINGS).of(item, text).decode(), keep_blank_values=True) == [
        ("To", address),
        ("Body", text),
        ("From", "+15005550006"),
        ("StatusCallback", f"https://t.example/a/webhooks/twilio?n={item.id}"),
    ]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (201, '{"sid": "SM1", "status": "queued"}', (ErrorClass.NONE, "SM1", "queued", "")),
        (201, "not JSON", (ErrorClass.NONE, "", "", "")),  # taken all the same: a second attempt would be a second SMS
        (400, '{"code": 21211, "message": "no number: +4915"}', (ErrorClass.PERMANENT, "", "21211", "no number: [address]")),
        (503, "<html>", (ErrorClass.TEMPORARY, "", "503", "HTTP 503")),
        (429, "[1]", (ErrorClass.THROTTLED, "", "429", "HTTP 429")),
        (302, "", (ErrorClass.PERMANENT, "", "302", "HTTP 302")),
    ],
)
def test_replies(status: int, body: str, expected: tuple[ErrorClass, str, str, str]) -> None:
    answer = answer_of(Response(status, body, {}), "+4915", "a" * 161, NOW)
    assert (answer.error_class, answer.provider_id, answer.code, answer.reason) == expected
    assert answer.units == (2 if answer.error_class is ErrorClass.NONE else 0)
