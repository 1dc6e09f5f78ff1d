"""Which word of a provider means what: tables."""

import pytest

from core.model import ErrorClass, Status
from gateway.web.events import Fate
from gateway.web.webhooks import sendgrid, twilio

GONE, NO, NONE = ErrorClass.UNREGISTERED, ErrorClass.PERMANENT, ErrorClass.NONE


@pytest.mark.parametrize(
    ("event", "status", "error_class", "code"),
    [
        ({"event": "delivered", "response": "250 OK"}, Status.DELIVERED, NONE, ""),
        ({"event": "open"}, Status.OPENED, NONE, ""),
        ({"event": "click", "url": "https://shop.example"}, Status.CLICKED, NONE, ""),
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, Status.FAILED, GONE, "5.1.1"),
        ({"event": "bounce", "type": "bounce", "status": "5.1.10"}, Status.FAILED, GONE, "5.1.10"),
        ({"event": "bounce", "type": "bounce"}, Status.FAILED, GONE, "bounce"),
        ({"event": "bounce", "type": "bounce", "status": "5.7.1"}, Status.FAILED, NO, "5.7.1"),
        ({"event": "bounce", "type": "blocked", "status": "5.1.1"}, Status.FAILED, NO, "5.1.1"),
        ({"event": "bounce", "type": "blocked"}, Status.FAILED, NO, "blocked"),
        ({"event": "dropped", "reason": "Bounced Address"}, Status.FAILED, GONE, "dropped"),
        ({"event": "dropped", "reason": "Spam Content"}, Status.FAILED, NO, "dropped"),
    ],
)
def test_sendgrid(event: dict[str, str], status: Status, error_class: ErrorClass, code: str) -> None:
    fate = sendgrid.fate_of({**event, "reason": event.get("reason", "the server's words")})
    assert fate is not None
    assert (fate.status, fate.error_class, fate.code) == (status, error_class, code)
    assert (fate.reason != "") == (status is Status.FAILED)


@pytest.mark.parametrize("name", [*sorted(sendgrid.SILENT), "new_thing", None])
def test_sendgrid_events_that_change_nothing(name: str | None) -> None:
    assert sendgrid.fate_of({"event": name}) is None


@pytest.mark.parametrize(
    ("form", "status", "error_class", "code", "reason"),
    [
        ({"MessageStatus": "delivered"}, Status.DELIVERED, NONE, "", ""),
        ({"SmsStatus": "delivered"}, Status.DELIVERED, NONE, "", ""),
        ({"MessageStatus": "read"}, Status.OPENED, NONE, "", ""),
        ({"MessageStatus": "canceled"}, Status.CANCELLED, NONE, "canceled", ""),
        ({"MessageStatus": "undelivered", "ErrorCode": "30007"}, Status.FAILED, NO, "30007", "Carrier violation"),
        ({"MessageStatus": "undelivered", "ErrorCode": "30005"}, Status.FAILED, GONE, "30005", "Unknown destination handset"),
        ({"MessageStatus": "failed", "ErrorCode": "21610", "ErrorMessage": "STOP"}, Status.FAILED, GONE, "21610", "STOP"),
        ({"MessageStatus": "failed"}, Status.FAILED, NO, "failed", ""),
    ],
)
def test_twilio(form: dict[str, str], status: Status, error_class: ErrorClass, code: str, reason: str) -> None:
    fate = twilio.fate_of(form)
    assert fate is not None
    assert (fate.status, fate.error_class, fate.code, fate.reason) == (status, error_class, code, reason)


@pytest.mark.parametrize("name", [*sorted(twilio.SILENT), "new_thing", ""])
def test_twilio_statuses_that_change_nothing(name: str) -> None:
    assert twilio.fate_of({"MessageStatus": name}) is None


@pytest.mark.parametrize(
    ("fate", "blocked"),
    [
        (sendgrid.fate_of({"event": "bounce", "type": "blocked"}), True),
        (sendgrid.fate_of({"event": "bounce", "type": "bounce", "status": "5.1.1"}), False),
        (sendgrid.fate_of({"event": "dropped", "reason": "Bounced Address"}), False),
        (twilio.fate_of({"MessageStatus": "undelivered", "ErrorCode": "30007"}), True),
        (twilio.fate_of({"MessageStatus": "failed", "ErrorCode": "30001"}), True),
        (twilio.fate_of({"MessageStatus": "failed", "ErrorCode": "30002"}), True),
        (twilio.fate_of({"MessageStatus": "failed", "ErrorCode": "30008"}), True),
        (twilio.fate_of({"MessageStatus": "failed", "ErrorCode": "30034"}), True),
        (twilio.fate_of({"MessageStatus": "undelivered", "ErrorCode": "30003"}), False),
    ],
)
def test_whose_doing_a_failure_is(fate: Fate | None, blocked: bool) -> None:
    assert fate is not None and fate.blocked is blocked
