"""Spans and request times of senders: one span per traced delivery, one around each call to a provider. No addresses."""

import time
from collections.abc import Mapping, Sequence
from typing import Self

from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode, set_span_in_context

from core import metrics, telemetry
from core.ids import format_id
from core.model import ErrorClass
from fastpath import Record
from senders.provider import Answer, Message

_NO_ATTRIBUTES: Mapping[str, str | int] = {}


def open_spans(messages: Sequence[Message], channel: str) -> None:
    """A span for the attempt at each message whose trace is sampled, under the trace that the delivery carries."""
    if not telemetry.enabled():
        return
    for message in messages:
        message.span = _open_span(message.record, channel)


def _open_span(record: Record, channel: str) -> Span | None:
    parent = telemetry.parse_traceparent(record.traceparent) if record.traceparent else None
    if parent is None or not parent.trace_flags.sampled:
        return None
    attributes: dict[str, str | int] = {"tidings.notification_id": format_id(record.id)}
    attributes["tidings.attempt"] = record.attempt + 1
    context = set_span_in_context(NonRecordingSpan(parent))
    return telemetry.tracer().start_span(f"send {channel}", context, kind=SpanKind.CONSUMER, attributes=attributes)


def close_spans(messages: Sequence[Message], answer: Answer) -> None:
    """Ends the attempts' spans with their answer."""
    for message in messages:
        span = message.span
        if span is None:
            continue
        span.set_attribute("tidings.provider", message.provider)
        if answer.error_class is not ErrorClass.NONE:
            span.set_status(StatusCode.ERROR, answer.code)
        span.end()
        message.span = None


class Call:
    """One call to a provider, until it is answered."""

    __slots__ = ("_provider", "_span", "_started")

    def __init__(self, provider: str, span: Span | None) -> None:
        self._provider = provider
        self._span = span
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._span is not None:
            self._span.end()

    def answered(self, error_class: ErrorClass, *, code: str = "", status: int = 0) -> None:
        """Notes the answer: its class, the provider's code if it is an error, and the HTTP status if there was one."""
        result = "ok" if error_class is ErrorClass.NONE else error_class.name.lower()
        metrics.PROVIDER_REQUEST.observe((self._provider, result), time.perf_counter() - self._started)
        if self._span is None:
            return
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if error_class is not ErrorClass.NONE:
            self._span.set_attribute("error.type", code or result)
            self._span.set_status(StatusCode.ERROR, result)


def calling(
    provider: str, name: str, messages: Sequence[Message], attributes: Mapping[str, str | int] = _NO_ATTRIBUTES
) -> Call:
    """One call for `messages`, to be used as a context; its span, if one of theirs is traced, ends with it.

    The span is a client's: a child of the first one's span, linked both ways with all others.
    """
    spans = [m.span for m in messages if m.span is not None] if telemetry.enabled() else ()
    if not spans:
        return Call(provider, None)
    first, *others = spans
    told: dict[str, str | int] = {"tidings.provider": provider, "tidings.batch": len(messages), **attributes}
    span = telemetry.tracer().start_span(
        name,
        set_span_in_context(first),
        kind=SpanKind.CLIENT,
        attributes=told,
        links=[Link(other.get_span_context()) for other in others],
    )
    for other in others:
        other.add_link(span.get_span_context())
    return Call(provider, span)
