"""Single values: what is accepted, in which normal form, and what is refused why."""

import email_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import fields
from gateway.fields import Bad
from tidings.v1.types_pb2 import ErrorReason


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ada.lovelace+news@mail.example.co.uk", "ada.lovelace+news@mail.example.co.uk"),
        ("Ada@Example.COM", "Ada@example.com"),
        ("ada@exämple.com", "ada@xn--exmple-cua.com"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("ada@intranet.local", "ada@intranet.local"),
        ("ada@shop.test", "ada@shop.test"),
        ("Postmaster@example.com", "postmaster@example.com"),
    ],
)
def test_email_in_normal_form(text: str, normal: str) -> None:
    assert fields.email(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "ada@example",
        "ada@example.invalid",
        "ada@@example.com",
        "a..b@example.com",
        ".a@example.com",
        "ada@-example.com",
        "ada@ex--ample.com",
        "ada@example.123",
        "ada@[127.0.0.1]",
        '"a b"@example.com',
        "Ada <ada@example.com>",
        "ada@example.com\nBcc: eve@example.com",
        "ada@example.com\r",
        "ada@exa mple.com",
        "ädä@example.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 250 + ".com",
        "ada@example.com\u2028",
    ],
)
def test_what_is_no_email(text: str) -> None:
    with pytest.raises(Bad) as caught:
        fields.email(text)
    expected = ErrorReason.ERROR_REASON_TOO_LARGE if len(text) > 254 else ErrorReason.ERROR_REASON_INVALID_EMAIL
    assert caught.value.reason == expected


LABEL = st.text("abc019-", min_size=1, max_size=8)


@given(
    st.text("ab09_+-.", min_size=1, max_size=66),
    st.lists(LABEL, min_size=1, max_size=4),
    st.text("abcde", min_size=1, max_size=5),
)
def test_the_cheap_first_look_accepts_only_what_the_validator_accepts_unchanged(
    local: str, labels: list[str], top: str
) -> None:
    text = f"{local}@{'.'.join(labels)}.{top}"
    try:
        found = fields.email(text)
    except Bad:
        return
    assert email_validator.validate_email(text, check_deliverability=False, strict=True).normalized == found


@pytest.mark.parametrize("text", ["+4915112345678", "+15005550006", "+15555550100", "+442079460000", "+390612345678"])
def test_phone(text: str) -> None:
    assert fields.phone(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0171 2345",
        "4915112345678",
        "+49 151 12345678",
        "+1-555-0100",
        "+15550100",
        "+4402079460000",
        "+999123456789",
        "+0123456789",
        "+49151123456789012",
        "+٤٩١٥١١٢٣٤٥٦٧٨",
        "+4915112345678\n",
        "tel:+4915112345678",
    ],
)
def test_what_is_no_phone_number(text: str) -> None:
    with pytest.raises(Bad) as caught:
        fields.phone(text)
    assert caught.value.reason == ErrorReason.ERROR_REASON_INVALID_PHONE


@pytest.mark.parametrize("text", ["Europe/Vienna", "America/Argentina/Buenos_Aires", "UTC"])
def test_timezone(text: str) -> None:
    assert fields.timezone(text) == text


@pytest.mark.parametrize("text", ["", "Europe/Atlantis", "europe/vienna", "CEST", "+02:00", "../../etc/passwd"])
def test_what_is_no_timezone(text: str) -> None:
    with pytest.raises(Bad) as caught:
        fields.timezone(text)
    assert caught.value.reason == ErrorReason.ERROR_REASON_UNKNOWN_TIMEZONE


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("de", "de"),
        ("DE-at", "de-AT"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("de-CH-1996", "de-CH-1996"),
        ("de-u-co-phonebk", "de-u-co-phonebk"),
    ],
)
def test_language_in_its_usual_writing(text: str, normal: str) -> None:
    assert fields.language(text) == normal


@pytest.mark.parametrize(
    "text", ["", "deutsch", "de_AT", "xx", "d", "de-", "-de", "de AT", "de-AT\n", "zz-ZZ", "de" + "-abcdefgh" * 5]
)
def test_what_is_no_language(text: str) -> None:
    with pytest.raises(Bad) as caught:
        fields.language(text)
    assert caught.value.reason == ErrorReason.ERROR_REASON_UNKNOWN_LANGUAGE


@pytest.mark.parametrize("text", ["a\nb", "a\r\nBcc: x", "a\0", "a\x1b[0m", "a\x85b", "a\u2028b", "\u202eabc", "a\tb"])
def test_a_line_cannot_break_a_header(text: str) -> None:
    with pytest.raises(Bad) as caught:
        fields.line(text, 100)
    assert caught.value.reason == ErrorReason.ERROR_REASON_INVALID_FORMAT


def test_a_line_may_be_in_any_script() -> None:
    assert fields.line("Grüße aus Wien, 東京 🙂", 100) == "Grüße aus Wien, 東京 🙂"


@pytest.mark.parametrize("text", [" ada", "ada ", " ", "ada\n"])
def test_an_identifier_has_no_space_around_it(text: str) -> None:
    with pytest.raises(Bad):
        fields.identifier(text)


@pytest.mark.parametrize("text", ["018bcfe5-6800-4001-8000-000000000000", "018bcfe5680070018000000000000000", "x", ""])
def test_what_is_no_id_of_tidings(text: str) -> None:
    with pytest.raises(Bad):
        fields.notification_id(text)


def test_tokens() -> None:
    assert fields.apns_token("AB" * 32) == "ab" * 32
    assert fields.fcm_token("abc:DEF_-1") == "abc:DEF_-1"
    for check, bad in (
        (fields.apns_token, "xy" * 32),
        (fields.apns_token, "abc"),
        (fields.fcm_token, "a b"),
        (fields.fcm_token, "ä"),
    ):
        with pytest.raises(Bad):
            check(bad)


@given(st.text(max_size=100))
def test_what_is_quoted_is_short_and_plain(text: str) -> None:
    assert fields.quote(text).isascii() and fields.quote(text).isprintable()
