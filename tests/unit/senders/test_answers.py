"""Providers' codes as a table, and what may be kept of their words."""

import pytest

from core.model import ErrorClass
from senders import answers

T, Q, P, U, M = (
    ErrorClass.TEMPORARY,
    ErrorClass.THROTTLED,
    ErrorClass.PERMANENT,
    ErrorClass.UNREGISTERED,
    ErrorClass.MISCONFIGURED,
)


@pytest.mark.parametrize(
    ("table", "code", "status", "expected"),
    [
        (answers.SENDGRID, "", 400, P),
        (answers.SENDGRID, "", 401, M),
        (answers.SENDGRID, "", 403, M),
        (answers.SENDGRID, "", 413, P),
        (answers.SENDGRID, "", 429, Q),
        (answers.SENDGRID, "", 500, T),
        (answers.SENDGRID, "", 503, T),
        (answers.TWILIO, "21211", 400, P),
        (answers.TWILIO, "21610", 400, U),
        (answers.TWILIO, "21611", 400, Q),
        (answers.TWILIO, "21606", 400, M),
        (answers.TWILIO, "20003", 401, M),
        (answers.TWILIO, "20429", 429, Q),
        (answers.TWILIO, "99999", 400, P),  # one that nobody knows yet
        (answers.TWILIO, "99999", 502, T),
        (answers.FCM, "UNREGISTERED", 404, U),
        (answers.FCM, "INVALID_ARGUMENT", 400, P),
        (answers.FCM, "QUOTA_EXCEEDED", 429, Q),
        (answers.FCM, "UNAVAILABLE", 503, T),
        (answers.FCM, "SENDER_ID_MISMATCH", 403, P),
        (answers.FCM, "UNAUTHENTICATED", 401, M),
        (answers.FCM, "503", 503, T),
        (answers.APNS, "Unregistered", 410, U),
        (answers.APNS, "BadDeviceToken", 400, P),
        (answers.APNS, "ExpiredProviderToken", 403, M),
        (answers.APNS, "TooManyRequests", 429, Q),
        (answers.APNS, "IdleTimeout", 400, T),
        (answers.APNS, "ServiceUnavailable", 503, T),
        (answers.APNS, "418", 418, P),
        (answers.TWILIO, "", 401, M),  # no code of its own
        (answers.FCM, "", 403, M),
    ],
)
def test_http_answers(table: dict[str, ErrorClass], code: str, status: int, expected: ErrorClass) -> None:
    assert answers.of_http(table, code, status) is expected


@pytest.mark.parametrize(
    ("reply", "enhanced", "expected"),
    [
        (421, "", T),
        (450, "4.2.0", T),
        (451, "4.3.2", Q),
        (452, "", T),
        (550, "5.1.1", U),
        (550, "", P),
        (552, "5.2.2", P),
        (535, "5.7.8", M),
        (530, "", M),
        (554, "5.7.1", P),
    ],
)
def test_smtp_replies(reply: int, enhanced: str, expected: ErrorClass) -> None:
    assert answers.of_smtp(reply, enhanced) is expected


def test_words_hold_no_address_and_one_line() -> None:
    told = "The 'To' number +4915112345678 is\nnot valid; ada@example.org, token abc:def " + "x" * 1000
    kept = answers.words(told, "abc:def")
    assert "4915" not in kept
    assert "ada@" not in kept
    assert "abc:def" not in kept
    assert "\n" not in kept
    assert len(kept) == answers.WORDS_MAX


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0),
        ("", 0),
        ("soon", 0),
        ("0", 0),
        ("7", 7000),
        ("1.5", 1500),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10_000),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0),
        ("999999999", answers.RETRY_AFTER_MAX_MS),
    ],
)
def test_retry_after(value: str | None, expected: int) -> None:
    assert answers.retry_after_ms(value, 1_700_000_000_000) == expected  # Tue, 14 Nov 2023 22:13:20 GMT
