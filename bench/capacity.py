"""`python -m bench.capacity --per-second 50000`: what a load takes in processes, Redis shards, memory and disk.

A model of sums and quotients. Its constants are measured ones: CPU of each process per notification by bench.pipeline, of a
sender for speaking to its provider by bench.providers, bytes by bench.backlog, the newest results of each (bench/results). Pure
but for reading those. Providers' limits: bench/limits.py.
"""

import argparse
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from bench.history import latest
from bench.limits import LIMITS
from core.marks import CLAIMED_S, RESERVED_S
from fastpath.values import KEY_SPAN_S

BUSY = 0.7  # share of a core that a process is planned to use at the peak: queues grow without bounds near 1
DAY_S = 86_400
GIB = 2**30
CHANNELS = ("email", "sms", "push", "in_app")
SPOKEN = {"email": ("email",), "sms": ("sms",), "push": ("fcm", "apns")}  # cases of bench.providers; of pushes half by each
SERVERS = ("valkey", "postgresql")
# What the two marks of an idempotency key, the gateway's and the dispatcher's, live until their hashes are dropped, at most.
KEY_MARKS_S = RESERVED_S + CLAIMED_S + 2 * KEY_SPAN_S
LOOK_UP = ("dispatcher", "postgresql")  # who works when the dispatcher does not know a recipient
APART = ("bench", "sandbox")  # the load generator and the providers are no part of a deployment


@dataclass(frozen=True, slots=True)
class Costs:
    """What a notification takes.

    Attributes:
        cpu_us: by process ("gateway", "dispatcher", "sender", "ledger", "valkey", "postgresql"), microseconds; of a sender
            what it takes to hand over to a provider in its own process.
        stranger_us: by process, what comes on top for a recipient that the dispatcher must look up, microseconds.
        provider_us: by channel, microseconds of a sender for a message that goes to a provider over the network.
        queued_bytes: in Redis while it waits.
        mark_bytes: in Redis for each mark (idempotency key or content within its dedupe window).
        delivery_bytes, recipient_bytes: in PostgreSQL, indexes included.
        wal_bytes: PostgreSQL's log.
    """

    cpu_us: Mapping[str, float]
    stranger_us: Mapping[str, float]
    queued_bytes: float
    mark_bytes: float
    delivery_bytes: float
    recipient_bytes: float
    wal_bytes: float
    provider_us: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of it.

    Attributes:
        per_second: notifications at the peak.
        per_day: notifications a day.
        recipients: stored ones.
        keep_days: how long PostgreSQL keeps deliveries.
        outage_s: how long a peak's worth is to be kept while no provider answers.
        keyed: share of notifications with an idempotency key.
        strangers: share to recipients that had none in the last minute: a campaign's all, a conversation's few.
        shares: of each channel.
    """

    per_second: float
    per_day: float
    recipients: float
    keep_days: float
    outage_s: float
    keyed: float
    strangers: float
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes. Memory and disk in GiB, `wal_mib_s` and `cores` at the peak."""

    processes: Mapping[str, int]
    redis_shards: int
    redis_queue_gib: float
    redis_marks_gib: float
    postgres_cores: float
    postgres_deliveries_gib: float
    postgres_recipients_gib: float
    wal_mib_s: float
    cores: float
    partitions: int
    accounts: Mapping[str, str]


def costs_of(pipeline: Mapping[str, Any], backlog: Mapping[str, Any], providers: Mapping[str, Any]) -> Costs:
    """The constants in a result of bench.pipeline, one of bench.backlog (of its largest size) and one of bench.providers."""
    cpu_us: dict[str, float] = {}
    for process, us in pipeline["cpu_us"].items():
        if process not in APART:
            kind = "sender" if process.startswith("sender-") else process.rstrip("-0123456789")
            cpu_us[kind] = cpu_us.get(kind, 0.0) + us["median"]
    largest = backlog[str(max(int(size) for size in backlog if size.isdigit()))]
    postgres = backlog["postgres_bytes"]
    strangers = pipeline["strangers"]["cpu_us"]
    return Costs(
        cpu_us,
        {name: max(0.0, strangers[name]["median"] - cpu_us[name]) for name in LOOK_UP},
        largest["bytes"],
        backlog["mark_bytes"],
        postgres["delivery"],
        postgres["recipient"],
        postgres["wal"],
        {
            channel: mean(providers["details"][name]["cpu_us"]["ours"]["median"] for name in by)
            for channel, by in SPOKEN.items()
        },
    )


def rate(cpu_us: Mapping[str, float], cores: float, others: float = 0.0) -> float:
    """Notifications a second that `cores` carry if nothing else holds them up, `others` being the share they lose."""
    return cores * (1 - others) * 1e6 / sum(cpu_us.values())


