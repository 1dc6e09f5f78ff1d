"""Results as Markdown tables. Pure: results in, lines out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from bench.capacity import Demand, costs_of, plan, rows
from bench.limits import LIMITS

Result: TypeAlias = Mapping[str, Any]
NOTHING = "Not measured yet: `make bench` does it."
SCENARIOS = (
    ("50,000/s for an hour, 200 million a day", Demand(50_000, 200e6, 100e6, 30, 900, 1.0, 1.0, {})),
    ("a billion a day, 50,000/s at the peak", Demand(50_000, 1e9, 100e6, 30, 900, 1.0, 1.0, {})),
)
MIX = {"email": 0.4, "sms": 0.05, "push": 0.4, "in_app": 0.15}


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    ruled = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in ruled)


def number(value: float | Mapping[str, float]) -> str:
    """A figure, or the median of several."""
    found = value["median"] if isinstance(value, Mapping) else value
    return f"{found:,.0f}" if abs(found) >= 100 else f"{found:,.1f}" if abs(found) >= 10 else f"{found:g}"


def between(value: float | Mapping[str, float]) -> tuple[str, str, str]:
    """Minimum, median, maximum; the same figure thrice if there is only one."""
    if not isinstance(value, Mapping):
        return "", number(value), ""
    return number(value["min"]), number(value["median"]), number(value["max"])


def origin(result: Result) -> str:
    """Where and when a result was made."""
    others = f", {result['others']:.0%} of the CPU used by others" if "others" in result else ""
    memory = f", memory at {result['memory_ns']:.0f} ns" if "memory_ns" in result else ""
    malloc = f", {result['malloc']}" if "malloc" in result else ""
    return f"{result['date'][:10]}, commit {result['commit']}, {result['cores']} cores{others}{memory}{malloc}"


def _speeds(result: Result) -> list[tuple[str, Any]]:
    speeds = [(f"{name[:-6]}, a second", result[name]) for name in ("accepted_per_s", "delivered_per_s", "recorded_per_s")]
    return [*speeds, ("CPU of everything, us each", result["cpu_us_sum"])]


def headline(result: Result) -> list[tuple[str, Any]]:
    """The figures of a workload that a reader wants first: (what, figure or spread)."""
    match result["workload"]:
        case "pipeline":
            strangers = [(f"to strangers: {what}", figure) for what, figure in _speeds(result["strangers"])]
            return [*_speeds(result), *strangers]
        case "priority":
            latency = result["critical_ms"]
            return [(f"critical {name}, ms", latency[name]) for name in latency] + [
                ("drain under load / alone", result["drain_ratio"])
            ]
        case "gateway":
            names = ("batch_per_s", "unary_ratio", "stream_ratio")
            return [(name.replace("_per_s", ", a second").replace("_", " "), result[name]) for name in names]
        case "fastpath":
            return [(f"{name}, times {one['against']}", one["ratio"]) for name, one in _named(result, "ratio")]
        case "providers":
            return [(f"{name}, share of the bare client", figure) for name, figure in result["providers"].items()]
        case "peers":
            return [(f"{name}, a second", one) for name, one in _named(result, "median")]
        case _:
            sizes = [(f"{int(size):,} queued: CPU, us each", one["cpu_us_spread"]) for size, one in _sizes(result)]
            ratios = [(f"{int(size):,} queued: memory / frame", one["memory_ratio"]) for size, one in _sizes(result)]
            restart = [("restart under a backlog, s", result["recovery_s"])] if "recovery_s" in result else []
            return [*sizes, ("the dearest size / the cheapest", result["dearest_to_cheapest"]), *ratios, *restart]


def _named(result: Result, key: str) -> list[tuple[str, Any]]:
    return [(name, one) for name, one in result.items() if isinstance(one, Mapping) and key in one]


def _sizes(result: Result) -> list[tuple[str, Any]]:
    return [(name, one) for name, one in result.items() if name.isdigit()]


def summary(results: Sequence[Result]) -> str:
    """The headline figures of all workloads."""
    if not results:
        return NOTHING
    lines = [(one["workload"], what, *between(figure), origin(one)) for one in results for what, figure in headline(one)]
    return table(("workload", "figure", "min", "median", "max", "when and where"), lines)


def costs(result: Result) -> str:
    """CPU of each process per notification."""
    strangers = result["strangers"]
    dearest = sorted(result["cpu_us"].items(), key=lambda one: -one[1]["median"])
    lines = [(name, *between(us), number(strangers["cpu_us"].get(name, 0.0))) for name, us in dearest]
    whole = ("**in all**", *between(result["cpu_us_sum"]), number(strangers["cpu_us_sum"]))
    return table(("process", "min, us", "median, us", "max, us", "to strangers, median"), [*lines, whole])


def stages(result: Result) -> str:
    """Where the time of critical ones goes."""
    names = ("p50", "p99", "p999", "max")
    parts = [(stage, *(number(one[name]) for name in names)) for stage, one in result["critical_stages_ms"].items()]
    whole = [
        (f"**{name}, from the call**", *(number(result[f"{name}_ms"][p]) for p in names))
        for name in ("critical", "high", "medium")
        if f"{name}_ms" in result
    ]
    speed = (
        f"The drain: {number(result['drain_alone_per_s'])}/s alone, {number(result['drain_loaded_per_s'])}/s under this load."
    )
    return f"{table(('milliseconds', 'p50', 'p99', 'p99.9', 'max'), [*parts, *whole])}\n\n{speed}"


def growth(result: Result) -> str:
    """Cost and memory as the backlog grows."""
    lines = [
        (f"{int(size):,}", number(one["cpu_us"]), number(one["bytes"]), number(one["encoded_bytes"]), one["memory_ratio"])
        for size, one in _sizes(result)
    ]
    left = result["postgres_bytes"]
    words = (
        f"A delivery leaves {number(left['delivery'])} bytes in PostgreSQL (indexes included) and {number(left['wal'])} in "
        f"its log; a recipient takes {number(left['recipient'])}, a mark in Redis {number(result['mark_bytes'])}."
    )
    return table(("queued", "CPU, us each", "bytes each in Redis", "in its frame", "ratio"), lines) + "\n\n" + words


def rivals(result: Result) -> str:
    """The same job on other queues."""
    ratios = result["pipeline_ratio"]
    lines = [(name, *between(one), f"{ratios[name]:g}" if name in ratios else "") for name, one in _named(result, "median")]
    return table(("who", "min/s", "median/s", "max/s", "the whole path is so many times as fast"), lines)


def shares(result: Result) -> str:
    """Senders beside bare clients."""
    lines = [
        (
            name,
            f"{one['ratio']:g}",
            *(number(one["cpu_us"][side]) for side in ("ours", "bare")),
            number(one["messages_per_call"]),
        )
        for name, one in result["details"].items()
    ]
    return table(("case", "share of the bare client's rate", "sender, us", "bare client, us", "messages a call"), lines)


def capacity(pipeline: Result, backlog: Result, providers: Result) -> str:
    """The model's answers for SCENARIOS."""
    found = costs_of(pipeline, backlog, providers)
    plans = [rows(plan(found, _mixed(demand))) for _, demand in SCENARIOS]
    lines = [(what, *(dict(one)[what] for one in plans)) for what, _ in plans[0]]
    return table(("", *(name for name, _ in SCENARIOS)), lines)


def _mixed(demand: Demand) -> Demand:
    return Demand(**{name: getattr(demand, name) for name in demand.__slots__ if name != "shares"}, shares=MIX)


def limits() -> str:
    """What providers take."""
    return table(("of", "limit"), [(one.name, f"{one.words} ([source]({one.source}))") for one in LIMITS])


DETAILS: dict[str, Callable[[Result], str]] = {
    "pipeline": costs,
    "priority": stages,
    "backlog": growth,
    "providers": shares,
    "peers": rivals,
}
