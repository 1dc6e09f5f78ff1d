"""Traces leave a process over OTLP, by gRPC and by HTTP, as the standard variables say, and never keep it from ending."""

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from tidings.embedded import free_port

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROGRAM = f"""
from core import telemetry
from core.config import load_settings
telemetry.setup(load_settings(partial=True), "tidings-test")
with telemetry.span("gateway.send", "00-{TRACE}-b7ad6b7169203331-01"):
    pass
telemetry.shutdown()
print("over")
"""


class Collector(TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []

    async def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
        self.requests.append(request)
        return ExportTraceServiceResponse()

    async def post(self, request: web.Request) -> web.Response:
        self.requests.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(body=ExportTraceServiceResponse().SerializeToString())


@pytest.fixture
async def grpc_collector() -> AsyncIterator[tuple[Collector, str]]:
    collector, server = Collector(), grpc.aio.server()
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield collector, f"http://127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def http_collector() -> AsyncIterator[tuple[Collector, str]]:
    collector, app, port = Collector(), web.Application(), free_port()
    app.router.add_post("/v1/traces", collector.post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield collector, f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def run(**environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", PROGRAM, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def only_span(collector: Collector) -> tuple[str, str, str]:
    """Service, name and trace id of the one span that arrived."""
    ((resource,),) = [request.resource_spans for request in collector.requests]
    (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
    (span,) = resource.scope_spans[0].spans
    return service, span.name, span.trace_id.hex()


async def test_by_grpc(grpc_collector: tuple[Collector, str]) -> None:
    collector, url = grpc_collector
    assert await run(OTEL_EXPORTER_OTLP_ENDPOINT=url) == "over\n"
    assert only_span(collector) == ("tidings-test", "gateway.send", TRACE)


async def test_by_http_under_the_name_that_the_environment_gives(http_collector: tuple[Collector, str]) -> None:
    collector, url = http_collector
    await run(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{url}/v1/traces",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_SERVICE_NAME="shop-gateway",
    )
    assert only_span(collector) == ("shop-gateway", "gateway.send", TRACE)


async def test_disabled_by_the_standard_variable(grpc_collector: tuple[Collector, str]) -> None:
    collector, url = grpc_collector
    await run(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_SDK_DISABLED="true")
    assert collector.requests == []


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_a_collector_that_is_away_does_not_keep_a_process_from_ending(protocol: str) -> None:
    assert "over" in await run(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}", OTEL_EXPORTER_OTLP_PROTOCOL=protocol
    )
