"""What the client raises, and how a gRPC status becomes it. Pure: no call is made here.

The root derives from core's TidingsError, so that a program that uses both sides has one tree to catch; a caller needs
ClientError only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import grpc
from google.rpc import error_details_pb2, status_pb2

from core.errors import TidingsError
from tidings.v1 import notifications_pb2, types_pb2

_STATUS_DETAILS = "grpc-status-details-bin"
_REASON_PREFIX = "ERROR_REASON_"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field's fault."""

    field: str  # path in the request: "notification.recipient.email"; in a batch relative to the item
    description: str  # what is wrong and what to do
    reason: str  # ErrorReason in lower case: "invalid_email"


class ClientError(TidingsError):
    """A call did not do what it should. The subclasses say what to do about it.

    `code` is the gRPC status's name ("INVALID_ARGUMENT"), `reason` tidings' own ("invalid_email", "" if there is none),
    `retry_after` the server's wish in seconds (None: it had none).
    """

    retriable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        violations: Iterable[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.code = code
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after = retry_after
        faults = [f"{v.field}: {v.description}" for v in self.violations]
        super().__init__("; ".join(faults) if faults else message)


class InvalidRequest(ClientError):
    """The request is wrong and will stay so; `violations` names every faulty field."""


class Conflict(ClientError):
    """The idempotency key was used before, with other content."""


class NotFound(ClientError):
    """Nothing of this name or id."""


class Unauthenticated(ClientError):
    """No API key, or one that is not known."""


class PermissionDenied(ClientError):
    """The API key lacks the scope that the call needs."""


class Overloaded(ClientError):
    """tidings asks for patience; was retried until the deadline, see `retry_after`."""

    retriable = True


class Unavailable(ClientError):
    """tidings could not be reached; was retried until the deadline. Calling again with the same idempotency key is safe."""

    retriable = True


class DeadlineExceeded(ClientError, TimeoutError):
    """No answer in time. The call may have been carried out: call again with the same idempotency key."""


class ServerError(ClientError):
    """A fault of tidings itself; its log says more."""


class DeliveryEnded(ClientError):
    """wait_until waits for what cannot come: a delivery ended otherwise (failed, suppressed...); see `notification`."""

    def __init__(self, message: str, notification: Any) -> None:
        super().__init__(message)
        self.notification = notification


_CLASSES: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class FailedCall(Protocol):
    """What grpc.RpcError of both worlds, blocking and asyncio, can be asked."""

    def code(self) -> grpc.StatusCode:
        """The status."""
        ...

    def details(self) -> str | None:
        """The status's words."""
        ...

    def trailing_metadata(self) -> Any:
        """Pairs of name and value, or None."""
        ...


def reason_name(reason: str) -> str:
    """ErrorReason as callers see it: "ERROR_REASON_INVALID_EMAIL" and "INVALID_EMAIL" are "invalid_email"."""
    return reason.removeprefix(_REASON_PREFIX).lower()


def from_rpc(failed: FailedCall) -> ClientError:
    """The exception for a call that ended with a status other than OK."""
    code, message = failed.code(), failed.details() or ""
    violations: list[Violation] = []
    reason, retry_after = "", None
    for detail in _details(failed.trailing_metadata()):
        bad, info, retry = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad):
            violations += [Violation(v.field, v.description, reason_name(v.reason)) for v in bad.field_violations]
        elif detail.Unpack(info):
            reason = reason_name(info.reason)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    reason = reason or (violations[0].reason if violations else "")
    kind = _CLASSES.get(code, ServerError)
    return kind(message, code=code.name, reason=reason, violations=violations, retry_after=retry_after)


def _details(metadata: Any) -> list[Any]:
    for name, value in metadata or ():
        if name == _STATUS_DETAILS:
            return list(status_pb2.Status.FromString(value).details)
    return []


def from_item(error: notifications_pb2.SendError) -> ClientError:
    """The exception for one item of a batch or stream."""
    code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
    violations = [Violation(v.field, v.description, _enum_reason(v.reason)) for v in error.violations]
    return _CLASSES.get(code, ServerError)(
        error.message, code=code.name, reason=_enum_reason(error.reason), violations=violations
    )


def _enum_reason(value: int) -> str:
    if value not in types_pb2.ErrorReason.values() or value == types_pb2.ERROR_REASON_UNSPECIFIED:
        return ""
    return reason_name(types_pb2.ErrorReason.Name(types_pb2.ErrorReason.ValueType(value)))
