"""Logs as JSON lines on standard error: time, level, logger, message and ids. Never an address or a body.

What a log line may carry besides its message is listed in FIELDS; anything that looks like an address is masked.
"""

import logging
import re
import sys
import time
from typing import TextIO

import orjson
from opentelemetry import trace

from core.settings import Settings

# `extra={...}` of these names goes into the line, all others are dropped.
FIELDS = (
    "notification_id",
    "trace_id",
    "station",
    "channel",
    "priority",
    "provider",
    "code",
    "attempt",
    "partition",
    "stream",
    "entry_id",
    "template",
    "method",
    "count",
    "duration_ms",
)

_ADDRESS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;]+|\+\d[\d ()-]{6,}\d")
_MASK = "[address]"


def masked(text: str) -> str:
    """The text with e-mail addresses, phone numbers and credentials in URLs masked."""
    return _ADDRESS.sub(_MASK, text)


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        line |= {name: value for name in FIELDS if (value := record.__dict__.get(name)) is not None}
        if "trace_id" not in line and (context := trace.get_current_span().get_span_context()).is_valid:
            line["trace_id"] = trace.format_trace_id(context.trace_id)
        if record.exc_info:
            line["exception"] = masked(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


def setup_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send every logger's lines of `log_level` and above to `stream` (standard error), as JSON, and nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for chatty in ("httpx", "httpcore", "hpack", "aiohttp.access", "twilio.http_client", "mail.log"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))  # they log URLs, which hold addresses
