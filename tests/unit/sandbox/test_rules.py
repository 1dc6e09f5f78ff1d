"""What the simulated providers refuse, one line for each rule of their public references."""

from typing import Any

import pytest

from tidings.sandbox import apns_rules, fcm_rules, sendgrid_rules, twilio
from tidings.sandbox.credentials import APNS_TOPIC, FROM_NUMBER


def mail(**changes: Any) -> dict[str, Any]:
    body = {
        "personalizations": [{"to": [{"email": "ada@example.com"}], "custom_args": {"tidings_id": "x"}}],
        "from": {"email": "news@shop.example", "name": "Shop"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi"}, {"type": "text/html", "value": "<p>Hi"}],
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def one(**changes: Any) -> list[dict[str, Any]]:
    return [{"to": [{"email": "ada@example.com"}], **changes}]


def test_sendgrid_takes_what_is_right() -> None:
    assert sendgrid_rules.check(mail()) == []
    many = [{"to": [{"email": f"{n}@example.com"}], "subject": "S"} for n in range(1000)]
    assert sendgrid_rules.check(mail(personalizations=many, subject=None)) == []


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ([], None, "Bad Request"),
        (mail(personalizations=None), "personalizations", "required"),
        (mail(personalizations=[]), "personalizations", "at least one"),
        (mail(personalizations=one() * 1001), "personalizations", "limited to 1000"),
        (mail(personalizations=[{"to": [{"email": f"{i}{j}@a.example"} for j in range(11)]} for i in range(100)]),
         "personalizations", "1000 total recipients"),
        (mail(personalizations=[{}]), "personalizations.0.to", "The to array is required"),
        (mail(personalizations=[*one(), {"to": [{"email": "ada@"}]}]), "personalizations.1.to.0.email", "valid address"),
        (mail(personalizations=one(cc=[{"email": "ADA@example.com"}])), "personalizations.0", "unique"),
        (mail(personalizations=one(substitutions={"-a-": "x" * 10_000})), "personalizations.0.substitutions", "10000 bytes"),
        (mail(personalizations=one(substitutions={"-a-": 1})), "personalizations.0.substitutions", "strings"),
        (mail(personalizations=one(custom_args={"a": 1})), "personalizations.0.custom_args", "strings"),
        (mail(personalizations=one(custom_args={"a": "x" * 10_000})), "custom_args", "10000 bytes"),
        (mail(personalizations=one(headers={"Subject": "x"})), "personalizations.0.headers", "reserved"),
        (mail(headers={"X-A": "a\r\nBcc: eve@example.com"}), "headers", "line breaks"),
        (mail(**{"from": None}), "from.email", "from object must be provided"),
        (mail(**{"from": {"email": "news"}}), "from.email", "valid address"),
        (mail(**{"from": {"email": "nüws@shop.example"}}), "from.email", "valid address"),
        (mail(subject=None), "subject", "subject is required"),
        (mail(content=None), "content", "content parameter is required"),
        (mail(content=[{"type": "text/html", "value": ""}]), "content.0.value", "at least one character"),
        (mail(content=[{"value": "x"}]), "content.0.type", "at least one character"),
        (mail(content=[{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]), "content", "first"),
        (mail(categories=["a", "a"]), "categories", "unique"),
    ],
)  # fmt: skip
def test_sendgrid_refuses(body: object, field: str | None, words: str) -> None:
    errors = sendgrid_rules.check(body)
    assert [error["field"] for error in errors] == [field]
    assert words in str(errors[0]["message"])
    assert field is None or str(errors[0]["help"]).startswith("http://sendgrid.com/docs/")


def test_sendgrid_substitutes_plain_text() -> None:
    assert sendgrid_rules.substitute("Hello -name-, -name-!", {"-name-": "<Ada>"}) == "Hello <Ada>, <Ada>!"


def sms(**changes: str) -> dict[str, str]:
    form = {"To": "+4915112345678", "From": FROM_NUMBER, "Body": "Hi", "StatusCallback": "http://127.0.0.1:8080/w?n=1"}
    return {name: value for name, value in {**form, **changes}.items() if value}


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (sms(), None),
        (sms(To=""), 21604),
        (sms(From=""), 21603),
        (sms(To="0171 2345"), 21211),
        (sms(To=FROM_NUMBER), 21266),
        (sms(From="+4930123456"), 21606),
        (sms(Body=""), 21602),
        (sms(Body="x" * 1601), 21617),
        (sms(StatusCallback="ftp://a.example/x"), 21609),
        (sms(StatusCallback="http://under_score.example/x"), 21609),
        (sms(ValidityPeriod="0"), 30410),
    ],
)
def test_twilio_refuses(form: dict[str, str], code: int | None) -> None:
    wrong = twilio.check(form)
    assert (wrong[0] if wrong else None) == code


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1), ("a" * 160, 1), ("a" * 161, 2), ("€" * 80, 1), ("€" * 81, 2),
        ("я" * 70, 1), ("я" * 71, 2), ("😀" * 35, 1), ("😀" * 36, 2),
    ],
)  # fmt: skip
def test_twilio_counts_segments(text: str, count: int) -> None:
    assert twilio.segments(text) == count


