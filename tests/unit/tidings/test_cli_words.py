"""What the command line makes of values and errors: times, tables, exit codes, --data."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from core.errors import ConfigError, LedgerUnavailable, StoreFull, TidingsError
from tidings import errors, values
from tidings.cli import timeline
from tidings.cli.options import parse_data
from tidings.cli.output import Exit, error_fields, exit_code
from tidings.cli.status import settled
from tidings.template_files import BadFile

START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-0.5, "+0 ms"),  # two machines' clocks
        (0.0034, "+3 ms"),
        (1.2, "+1.20 s"),
        (59.99, "+59.99 s"),
        (125, "+2 min 5 s"),
        (3 * 3600 + 61, "+3 h 1 min"),
    ],
)
def test_time_since_acceptance(seconds: float, expected: str) -> None:
    assert timeline.since(START + timedelta(seconds=seconds), START) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequest("no"), Exit.REFUSED),
        (errors.Conflict("no"), Exit.REFUSED),
        (errors.NotFound("no"), Exit.REFUSED),
        (errors.Unauthenticated("no"), Exit.FORBIDDEN),
        (errors.PermissionDenied("no"), Exit.FORBIDDEN),
        (errors.Unavailable("no"), Exit.UNAVAILABLE),
        (errors.Overloaded("no"), Exit.UNAVAILABLE),
        (errors.DeadlineExceeded("no"), Exit.UNAVAILABLE),
        (errors.DeliveryEnded("no", None), Exit.FAILED),
        (LedgerUnavailable("no"), Exit.UNAVAILABLE),
        (StoreFull("no"), Exit.UNAVAILABLE),
        (ConfigError("no"), Exit.CONFIG),
        (BadFile("no"), Exit.USAGE),
        (TidingsError("no"), Exit.FAILED),
    ],
)
def test_each_error_has_an_exit_code(error: TidingsError, code: Exit) -> None:
    assert exit_code(error) is code


def test_an_error_for_a_program_has_its_violations() -> None:
    violation = errors.Violation("recipient.email", "no", "invalid_email")
    error = errors.InvalidRequest("no", code="INVALID_ARGUMENT", reason="invalid_email", violations=[violation])
    assert error_fields(error) == {
        "kind": "InvalidRequest",
        "code": "INVALID_ARGUMENT",
        "reason": "invalid_email",
        "message": "no",
        "violations": [violation],
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {}),
        (["name=Ada", "note="], {"name": "Ada", "note": ""}),
        (["query=a=b", "total:=9.5", 'items:=[{"n": 1}]'], {"query": "a=b", "total": 9.5, "items": [{"n": 1}]}),
    ],
)
def test_data_on_the_command_line(given: list[str] | None, expected: dict[str, Any]) -> None:
    assert parse_data(given) == expected


@pytest.mark.parametrize("given", ["name", "=x", ":=1", "total:=many"])
def test_data_that_makes_no_sense(given: str) -> None:
    with pytest.raises(BadFile, match="--data"):
        parse_data([given])


def notification(*statuses: str) -> values.Notification:
    events = tuple(
        values.Event(status, START + timedelta(milliseconds=100 * i), "sender", 1, "smtp", "", "")
        for i, status in enumerate(statuses)
    )
    delivery = values.Delivery("email", statuses[-1], "smtp", "", 1, "de", 1, 0, events)
    return values.Notification("n-1", "[x]order", "high", "alert", "", "order", "", START, "", (delivery,))


def test_a_timeline_as_a_table() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(timeline.timeline(notification("accepted", "sent", "delivered")))
    lines = [line.split() for line in out.getvalue().splitlines() if line.strip()]
    assert lines[0][:2] == ["[x]order", "(high),"]
    assert "email by smtp in de: delivered" in out.getvalue()
    assert lines[-3:] == [
        ["accepted", "sender", "smtp", "+0", "ms"],
        ["sent", "sender", "smtp", "+100", "ms"],
        ["delivered", "sender", "smtp", "+200", "ms"],
    ]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [(["sent"], False), (["retrying"], False), (["delivered"], True), (["opened"], True), (["failed"], True)],
)
def test_when_watching_ends(statuses: list[str], expected: bool) -> None:
    assert settled(notification(*statuses)) is expected
