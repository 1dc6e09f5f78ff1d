"""A gRPC status, with its details, becomes one exception that says everything."""

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from core.errors import TidingsError
from tidings import errors
from tidings.v1 import notifications_pb2, types_pb2


@dataclass
class Status:
    """A failed call as both gRPC worlds show it."""

    status: grpc.StatusCode
    words: str = "no"
    metadata: Any = ()

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.words

    def trailing_metadata(self) -> Any:
        return self.metadata


def with_details(status: grpc.StatusCode, *details: Any) -> Status:
    packed = []
    for detail in details:
        box = AnyMessage()
        box.Pack(detail)
        packed.append(box)
    message = status_pb2.Status(code=status.value[0], message="no", details=packed)
    return Status(status, "no", (("other", "x"), ("grpc-status-details-bin", message.SerializeToString())))


@pytest.mark.parametrize("status", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_has_an_exception_under_both_roots(status: grpc.StatusCode) -> None:
    error = errors.from_rpc(Status(status))
    assert isinstance(error, errors.ClientError)
    assert isinstance(error, TidingsError)
    assert error.code == status.name
    assert error.retriable == (status in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})


def test_violations_reason_and_retry_are_unpacked() -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="notification.recipient.email", description="not an address", reason="INVALID_EMAIL")
    bad.field_violations.add(field="notification.type", description="is required", reason="ERROR_REASON_REQUIRED")
    error = errors.from_rpc(with_details(grpc.StatusCode.INVALID_ARGUMENT, bad))
    assert isinstance(error, errors.InvalidRequest)
    assert error.violations == (
        errors.Violation("notification.recipient.email", "not an address", "invalid_email"),
        errors.Violation("notification.type", "is required", "required"),
    )
    assert error.reason == "invalid_email"
    assert str(error) == "notification.recipient.email: not an address; notification.type: is required"


def test_overload_carries_the_servers_wish() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(2_500)
    info = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="tidings")
    error = errors.from_rpc(with_details(grpc.StatusCode.RESOURCE_EXHAUSTED, info, retry))
    assert isinstance(error, errors.Overloaded)
    assert (error.retry_after, error.reason) == (2.5, "overloaded")


def test_one_item_of_a_batch() -> None:
    violation = types_pb2.Violation(field="recipient.phone", description="no", reason=types_pb2.ERROR_REASON_INVALID_PHONE)
    item = notifications_pb2.SendError(
        code=3, message="no", reason=types_pb2.ERROR_REASON_INVALID_PHONE, violations=[violation]
    )
    error = errors.from_item(item)
    assert isinstance(error, errors.InvalidRequest)
    assert error.reason == "invalid_phone"
    assert error.violations[0] == errors.Violation("recipient.phone", "no", "invalid_phone")


def test_an_item_with_words_of_a_newer_server() -> None:
    error = errors.from_item(notifications_pb2.SendError(code=99, message="no", reason=999))  # type: ignore[arg-type]
    assert type(error) is errors.ServerError
    assert error.reason == ""
