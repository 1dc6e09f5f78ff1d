"""Every error has an answer, an answer has all its details, and none of it is too large to arrive."""

import base64
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core import errors as core_errors
from core.errors import BadId, LedgerUnavailable, StoreFull, StoreUnavailable, TidingsError
from gateway.errors import (
    ANSWERS,
    Refusal,
    Violation,
    draining,
    internal,
    invalid,
    not_found,
    refusal_of,
    to_item_error,
    to_status,
    under,
)
from tidings.v1.types_pb2 import ErrorReason

REQUIRED = ErrorReason.ERROR_REASON_REQUIRED


def unpack(status: status_pb2.Status) -> dict[str, object]:
    kinds: tuple[Any, ...] = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    return {k.DESCRIPTOR.name: k.FromString(d.value) for d in status.details for k in kinds if d.Is(k.DESCRIPTOR)}


def test_every_error_of_tidings_stands_in_the_table() -> None:
    kinds = [kind for kind in vars(core_errors).values() if isinstance(kind, type) and issubclass(kind, TidingsError)]
    assert set(kinds) == set(ANSWERS)


@pytest.mark.parametrize(
    ("error", "code", "reason", "retry"),
    [
        (StoreUnavailable("redis://secret:6379 refused"), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", True),
        (StoreFull("OOM secret"), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", True),
        (LedgerUnavailable("secret"), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", True),
        (BadId("'x' is not a notification id"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FORMAT", False),
        (core_errors.LedgerError("secret"), grpc.StatusCode.INTERNAL, "INTERNAL", False),
        (not_found("there is none"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND", False),
        (draining(), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", True),
        (internal("abc"), grpc.StatusCode.INTERNAL, "INTERNAL", False),
    ],
)
def test_what_a_caller_is_told(error: TidingsError, code: grpc.StatusCode, reason: str, retry: bool) -> None:
    status = to_status(refusal_of(error))
    found = unpack(status)
    assert status.code == code.value[0]
    assert "secret" not in str(status)
    info = found["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (f"ERROR_REASON_{reason}", "tidings")
    assert ("RetryInfo" in found) == retry


def test_violations_keep_path_words_and_reason() -> None:
    refusal = invalid(
        [Violation("recipient.email", "is bad", ErrorReason.ERROR_REASON_INVALID_EMAIL), Violation("type", "x", REQUIRED)]
    )
    status = to_status(under(refusal, "notification"))
    request = unpack(status)["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    assert [(v.field, v.description, v.reason) for v in request.field_violations] == [
        ("notification.recipient.email", "is bad", "ERROR_REASON_INVALID_EMAIL"),
        ("notification.type", "x", "ERROR_REASON_REQUIRED"),
    ]
    assert status.message == "notification.recipient.email: is bad (and 1 more)"


def test_the_error_of_an_item() -> None:
    item = to_item_error(invalid([Violation("type", "is required", REQUIRED)]))
    assert (item.code, item.reason, item.message) == (3, REQUIRED, "type: is required")
    assert [(v.field, v.reason) for v in item.violations] == [("type", REQUIRED)]


def test_a_refusal_without_violations_is_the_same_from_outside() -> None:
    refusal = not_found("x")
    assert under(refusal, "notification") is refusal
    conflict = Refusal(grpc.StatusCode.ALREADY_EXISTS, REQUIRED, "used", violations=[Violation("key", "used", REQUIRED)])
    seen = under(conflict, "notification")
    assert (seen.code, str(seen), seen.violations[0].field) == (grpc.StatusCode.ALREADY_EXISTS, "used", "notification.key")


@pytest.mark.parametrize("text", ["x" * 5_000, "ü" * 5_000, "\n" * 5_000, "🙂" * 5_000])
def test_the_trailers_stay_below_what_clients_take(text: str) -> None:
    status = to_status(invalid([Violation(f"data.{text}{i}", text, REQUIRED) for i in range(1000)]))
    encoded = base64.b64encode(status.SerializeToString())
    percent_encoded = sum(1 if 0x20 <= byte <= 0x7E else 3 for byte in status.message.encode())
    assert len(encoded) + percent_encoded < 8_000
    request = unpack(status)["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    assert "more faults are not shown" in request.field_violations[-1].description
