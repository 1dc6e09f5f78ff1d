"""What the command line makes of values and errors: times, tables, exit codes, --data."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from core.errors import ConfigError, LedgerUnavailable, StoreFull, TidingsError
from tidings import errors, values
from tidings.cli import timeline
from tidings.cli.letter_options import moment
from tidings.cli.options import parse_data
from tidings.cli.output import Exit, error_fields, exit_code
from tidings.cli.stations import stations_table, warnings
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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("90s", START - timedelta(seconds=90)),
        ("15m", START - timedelta(minutes=15)),
        (" 2h", START - timedelta(hours=2)),
        ("3d", START - timedelta(days=3)),
        ("2029-12-31T12:00:00Z", datetime(2029, 12, 31, 12, tzinfo=UTC)),
        ("2029-12-31", datetime(2029, 12, 31, tzinfo=UTC)),
        ("2029-12-31T12:00:00+02:00", datetime(2029, 12, 31, 10, tzinfo=UTC)),
    ],
)
def test_times_on_the_command_line(given: str, expected: datetime) -> None:
    assert moment(given, START) == expected


@pytest.mark.parametrize("given", ["", "h", "2 weeks", "yesterday", "-2h"])
def test_times_that_make_no_sense(given: str) -> None:
    with pytest.raises(BadFile, match="no time"):
        moment(given, START)


def test_what_is_wrong_stands_first_and_words_of_others_are_no_markup() -> None:
    halts = (values.Halt("sms", "[bold]stop", START),)
    found = values.Stations((), (), (), halts, "shed_low", 0.734)
    out = io.StringIO()
    Console(file=out, width=160).print(stations_table(found, everything=False))
    first, second, *_ = out.getvalue().splitlines()
    assert first.startswith("sms is halted since 2030-01-01 00:00:00 UTC: [bold]stop  `tidings resume sms`")
    assert second == "overload: shed_low, pressure 73%: low priority is suppressed"
    assert "[red]sms is halted[/red]" in warnings(found)[0]


def test_a_halted_channels_streams_are_marked() -> None:
    streams = (values.Stream("out:sms:high", "senders", 3, 3, 0, 0), values.Stream("out:push:high", "senders", 3, 3, 0, 0))
    out = io.StringIO()
    found = values.Stations(streams, (), (), (values.Halt("sms", "stop", START),))
    Console(file=out, width=160).print(stations_table(found, everything=False))
    rows = [line.split()[:2] for line in out.getvalue().splitlines() if line.startswith("out:")]
    assert rows == [["out:sms:high", "halted"], ["out:push:high", "senders"]]