def push(**changes: Any) -> dict[str, Any]:
    message = {"token": "token-of-ada", "notification": {"title": "T", "body": "B"}, "data": {"a": "1"}, **changes}
    return {"message": {name: value for name, value in message.items() if value is not None}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "Invalid JSON payload"),
        ({}, "invalid argument"),
        ({**push(), "extra": 1}, 'Unknown name "extra"'),
        (push(extra=1), "Unknown name \"extra\" at 'message'"),
        (push(notification={"titel": "x"}), "Unknown name \"titel\" at 'message.notification'"),
        (push(token=None), "Recipient of the message is not set"),
        (push(topic="news"), "already set"),
        (push(token="a b"), "not a valid FCM registration token"),
        (push(data={"a": 1}), "TYPE_STRING"),
        (push(data={"from": "x"}), "invalid argument"),
        (push(data={"google.x": "x"}), "invalid argument"),
        (push(data={"a": "x" * 4096}), "invalid argument"),
        (push(android={"ttl": "1 day"}), "android.ttl"),
        (push(android={"ttl": "2419201s"}), "android.ttl"),
        (push(android={"priority": "urgent"}), "android.priority"),
    ],
)
def test_fcm_refuses(body: object, words: str) -> None:
    wrong = fcm_rules.check(body)
    assert wrong is not None
    assert (wrong["error"]["code"], wrong["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in wrong["error"]["message"]


def test_fcm_takes_what_is_right() -> None:
    assert fcm_rules.check(push()) is None
    assert fcm_rules.check(push(token=None, fid="fid-of-ada", android={"ttl": "3600s", "priority": "HIGH"})) is None


def head(**changes: str) -> dict[str, str]:
    headers = {":method": "POST", ":path": "/3/device/" + "ab" * 32, "apns-topic": APNS_TOPIC, "apns-push-type": "alert"}
    given = {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in {**headers, **given}.items() if value}


GOOD = b'{"aps":{"alert":"x"}}'


@pytest.mark.parametrize(
    ("headers", "payload", "reason"),
    [
        (head(), GOOD, None),
        (head(apns_priority="5", apns_expiration="0", apns_id="018f2f6e-0000-7000-8000-000000000000"), GOOD, None),
        (head() | {":path": "/3/device/"}, GOOD, "MissingDeviceToken"),
        (head() | {":path": "/3/device/xyz"}, GOOD, "BadDeviceToken"),
        (head(apns_id="7"), GOOD, "BadMessageId"),
        (head(apns_expiration="soon"), GOOD, "BadExpirationDate"),
        (head(apns_priority="7"), GOOD, "BadPriority"),
        (head(apns_collapse_id="x" * 65), GOOD, "BadCollapseId"),
        (head(apns_push_type="loud"), GOOD, "InvalidPushType"),
        (head(apns_topic=""), GOOD, "MissingTopic"),
        (head(apns_topic="com.example.other"), GOOD, "TopicDisallowed"),
        (head(), b"", "PayloadEmpty"),
        (head(), b"{", "PayloadEmpty"),
        (head(), b'{"x":1}', "PayloadEmpty"),
        (head(), b'{"aps":{"alert":"' + b"x" * 4096 + b'"}}', "PayloadTooLarge"),
    ],
)
def test_apns_refuses(headers: dict[str, str], payload: bytes, reason: str | None) -> None:
    assert apns_rules.check(headers, payload) == reason
    assert reason is None or apns_rules.STATUS[reason] >= 400


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(":method", "POST"), (":path", "/3/device/ab")], None),
        ([(":method", "GET"), (":path", "/3/device/ab")], "MethodNotAllowed"),
        ([(":method", "POST"), (":path", "/2/device/ab")], "BadPath"),
        ([(":method", "POST"), (":path", "/3/device/ab"), ("apns-id", "1"), ("apns-id", "2")], "DuplicateHeaders"),
    ],
)
def test_apns_looks_at_the_request_before_the_token(headers: list[tuple[str, str]], reason: str | None) -> None:
    assert apns_rules.check_head(headers) == reason
