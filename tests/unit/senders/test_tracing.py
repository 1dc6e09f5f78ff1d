"""Spans of senders: under the delivery's own trace, the provider call below, batches linked; nothing when nobody looks."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from core import telemetry
from core.clock import ManualClock
from core.ids import format_id
from core.model import Channel, ErrorClass
from core.settings import Settings
from core.station import Batch
from core.streams import Entry, Settlement
from fastpath import pack_frame
from senders.provider import Answer, Desk, Message, fault, sent
from senders.station import SenderHandler, policy_of
from senders.tracing import calling
from tests.unit.senders.kit import NOW, delivery

TRACES = [f"{n:032x}" for n in (0xA, 0xB, 0xC)]
PARENTS = [f"00-{trace}-{n + 1:016x}-01" for n, trace in enumerate(TRACES)]


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.use(provider)
    yield exporter
    telemetry.use(None)
    provider.shutdown()


class OneCall:
    """A carrier that sends everything in one call."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        for message in messages:
            message.provider = "post"
            assert await desk.begin(message)
        with calling("post", "POST /send", messages, {"http.request.method": "POST"}) as call:
            await asyncio.sleep(0)
            call.answered(self.answer.error_class, code=self.answer.code, status=202)
        for message in messages:
            desk.end(message, self.answer)

    async def close(self) -> None:
        """Nothing is open."""


async def handle(answer: Answer, traceparents: Sequence[str]) -> list[str]:
    """Sends a frame with these traceparents; the notifications' ids."""

    async def settle(settlements: Sequence[Settlement]) -> list[bool]:
        return [True] * len(settlements)

    items = [delivery(f"u{i}@example.org", traceparent=text) for i, text in enumerate(traceparents)]
    handler = SenderHandler(Channel.EMAIL, OneCall(answer), policy_of(Settings()), clock=ManualClock(NOW))
    await handler.handle(Batch(0, [Entry("out", "1-1", pack_frame(items))], settle))
    return [format_id(item.id) for item in items]


def by_kind(exporter: InMemorySpanExporter, kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.kind is kind]


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


async def test_a_batch_is_in_every_trace(exported: InMemorySpanExporter) -> None:
    ids = await handle(sent("x"), [*PARENTS, "", "00-" + "d" * 32 + "-" + "1" * 16 + "-00", "rubbish"])
    items = by_kind(exported, SpanKind.CONSUMER)
    assert [trace_of(span) for span in items] == TRACES  # and none for those that are not sampled
    for index, span in enumerate(items):
        assert span.parent is not None
        assert span.parent.span_id == index + 1
        assert span.attributes is not None
        assert span.attributes["tidings.notification_id"] == ids[index]
        assert span.attributes["tidings.provider"] == "post"
    (call,) = by_kind(exported, SpanKind.CLIENT)
    assert call.parent == items[0].context
    assert [link.context for link in call.links] == [items[1].context, items[2].context]
    for other in items[1:]:
        assert [link.context for link in other.links] == [call.context]
    assert call.attributes is not None
    assert call.attributes["http.response.status_code"] == 202
    assert call.attributes["tidings.batch"] == 6


async def test_a_failure_is_marked_and_holds_no_address(exported: InMemorySpanExporter) -> None:
    await handle(fault(ErrorClass.TEMPORARY, "503", "try later"), PARENTS[:1])
    for span in exported.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert "example.org" not in span.to_json()


async def test_nothing_is_traced_when_tracing_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> None:
        raise AssertionError("a span was made while tracing is off")

    monkeypatch.setattr(telemetry, "tracer", nobody)
    await handle(sent("x"), PARENTS)
