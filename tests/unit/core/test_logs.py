import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from core.logs import masked, setup_logging
from core.settings import Settings


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    setup_logging(Settings(), stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def last(output: io.StringIO) -> dict[str, object]:
    line: dict[str, object] = json.loads(output.getvalue().splitlines()[-1])
    return line


def test_a_line_is_json_with_time_level_logger_message_and_ids(output: io.StringIO) -> None:
    logging.getLogger("tidings.sender").info(
        "sent %d", 3, extra={"notification_id": "018f", "trace_id": "ab", "station": "sender"}
    )
    line = last(output)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("time")))
    assert line == {
        "level": "INFO",
        "logger": "tidings.sender",
        "message": "sent 3",
        "notification_id": "018f",
        "trace_id": "ab",
        "station": "sender",
    }


def test_fields_that_are_not_listed_stay_out(output: io.StringIO) -> None:
    logging.getLogger("tidings").info("sent", extra={"address": "ada@example.com", "body": "dear Ada"})
    assert last(output).keys() == {"time", "level", "logger", "message"}


def test_the_current_span_gives_the_trace_id(output: io.StringIO) -> None:
    context = SpanContext(0xABC, 0xDEF, False, TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        logging.getLogger("tidings").info("sent")
    assert last(output)["trace_id"] == f"{0xABC:032x}"


def test_an_exception_is_told_without_addresses(output: io.StringIO) -> None:
    try:
        raise ValueError("550 no such user <ada@example.com>, call +49 151 1234567")
    except ValueError:
        logging.getLogger("tidings").exception("failed for ada@example.com")
    line = last(output)
    assert "ValueError: 550 no such user <[address]>, call [address]" in str(line["exception"])
    assert line["message"] == "failed for [address]"


def test_lines_below_the_level_and_chatty_libraries_stay_out(output: io.StringIO) -> None:
    logging.getLogger("tidings").debug("not this")
    logging.getLogger("httpx").info("POST https://api.example.com/+4915112345678")
    assert output.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:secret@127.0.0.1:6379/0", "redis://:[address]"),
        ("to=ada.lovelace+x@example.co.uk.", "[address]"),
        ("+4915112345678 and +1 (415) 555-2671", "[address] and [address]"),
        (
            "018f2f6e-0000-7000-8000-000000000000 took 1234567 us, +5 more",
            "018f2f6e-0000-7000-8000-000000000000 took 1234567 us, +5 more",
        ),
        ("waiting 0.1 s: in:critical p3", "waiting 0.1 s: in:critical p3"),
    ],
)
def test_masking(text: str, expected: str) -> None:
    assert masked(text) == expected
