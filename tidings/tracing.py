"""The client's part of a trace: a span for each operation and its W3C context for the call's metadata.

Costs nothing and imports nothing unless the calling program has loaded OpenTelemetry itself.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def client_span(operation: str) -> Iterator[tuple[tuple[str, str], ...]]:
    """A span around an operation ("Send"); yields the metadata that carries it ("traceparent", "tracestate")."""
    if "opentelemetry.trace" not in sys.modules:
        yield ()
        return
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    attributes = {"rpc.system": "grpc", "rpc.method": operation}
    span = trace.get_tracer("tidings.client").start_span(
        f"tidings {operation}", kind=trace.SpanKind.CLIENT, attributes=attributes
    )
    carrier: dict[str, str] = {}
    # Not made current: a stream's span would leak out of its generator into the caller's context.
    TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(span))
    try:
        yield tuple(carrier.items())
    except Exception as error:
        span.record_exception(error)
        span.set_status(trace.StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        span.end()
