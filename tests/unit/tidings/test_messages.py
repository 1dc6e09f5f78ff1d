"""Plain Python to messages: words, data, times, and the refusals that need no server."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from tidings import messages
from tidings.errors import InvalidRequest
from tidings.v1 import admin_pb2, types_pb2

MINIMAL: messages.NotificationFields = {"type": "hello", "template": "hello", "recipient": "u1"}


def violation(fields: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        messages.notification(fields)  # type: ignore[arg-type]
    (fault,) = caught.value.violations
    assert caught.value.code == "INVALID_ARGUMENT"
    assert fault.description in str(caught.value)
    return fault.field, fault.reason


def test_every_field_arrives() -> None:
    moment = datetime(2024, 12, 19, 11, 45, tzinfo=timezone(timedelta(hours=1)))
    made = messages.notification(
        {
            "type": "order_confirmation",
            "template": "order_confirmation",
            "recipient": {
                "recipient_id": "u1",
                "email": "ada@example.com",
                "phone": "+4915112345678",
                "devices": [("fcm", "t1"), ("apns", "t2")],
                "language": "de-AT",
                "timezone": "Europe/Vienna",
            },
            "data": {"total": 99.99, "items": [{"n": 1}], "paid": True, "note": None, "at": moment},
            "priority": "high",
            "notification_class": "promotional",
            "channels": ["in_app", "email"],
            "template_version": 3,
            "source": "shop",
            "created_at": moment,
            "expires_at": moment,
            "idempotency_key": "k",
            "dedupe_window": 90,
        }
    )
    assert MessageToDict(made, preserving_proto_field_name=True) == {
        "type": "order_confirmation",
        "template": "order_confirmation",
        "recipient": {
            "recipient_id": "u1",
            "email": "ada@example.com",
            "phone": "+4915112345678",
            "devices": [{"platform": "PLATFORM_FCM", "token": "t1"}, {"platform": "PLATFORM_APNS", "token": "t2"}],
            "language": "de-AT",
            "timezone": "Europe/Vienna",
        },
        "data": {"total": 99.99, "items": [{"n": 1.0}], "paid": True, "note": None, "at": "2024-12-19T11:45:00+01:00"},
        "priority": "PRIORITY_HIGH",
        "notification_class": "NOTIFICATION_CLASS_PROMOTIONAL",
        "channels": ["CHANNEL_IN_APP", "CHANNEL_EMAIL"],
        "template_version": 3,
        "source": "shop",
        "created_at": "2024-12-19T10:45:00Z",
        "expires_at": "2024-12-19T10:45:00Z",
        "idempotency_key": "k",
        "dedupe_window": "90s",
    }


def test_a_string_is_a_stored_recipient_and_the_defaults_stay_unset() -> None:
    made = messages.notification(MINIMAL)
    assert made.recipient == types_pb2.Recipient(recipient_id="u1")
    assert made.priority == types_pb2.PRIORITY_UNSPECIFIED
    assert not made.HasField("data")


def test_each_notification_has_an_idempotency_key_of_its_own() -> None:
    keys = {messages.notification(MINIMAL).idempotency_key for _ in range(10)}
    assert len(keys) == 10
    assert all(keys)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"priority": "urgent"}, ("notification.priority", "unknown_value")),
        ({"priority": "unspecified"}, ("notification.priority", "unknown_value")),
        ({"notification_class": "spam"}, ("notification.notification_class", "unknown_value")),
        ({"channels": ["email", "fax"]}, ("notification.channels[1]", "unknown_value")),
        ({"recipient": {"devices": [("wns", "t")]}}, ("notification.recipient.devices[0].platform", "unknown_value")),
        ({"data": {"when": {1, 2}}}, ("notification.data.when", "invalid_format")),
        ({"data": {"a": [1.0, math.nan]}}, ("notification.data.a[1]", "invalid_format")),
        ({"data": {"a": b"bytes"}}, ("notification.data.a", "invalid_format")),
        ({"expires_at": datetime(2030, 1, 1)}, ("notification.expires_at", "invalid_format")),
        ({"chanels": ["email"]}, ("notification.chanels", "unknown_value")),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_field(change: dict[str, Any], expected: tuple[str, str]) -> None:
    assert violation({**MINIMAL, **change}) == expected


def test_a_missing_field_is_named() -> None:
    assert violation({"type": "hello", "recipient": "u1"}) == ("notification.template", "required")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _JSON, max_size=4))
def test_whatever_json_says_survives_as_a_struct(data: dict[str, Any]) -> None:
    assert MessageToDict(messages.struct(data)) == json.loads(json.dumps(data))


def test_a_template_is_told_by_channel_and_language() -> None:
    made = messages.template(
        "hello",
        {
            "email": {"en": {"subject": "Hi {{ name }}", "text": "..."}, "de-AT": {"subject": "Servus", "text": "..."}},
            "push": {"en": {"title": "Hi", "body": "...", "data": {"screen": "home"}}},
        },
        "en",
        ["name", "note?"],
    )
    assert [(v.name, v.required) for v in made.variables] == [("name", True), ("note", False)]
    assert [(c.channel, c.language) for c in made.contents] == [
        (types_pb2.CHANNEL_EMAIL, "en"),
        (types_pb2.CHANNEL_EMAIL, "de-AT"),
        (types_pb2.CHANNEL_PUSH, "en"),
    ]
    assert dict(made.contents[2].data) == {"screen": "home"}


@pytest.mark.parametrize(
    ("contents", "field"),
    [
        ({"fax": {"en": {"text": "x"}}}, "template.contents.fax"),
        ({"email": {"en": {"titel": "x"}}}, "template.contents.email.en.titel"),
    ],
)
def test_a_template_with_a_wrong_word_is_refused(contents: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages.template("hello", contents, "en", [])
    assert caught.value.violations[0].field == field


def test_times_are_moments() -> None:
    made = messages.notification({**MINIMAL, "expires_at": datetime(2030, 1, 1, tzinfo=UTC)})
    assert made.expires_at.ToDatetime(tzinfo=UTC) == datetime(2030, 1, 1, tzinfo=UTC)


def test_a_filter_of_dead_letters() -> None:
    since = datetime(2030, 1, 1, tzinfo=UTC)
    made = messages.letter_filter({"channels": ["sms"], "error_classes": ["poison"], "after": since, "keys": ["k"], "limit": 3})
    assert (list(made.channels), list(made.error_classes)) == ([types_pb2.CHANNEL_SMS], [admin_pb2.ERROR_CLASS_POISON])
    assert (made.after.ToDatetime(tzinfo=UTC), made.HasField("before")) == (since, False)
    assert (list(made.keys), made.limit, made.type) == (["k"], 3, "")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"channels": ["sms", "fax"]}, "filter.channels[1]"),
        ({"error_classes": ["bad"]}, "filter.error_classes[0]"),
        ({"limit": -1}, "filter.limit"),
        ({"before": datetime(2030, 1, 1)}, "filter.before"),
        ({"chanels": ["sms"]}, "filter.chanels"),
    ],
)
def test_a_filter_that_makes_no_sense(fields: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        messages.letter_filter(fields)
    assert [v.field for v in refused.value.violations] == [field]


def test_every_wrong_and_missing_field_is_told_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages.notification({"typ": "x", "recipient": "u1", "foo": 1})  # type: ignore[typeddict-item,typeddict-unknown-key]
    found = [(v.field, v.reason) for v in caught.value.violations]
    assert found == [
        ("notification.foo", "unknown_value"),
        ("notification.typ", "unknown_value"),
        ("notification.template", "required"),
        ("notification.type", "required"),
    ]


def test_a_misspelt_address_is_not_ignored() -> None:
    assert violation({**MINIMAL, "recipient": {"email": "ada@example.com", "langauge": "de"}}) == (
        "notification.recipient.langauge",
        "unknown_value",
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({**MINIMAL, "data": {"name": "\ud800"}}, "notification.data"),
        ({**MINIMAL, "type": "\ud800"}, "notification"),
        ({**MINIMAL, "type": 5}, "notification"),
        (None, "notification"),
    ],
)
def test_what_protobuf_cannot_hold_is_a_violation(fields: Any, field: str) -> None:
    assert violation(fields) == (field, "invalid_format")
