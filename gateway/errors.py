"""What a caller is told when something is wrong: one table from errors to google.rpc.Status with its details.

Pure: logs nothing and calls nobody. Texts of drivers' errors never reach a caller, ids and field paths do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from core.errors import (
    BadId,
    BadToken,
    ConfigError,
    LedgerError,
    LedgerUnavailable,
    ProviderError,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TidingsError,
)
from tidings.v1 import notifications_pb2, types_pb2
from tidings.v1.types_pb2 import ErrorReason

Reason: TypeAlias = types_pb2.ErrorReason.ValueType

DOMAIN = "tidings"
# Status travels in HTTP/2 trailers, base64-encoded, its message once more percent-encoded; clients refuse trailers over 8 KiB.
DETAILS_BYTES = 4_400
MESSAGE_CHARACTERS = 300
TEXT_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class Violation:
    """One field's fault.

    Attributes:
        field: its path, e.g. "recipient.email".
        description: what is wrong and what to do.
        reason: an ErrorReason.
    """

    field: str
    description: str
    reason: Reason

    def under(self, path: str) -> "Violation":
        """The same fault as seen from one message further out."""
        return replace(self, field=f"{path}.{self.field}" if self.field else path)


class Refusal(TidingsError):
    """A call, or an item of one, that is answered with an error on purpose."""

    def __init__(
        self,
        code: StatusCode,
        reason: Reason,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s


def invalid(violations: Sequence[Violation]) -> Refusal:
    """INVALID_ARGUMENT with every violation; `violations` has at least one."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    message = f"{first.field}: {first.description}{more}"
    return Refusal(StatusCode.INVALID_ARGUMENT, first.reason, message, violations=violations)


def under(refusal: Refusal, path: str) -> Refusal:
    """The same refusal as seen from one message further out: its violations' paths begin with `path`."""
    if not refusal.violations:
        return refusal
    violations = [v.under(path) for v in refusal.violations]
    if refusal.code is StatusCode.INVALID_ARGUMENT:
        return invalid(violations)
    return Refusal(refusal.code, refusal.reason, str(refusal), violations=violations, retry_after_s=refusal.retry_after_s)


def not_found(what: str) -> Refusal:
    """NOT_FOUND."""
    return Refusal(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND, what)


def draining() -> Refusal:
    """UNAVAILABLE for streams that end because this process stops."""
    text = "this gateway is stopping; connect again"
    return Refusal(StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, text, retry_after_s=0.1)


def internal(error_id: str) -> Refusal:
    """INTERNAL with the id under which the log explains it."""
    text = f"tidings failed on this call; its log explains it under error id {error_id}"
    return Refusal(StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL, text)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an error of another room is answered: code, reason, the caller's text ("" keeps the error's own), patience."""

    code: StatusCode
    reason: Reason
    text: str = ""
    retry_after_s: float | None = None


_BUG = Answer(StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL)

ANSWERS: dict[type[TidingsError], Answer] = {
    BadId: Answer(StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_INVALID_FORMAT),
    BadToken: Answer(StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_INVALID_FORMAT),
    StoreUnavailable: Answer(
        StatusCode.UNAVAILABLE,
        ErrorReason.ERROR_REASON_STORE_UNAVAILABLE,
        "the message store cannot be reached; try again, with the same idempotency key",
        1.0,
    ),
    StoreFull: Answer(  # not RESOURCE_EXHAUSTED, which says that others are more urgent: here nobody is let in
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "the message store takes no writes; try again", 5.0
    ),
    LedgerUnavailable: Answer(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "the ledger cannot be reached; try again", 1.0
    ),
    StoreError: _BUG,
    LedgerError: _BUG,
    ConfigError: _BUG,
    ProviderError: _BUG,
    TidingsError: _BUG,
}


def refusal_of(error: TidingsError) -> Refusal:
    """What a caller is told of an error; INTERNAL without an id where the table calls it a bug."""
    if isinstance(error, Refusal):
        return error
    answer = next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
    text = answer.text or (str(error) if answer is not _BUG else "tidings failed on this call")
    return Refusal(answer.code, answer.reason, text, retry_after_s=answer.retry_after_s)


def to_status(refusal: Refusal) -> status_pb2.Status:
    """The refusal as google.rpc.Status with ErrorInfo, BadRequest and RetryInfo as they apply; bounded in size."""
    status = status_pb2.Status(code=refusal.code.value[0], message=_message(refusal))
    reason = ErrorReason.Name(refusal.reason)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if refusal.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(refusal.retry_after_s * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if refusal.violations:
        status.details.add().Pack(_bad_request(refusal.violations))
    return status


def to_item_error(refusal: Refusal) -> notifications_pb2.SendError:
    """The refusal as the result of one item of a batch or stream."""
    return notifications_pb2.SendError(
        code=refusal.code.value[0],
        message=_message(refusal),
        reason=refusal.reason,
        violations=[
            types_pb2.Violation(field=_short(v.field, 256), description=_short(v.description), reason=v.reason)
            for v in refusal.violations
        ],
    )


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    size = 0
    for i, v in enumerate(violations):
        fault = error_details_pb2.BadRequest.FieldViolation(
            field=_short(v.field, 256), description=_short(v.description), reason=ErrorReason.Name(v.reason)
        )
        size += fault.ByteSize() + 4
        if size > DETAILS_BYTES:
            request.field_violations.add(field=v.field[:256], description=f"{len(violations) - i} more faults are not shown")
            break
        request.field_violations.append(fault)
    return request


def _message(refusal: Refusal) -> str:
    return _short(str(refusal).encode("ascii", "backslashreplace").decode(), MESSAGE_CHARACTERS)


def _short(text: str, limit: int = TEXT_CHARACTERS) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
