import urllib.request

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from core import metrics
from core.metrics import METRICS, WeightedHistogram, handled, serve_metrics
from core.model import Channel, Priority
from fastpath import Record, record
from fastpath.layout import OUTCOME
from tidings.embedded import free_port

NOW_MS = 1_700_000_000_000


def aged(accepted_ms: int) -> Record:
    return record(OUTCOME, id=bytes(16), accepted_ms=accepted_ms)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_weighted_observation_is_as_many_single_ones() -> None:
    registry = CollectorRegistry()
    histogram = WeightedHistogram("t_seconds", "Text", ("a",), (0.1, 1.0), registry)
    histogram.observe(("x",), 0.1, 3)
    histogram.observe(("x",), 0.5)
    histogram.observe(("x",), 7.0, 2)
    page = generate_latest(registry).decode()
    assert 't_seconds_bucket{a="x",le="0.1"} 3.0' in page  # an upper bound is inclusive
    assert 't_seconds_bucket{a="x",le="1.0"} 4.0' in page
    assert 't_seconds_bucket{a="x",le="+Inf"} 6.0' in page
    assert 't_seconds_count{a="x"} 6.0' in page
    assert 't_seconds_sum{a="x"} 14.8' in page


def test_handled_counts_records_and_their_age() -> None:
    labels = {"station": "test", "channel": "sms", "priority": "critical"}
    records = [aged(NOW_MS - 40)] * 3 + [aged(NOW_MS - 3_000), aged(NOW_MS + 5)]
    handled("test", Channel.SMS, Priority.CRITICAL, "sent", records, now_ms=NOW_MS)
    assert value("tidings_notifications_total", outcome="sent", **labels) == 5
    assert value("tidings_latency_seconds_bucket", le="0.005", **labels) == 1  # a clock that is behind counts as no age
    assert value("tidings_latency_seconds_bucket", le="0.05", **labels) == 4
    assert value("tidings_latency_seconds_count", **labels) == 5


def test_a_record_without_channel_has_the_label_none() -> None:
    handled("test", 0, 0, "invalid", [aged(NOW_MS)], now_ms=NOW_MS)
    assert value("tidings_notifications_total", station="test", channel="none", priority="none", outcome="invalid") == 1


def test_the_list_has_every_metric_of_the_module() -> None:
    made = {m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase | WeightedHistogram)}
    assert made == set(METRICS)


def test_served_over_http_unless_the_port_is_0() -> None:
    assert serve_metrics("127.0.0.1:0") is None
    port = free_port()
    assert serve_metrics(f"127.0.0.1:{port}") == port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        page = reply.read().decode()
    assert "# TYPE tidings_stream_depth gauge" in page
    assert "# TYPE tidings_latency_seconds histogram" in page
