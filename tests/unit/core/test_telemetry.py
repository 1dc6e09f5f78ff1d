from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from core import telemetry
from core.settings import Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
UNSAMPLED = "00-2af7651916cd43dd8448eb211c80319c-d7ad6b7169203331-00"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.use(provider)
    yield exporter
    telemetry.shutdown()


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GIVEN[:-1],
        GIVEN.replace("-", "_"),
        GIVEN.replace("0af7", "zzzz"),
        "ff" + GIVEN[2:],
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
def test_a_malformed_traceparent_is_none(text: str) -> None:
    assert telemetry.parse_traceparent(text) is None
    assert telemetry.trace_id_of(text) == ""


def test_a_traceparent_goes_there_and_back() -> None:
    context = telemetry.parse_traceparent(GIVEN)
    assert context is not None and context.is_remote and context.trace_flags.sampled
    assert telemetry.trace_id_of(GIVEN) == TRACE
    with telemetry.span("off", GIVEN) as span:
        assert telemetry.traceparent_of(span) == GIVEN
    with telemetry.span("off") as span:
        assert telemetry.traceparent_of(span) == ""


def test_off_by_default_and_traceparents_still_go_through() -> None:
    telemetry.setup(Settings(), "tidings-test")
    assert not telemetry.enabled()
    telemetry.setup(Settings(otlp_endpoint="http://127.0.0.1:9", otel_sdk_disabled=True), "tidings-test")
    assert not telemetry.enabled()
    given = [GIVEN, ""]
    with telemetry.batch("dispatch", given) as onward:
        assert onward is given
    with telemetry.tracer().start_as_current_span("nothing") as span:
        assert not span.is_recording()


def test_a_span_continues_the_trace_and_notes_a_failure(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), telemetry.span("gateway.send", GIVEN, attributes={"a": 1}) as span:
        onward = telemetry.traceparent_of(span)
        raise ValueError("no")
    (done,) = exported.get_finished_spans()
    assert done.parent is not None and f"{done.parent.span_id:016x}" == GIVEN[36:52]
    assert onward == f"00-{TRACE}-{ids(done)[1]}-01"
    assert done.status.status_code is StatusCode.ERROR
    assert dict(done.attributes or {}) == {"a": 1}


def test_a_span_without_parent_begins_a_trace(exported: InMemorySpanExporter) -> None:
    with telemetry.span("gateway.send") as span:
        onward = telemetry.traceparent_of(span)
    assert exported.get_finished_spans()[0].parent is None
    assert telemetry.parse_traceparent(onward) is not None


def test_a_batch_links_every_traced_notification_and_forwards_new_parents(exported: InMemorySpanExporter) -> None:
    given = [GIVEN, "", OTHER, UNSAMPLED, "garbage"]
    with telemetry.batch("dispatch", given, attributes={"tidings.station": "dispatcher"}) as onward:
        forwarded = list(onward)
    spans = {span.name: span for span in exported.get_finished_spans()}
    items = {ids(span)[0]: span for span in exported.get_finished_spans() if span.name == "dispatch"}
    whole = spans["dispatch batch"]
    assert items.keys() == {TRACE, telemetry.trace_id_of(OTHER)}
    assert {f"{link.context.trace_id:032x}" for link in whole.links} == items.keys()
    assert all([ids(whole)[1]] == [f"{link.context.span_id:016x}" for link in item.links] for item in items.values())
    assert forwarded[1] == "" and forwarded[3] == UNSAMPLED and forwarded[4] == "garbage"
    assert forwarded[0] == f"00-{TRACE}-{ids(items[TRACE])[1]}-01"
    assert whole.attributes is not None and whole.attributes["tidings.batch"] == 5


def test_a_failed_batch_marks_every_span(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), telemetry.batch("dispatch", [GIVEN, OTHER]):
        raise ValueError("no")
    assert [span.status.status_code for span in exported.get_finished_spans()] == [StatusCode.ERROR] * 3


def test_notifications_of_one_call_share_a_span(exported: InMemorySpanExporter) -> None:
    with telemetry.batch("dispatch", [GIVEN, GIVEN]) as onward:
        forwarded = list(onward)
    assert forwarded[0] == forwarded[1] != GIVEN
    assert [span.name for span in exported.get_finished_spans()] == ["dispatch", "dispatch batch"]
