"""Traces: OpenTelemetry over OTLP, off unless an endpoint is configured; the only place that starts spans for stations.

Trace context travels in the records as a W3C traceparent. A batch is one span, linked to the calls in it; every
sampled call also gets a span of its own under its own trace, linked back. When tracing is off this costs a test of one
flag, and traceparents still go through unchanged.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from core.settings import Settings

Attributes = Mapping[str, str | int | float | bool]

FLUSH_S = 2.0  # what is not exported by then is dropped at exit
_LENGTH = 55  # of a traceparent of version 00
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_OFF = trace.NoOpTracer()


class _State:
    """What `setup` made; one per process."""

    provider: TracerProvider | None = None
    tracer: trace.Tracer = _OFF


def setup(settings: Settings, service_name: str) -> None:
    """Start exporting if an OTLP endpoint is set and OTEL_SDK_DISABLED is not true; call once, at the start of a process.

    `service_name` is "tidings-gateway" and the like; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over it.
    """
    if not settings.otlp_endpoint or settings.otel_sdk_disabled:
        return
    resource = Resource({SERVICE_NAME: service_name}).merge(Resource.create())
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: service_name}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(settings)))
    use(provider)
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)  # the client's spans (tidings.Client) go the same way


def _exporter(settings: Settings) -> SpanExporter:
    if settings.otlp_protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter  # noqa: PLC0415

        return HttpExporter()
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter()


def use(provider: TracerProvider | None) -> None:
    """Take a ready provider (tests), or none: tracing off."""
    _State.provider = provider
    _State.tracer = provider.get_tracer("tidings") if provider else _OFF


def shutdown() -> None:
    """Export what is left, for at most FLUSH_S, and stop. Blocks: call it after the loop, or in a thread."""
    provider = _State.provider
    use(None)
    if provider is not None:
        exporting = threading.Thread(target=provider.shutdown, daemon=True)  # its own time-outs are many seconds
        exporting.start()
        exporting.join(FLUSH_S)


def enabled() -> bool:
    """Whether spans are recorded."""
    return _State.provider is not None


def tracer() -> trace.Tracer:
    """The tracer; one that does nothing while tracing is off."""
    return _State.tracer


def parse_traceparent(text: str) -> SpanContext | None:
    """The span that a W3C traceparent ("00-trace-span-flags") names; None if it is empty or malformed."""
    if len(text) < _LENGTH or text[2] != "-" or text[35] != "-" or text[52] != "-" or text[:2] == "ff":
        return None
    try:
        context = SpanContext(int(text[3:35], 16), int(text[36:52], 16), True, TraceFlags(int(text[53:55], 16)))
    except ValueError:
        return None
    return context if context.is_valid else None


def traceparent_of(span: Span) -> str:
    """The W3C traceparent that names the span; "" if it has no trace."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_id_of(traceparent: str) -> str:
    """The trace id in a traceparent, 32 hexadecimal digits; "" if there is none."""
    return traceparent[3:35] if parse_traceparent(traceparent) else ""


@contextmanager
def span(
    name: str, traceparent: str = "", *, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
) -> Iterator[Span]:
    """A span under `traceparent` (a new trace without one), current while the block runs; an exception marks it as failed.

    While tracing is off, the block gets a span that records nothing and still names the caller's trace.
    """
    parent = parse_traceparent(traceparent)
    outer = NonRecordingSpan(parent) if parent else trace.INVALID_SPAN
    if not enabled():
        yield outer
        return
    context = trace.set_span_in_context(outer)
    with _State.tracer.start_as_current_span(name, context, kind=kind, attributes=attributes) as inner:
        yield inner


@contextmanager
def batch(
    name: str, traceparents: Sequence[str], *, kind: SpanKind = SpanKind.CONSUMER, attributes: Attributes | None = None
) -> Iterator[Sequence[str]]:
    """A span for work on many notifications at once, and one under each different parent that is sampled, linked both ways.

    Yields the traceparents to write into the records that go forward, in the order given: those of the new spans, or the
    ones given where nothing is recorded.
    """
    if not enabled():
        yield traceparents
        return
    parents = [parse_traceparent(text) for text in traceparents]
    traced = {p.span_id: p for p in parents if p is not None and p.trace_flags.sampled}
    if not traced:
        yield traceparents
        return
    links = [Link(context) for context in traced.values()]
    size = {"tidings.batch": len(traceparents), **(attributes or {})}
    outer = trace.set_span_in_context(trace.INVALID_SPAN)
    with _State.tracer.start_as_current_span(f"{name} batch", outer, kind=kind, attributes=size, links=links) as whole:
        back = [Link(whole.get_span_context())]
        items = {key: _start(name, parent, kind, back, attributes) for key, parent in traced.items()}
        try:
            yield [
                traceparent_of(items[p.span_id]) if p and p.span_id in items else t
                for p, t in zip(parents, traceparents, strict=True)
            ]
        except BaseException as error:
            for item in items.values():
                item.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            end = time.time_ns()
            for item in items.values():
                item.end(end)


def _start(name: str, parent: SpanContext, kind: SpanKind, links: Sequence[Link], attributes: Attributes | None) -> Span:
    context = trace.set_span_in_context(NonRecordingSpan(parent))
    return _State.tracer.start_span(name, context, kind=kind, attributes=attributes, links=links)
