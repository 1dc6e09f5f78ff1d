"""One trace from the client's call to the provider's answer: real processes export to a collector in this test."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.helpers import eventually
from tidings.aio import AsyncClient
from tidings.up.run import running

SERVICES = {"test-client", "tidings-gateway", "tidings-dispatcher", "tidings-senders"}


class Collector(TraceServiceServicer):
    """Keeps spans by trace id: (service, span)."""

    def __init__(self) -> None:
        self.traces: dict[str, list[tuple[str, Span]]] = defaultdict(list)

    def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
        for resource in request.resource_spans:
            (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.traces[span.trace_id.hex()].append((service, span))
        return ExportTraceServiceResponse()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    kept, server = Collector(), grpc.server(futures.ThreadPoolExecutor(4))
    add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield kept
    server.stop(None).wait()


@pytest.fixture
def traced_client(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    provider = TracerProvider(resource=Resource.create({"service.name": "test-client"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    monkeypatch.setattr(trace, "get_tracer", lambda name, *_, **__: provider.get_tracer(name))
    yield
    provider.shutdown()


@pytest.mark.timeout(120)
async def test_one_trace_goes_all_the_way(collector: Collector, traced_client: None, tmp_path: Path) -> None:
    async with running(tmp_path / "data", lambda line: None, fixed_ports=False) as (system, _):
        async with AsyncClient(system.ports.target, api_key=system.api_key) as client:
            await client.put_template("hello", {"sms": {"en": {"text": "Hello {{ name }}"}}}, variables=["name"])
            sent = await client.send(
                type="hello", template="hello", data={"name": "Ada"}, recipient={"phone": "+4915112345678"}, channels=["sms"]
            )
            found = await client.wait_until(sent.notification_id, "delivered", timeout=30)
        await eventually(lambda: {service for service, _ in collector.traces[found.trace_id]} >= SERVICES, 10)

    spans = collector.traces[found.trace_id]
    by_id = {span.span_id: (service, span) for service, span in spans}
    (call,) = [(s, x) for s, x in spans if s == "tidings-senders" and x.kind == Span.SPAN_KIND_CLIENT]
    path = [call]
    while (parent := by_id.get(path[-1][1].parent_span_id)) is not None:
        path.append(parent)
    services = list(dict.fromkeys(service for service, _ in path))
    assert services == ["tidings-senders", "tidings-dispatcher", "tidings-gateway", "test-client"]
    assert path[-1][1].parent_span_id == b""
    attributes = {a.key: a.value for a in call[1].attributes}
    assert attributes["http.response.status_code"].int_value == 201
    text = " ".join(str(span) for _, span in spans)
    assert "+4915112345678" not in text and "Ada" not in text
