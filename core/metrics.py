"""Every Prometheus metric of tidings, in one list (METRICS), and the page that serves them. Nobody else makes a metric.

Labels are words of core.model and stream names without their partition; never an id, an address or a template.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.keys import CHANNEL_NAMES, PRIORITY_NAMES
from core.model import Channel, Priority
from core.settings import split_listen
from fastpath import Record, ages

CONTENT_TYPE = CONTENT_TYPE_LATEST  # of the page
LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
BATCH_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class WeightedHistogram(Collector):
    """A histogram that counts n equal observations in one step: most records of a frame were accepted in the same millisecond.

    Observed by one thread (the loop's), read by the metrics page's.
    """

    def __init__(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...], registry: CollectorRegistry = REGISTRY
    ) -> None:
        """`buckets` are upper bounds, ascending, without infinity."""
        self._name, self._text, self._labels, self._bounds = name, text, labels, buckets
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], value: float, weight: int = 1) -> None:
        """Count `value` `weight` times under the values of the labels, in their order."""
        counts = self._counts.get(labels)
        if counts is None:
            self._sums[labels] = 0.0
            counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
        counts[bisect_left(self._bounds, value)] += weight
        self._sums[labels] += value * weight

    def describe(self) -> Iterable[Metric]:
        """The metric without its samples."""
        return [HistogramMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        """The metric as of now."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        bounds = [*map(str, self._bounds), "+Inf"]
        for labels, counts in list(self._counts.items()):
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip(bounds, counts, strict=True):
                total += count
                buckets.append((bound, float(total)))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family


STREAM_DEPTH = Gauge("tidings_stream_depth", "Entries in a stream, read or not", ["stream"])
STREAM_LAG = Gauge("tidings_stream_lag", "Entries of a stream that nobody has read yet", ["stream"])
STREAM_PENDING = Gauge("tidings_stream_pending", "Entries of a stream that a consumer has in hand", ["stream"])
STREAM_WAITING = Gauge("tidings_stream_waiting", "Items of a stream that wait for a later time", ["stream"])
HANDLED = Counter(
    "tidings_notifications", "Notifications a station is done with", ["station", "channel", "priority", "outcome"]
)
LATENCY = WeightedHistogram(
    "tidings_latency_seconds", "From acceptance to this station", ("station", "channel", "priority"), LATENCY_BUCKETS_S
)
BATCH_ITEMS = WeightedHistogram("tidings_batch_items", "Notifications a station handled at once", ("station",), BATCH_BUCKETS)
PROVIDER_REQUEST = WeightedHistogram(
    "tidings_provider_request_seconds", "Requests to a provider", ("provider", "result"), LATENCY_BUCKETS_S
)
FENCED = Counter("tidings_fenced_settlements", "Settlements refused as another process had claimed the entry", ["station"])
OVERLOAD = Gauge("tidings_overload_level", "What the gateway does: 0 accepts all, 1 sheds low, 2 sheds medium, 3 refuses", [])
PRESSURE = Gauge("tidings_pressure", "Share of what Redis can hold that is in use", ["of"])
SHED = Counter("tidings_shed", "Notifications refused or suppressed under overload", ["priority"])
RETRIES = Counter("tidings_retries", "Attempts that will be repeated", ["channel", "error_class"])
DEAD_LETTERS = Counter("tidings_dead_letters", "Deliveries whose attempts are spent", ["channel"])
PROVIDER_BREAKER = Gauge(
    "tidings_provider_breaker", "A provider's circuit breaker: 0 closed, 1 half open, 2 open", ["provider"]
)
PROVIDER_SHARE = Gauge("tidings_provider_share", "A provider's share of its channel's notifications, 0 to 1", ["provider"])
PROVIDER_HEALTH = Gauge(
    "tidings_provider_health", "What a provider's answers, their time and its receipts leave of 1", ["provider", "by"]
)
CHANNEL_HALTED = Gauge("tidings_channel_halted", "1 while a channel is halted, else 0", ["channel"])
PROVIDER_EVENTS = Counter("tidings_provider_events", "Events that providers and apps told", ["provider", "result"])

METRICS = (
    STREAM_DEPTH,
    STREAM_LAG,
    STREAM_PENDING,
    STREAM_WAITING,
    HANDLED,
    LATENCY,
    BATCH_ITEMS,
    PROVIDER_REQUEST,
    FENCED,
    OVERLOAD,
    PRESSURE,
    SHED,
    RETRIES,
    DEAD_LETTERS,
    PROVIDER_BREAKER,
    PROVIDER_SHARE,
    PROVIDER_HEALTH,
    CHANNEL_HALTED,
    PROVIDER_EVENTS,
)


def channel_name(channel: int) -> str:
    """Label of a core.model.Channel; "none" for 0."""
    return CHANNEL_NAMES[Channel(channel)] if channel else "none"


def priority_name(priority: int) -> str:
    """Label of a core.model.Priority; "none" for 0."""
    return PRIORITY_NAMES[Priority(priority)] if priority else "none"


# The counter and the labels of what was handled before: to find them costs more than to count.
_handled: dict[tuple[str, int, int, str], tuple[Counter, tuple[str, str, str]]] = {}


def handled(station: str, channel: int, priority: int, outcome: str, records: Sequence[Record], *, now_ms: int) -> None:
    """Count records that a station is done with, with their age; all of one channel, priority and outcome.

    Args:
        station: "gateway", "dispatcher", "sender", "ledger".
        outcome: a status of core.model in lower case ("queued", "sent"), or why it went no further ("invalid").
        now_ms: milliseconds since the epoch.
    """
    handled_ages(station, channel, priority, outcome, ages(records), now_ms=now_ms)


def handled_ages(station: str, channel: int, priority: int, outcome: str, accepted: Mapping[int, int], *, now_ms: int) -> None:
    """`handled`, of records that were counted already: accepted_ms -> how many."""
    kept = _handled.get((station, channel, priority, outcome))
    if kept is None:
        where = (station, channel_name(channel), priority_name(priority))
        kept = _handled[station, channel, priority, outcome] = (HANDLED.labels(*where, outcome), where)
    counter, labels = kept
    counter.inc(sum(accepted.values()))
    for accepted_ms, count in accepted.items():
        LATENCY.observe(labels, max(now_ms - accepted_ms, 0) / 1000, count)


def exposition() -> bytes:
    """All metrics of this process as Prometheus reads them; their type is CONTENT_TYPE."""
    return generate_latest(REGISTRY)


def serve_metrics(listen: str) -> int | None:
    """Serve all metrics at `host:port`, path /metrics, from a daemon thread; the port, or None if it is 0 (off).

    Raises:
        OSError: the address is taken.
    """
    host, port = split_listen(listen)
    if port == 0:
        return None
    start_http_server(port, addr=host)
    return port