def plan(costs: Costs, demand: Demand) -> Plan:
    """What `demand` takes at these `costs`."""
    cpu_us = {name: us + demand.strangers * costs.stranger_us.get(name, 0.0) for name, us in costs.cpu_us.items()}
    cpu_us["sender"] += sum(demand.shares.get(channel, 0.0) * us for channel, us in costs.provider_us.items())
    busy = {name: demand.per_second * us / 1e6 for name, us in cpu_us.items()}  # cores
    processes = {name: math.ceil(used / BUSY) for name, used in busy.items() if name not in SERVERS}
    shards = math.ceil(busy.get("valkey", 0.0) / BUSY)
    marks = demand.per_day / DAY_S * demand.keyed * KEY_MARKS_S * costs.mark_bytes
    stored = demand.per_day * demand.keep_days * costs.delivery_bytes
    return Plan(
        processes,
        shards,
        demand.per_second * demand.outage_s * costs.queued_bytes / GIB,
        marks / GIB,
        busy.get("postgresql", 0.0) / BUSY,
        stored / GIB,
        demand.recipients * costs.recipient_bytes / GIB,
        demand.per_second * costs.wal_bytes / 2**20,
        sum(busy.values()) / BUSY,
        2 ** math.ceil(math.log2(max(2, *processes.values(), 2 * shards))),
        {limit.name: limit.needed(demand.per_second * demand.shares.get(limit.channel, 0.0)) for limit in LIMITS},
    )


def measured() -> Costs:
    """The newest constants.

    Raises:
        SystemExit: there is no result of one of the workloads yet.
    """
    pipeline, backlog, providers = latest("pipeline"), latest("backlog"), latest("providers")
    if pipeline is None or backlog is None or providers is None:
        raise SystemExit("no results yet: run python -m bench pipeline backlog providers")
    return costs_of(pipeline, backlog, providers)


def rows(found: Plan) -> list[tuple[str, str]]:
    """A plan for people: (what, how much)."""
    lines = [(f"{name} processes", f"{count}") for name, count in sorted(found.processes.items())]
    return [
        *lines,
        ("Redis shards (masters)", f"{found.redis_shards}"),
        ("Redis memory for the queue", f"{found.redis_queue_gib:,.1f} GiB"),
        ("Redis memory for idempotency keys", f"{found.redis_marks_gib:,.1f} GiB"),
        ("PostgreSQL cores", f"{found.postgres_cores:.1f}"),
        ("PostgreSQL disk, deliveries", f"{found.postgres_deliveries_gib:,.0f} GiB"),
        ("PostgreSQL disk, recipients", f"{found.postgres_recipients_gib:,.1f} GiB"),
        ("PostgreSQL log at the peak", f"{found.wal_mib_s:,.1f} MiB/s"),
        ("cores in all at the peak", f"{found.cores:.1f}"),
        ("TIDINGS_PARTITIONS, at least", f"{found.partitions}"),
        *((name, needed) for name, needed in found.accounts.items()),
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--per-second", type=float, default=50_000, help="notifications at the peak")
    parser.add_argument("--per-day", type=float, default=0, help="notifications a day; 0 is the peak all day")
    parser.add_argument("--recipients", type=float, default=100e6)
    parser.add_argument("--keep-days", type=float, default=30)
    parser.add_argument("--outage-s", type=float, default=900, help="how long the peak is kept while no provider answers")
    parser.add_argument("--keyed", type=float, default=1.0, help="share with an idempotency key, 0 to 1")
    parser.add_argument("--strangers", type=float, default=1.0, help="share to recipients not written to in the last minute")
    for channel, share in zip(CHANNELS, (0.4, 0.05, 0.4, 0.15), strict=True):
        parser.add_argument(f"--{channel.replace('_', '-')}", type=float, default=share, help="its share of all, 0 to 1")
    parser.add_argument("--cores", type=float, default=len(os.sched_getaffinity(0)), help="of the machine in `carries_per_s`")
    parser.add_argument("--json", action="store_true")
    knobs = parser.parse_args()
    demand = Demand(
        knobs.per_second,
        knobs.per_day or knobs.per_second * DAY_S,
        knobs.recipients,
        knobs.keep_days,
        knobs.outage_s,
        knobs.keyed,
        knobs.strangers,
        {channel: getattr(knobs, channel) for channel in CHANNELS},
    )
    costs = measured()
    found = plan(costs, demand)
    if knobs.json:
        print(json.dumps({**asdict(found), "carries_per_s": round(rate(costs.cpu_us, knobs.cores))}))
        return
    for name, value in rows(found):
        print(f"{name:36} {value}")
    print(f"{f'carried by {knobs.cores:g} cores':36} {rate(costs.cpu_us, knobs.cores):,.0f}/s")


if __name__ == "__main__":
    main()
