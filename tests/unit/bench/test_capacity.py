"""The capacity model: its sums, and that measured runs are where it says they should be."""

from dataclasses import replace
from typing import Any

import pytest

from bench.capacity import BUSY, GIB, Costs, Demand, costs_of, plan, rate, rows
from bench.history import history, latest
from bench.limits import LIMITS

CPU = {"gateway": 10.0, "dispatcher": 20.0, "sender": 7.0, "ledger": 5.0, "valkey": 14.0, "postgresql": 8.0}
COSTS = Costs(
    CPU, {}, queued_bytes=400, mark_bytes=100, delivery_bytes=500, recipient_bytes=200, wal_bytes=1000, provider_us={}
)
SHARES = {"email": 0.5, "push": 0.4, "sms": 0.1}
DEMAND = Demand(50_000, 1e9, 100e6, keep_days=30, outage_s=600, keyed=1.0, strangers=0.0, shares=SHARES)
RUNS = history("pipeline")


def test_cpu_becomes_processes_shards_and_cores() -> None:
    found = plan(COSTS, DEMAND)
    assert found.processes == {"gateway": 1, "dispatcher": 2, "sender": 1, "ledger": 1}  # 0.5, 1.0, 0.35, 0.25 cores at 70 %
    assert found.redis_shards == 1
    assert found.cores == pytest.approx(50_000 * 64e-6 / BUSY)
    assert found.partitions >= 2 * found.redis_shards


def test_speaking_to_providers_takes_senders() -> None:
    found = plan(replace(COSTS, provider_us={"push": 100.0, "sms": 200.0}), DEMAND)
    assert found.processes["sender"] == 5  # 0.35 cores, 2.0 for 20,000 pushes and 1.0 for 5,000 SMS, at 70 %
    assert found.processes["dispatcher"] == 2


def test_strangers_take_dispatchers_and_postgresql() -> None:
    costs = replace(COSTS, stranger_us={"dispatcher": 30.0, "postgresql": 6.0})
    half, all_ = (plan(costs, replace(DEMAND, strangers=share)) for share in (0.5, 1.0))
    assert (half.processes["dispatcher"], all_.processes["dispatcher"]) == (3, 4)  # 35 and 50 us, 1.75 and 2.5 cores at 70 %
    assert all_.postgres_cores == pytest.approx(50_000 * 14e-6 / BUSY)


def test_bytes_become_memory_and_disk() -> None:
    found = plan(COSTS, DEMAND)
    assert found.redis_queue_gib == pytest.approx(50_000 * 600 * 400 / GIB)
    assert found.redis_marks_gib == pytest.approx(
        1e9 * (30 + 31) / 24 * 100 / GIB
    )  # 24 and 25 hours, and the span of 6 that they end in
    assert found.postgres_deliveries_gib == pytest.approx(1e9 * 30 * 500 / GIB)
    assert found.postgres_recipients_gib == pytest.approx(100e6 * 200 / GIB)
    assert plan(COSTS, replace(DEMAND, keyed=0.0)).redis_marks_gib == 0


def test_twice_the_load_takes_twice_as_much() -> None:
    once, twice = plan(COSTS, DEMAND), plan(COSTS, replace(DEMAND, per_second=100_000))
    assert twice.cores == pytest.approx(2 * once.cores)
    assert twice.processes["dispatcher"] == 3  # 2.86


def test_providers_limits_become_accounts() -> None:
    accounts = plan(COSTS, DEMAND).accounts
    assert accounts["FCM projects"] == "2"  # 20,000 pushes a second
    assert accounts["Twilio long codes (US)"] == "5,000"
    assert accounts["Twilio accounts"] == "3"
    assert accounts["SendGrid accounts"] == "no published number"
    assert all(limit.source.startswith("https://") for limit in LIMITS)


def test_results_become_costs() -> None:
    names = ("sender-email", "sender-sms", "gateway-2", "valkey", "bench", "dispatcher", "postgresql")
    strangers = {"dispatcher": {"median": 9.0}, "postgresql": {"median": 1.0}, "valkey": {"median": 7.0}}
    pipeline = {"cpu_us": {name: {"median": 1.5} for name in names}, "strangers": {"cpu_us": strangers}}
    sizes = {"10": {"bytes": 1.0}, "9": {"bytes": 2.0}}
    backlog: dict[str, Any] = {
        **sizes,
        "mark_bytes": 3,
        "postgres_bytes": {"delivery": 4, "recipient": 5, "wal": 6, "inbox": 0},
    }
    spoken = {
        name: {"cpu_us": {"ours": {"median": us}}} for name, us in (("email", 1.0), ("sms", 2.0), ("fcm", 4.0), ("apns", 8.0))
    }
    found = costs_of(pipeline, backlog, {"details": spoken})
    cpu_us = {"sender": 3.0, "gateway": 1.5, "valkey": 1.5, "dispatcher": 1.5, "postgresql": 1.5}
    provider_us = {"email": 1.0, "sms": 2.0, "push": 6.0}
    assert found == Costs(cpu_us, {"dispatcher": 7.5, "postgresql": 0.0}, 1.0, 3, 4, 5, 6, provider_us)


def test_every_line_of_a_plan_is_for_people() -> None:
    assert all(name and value for name, value in rows(plan(COSTS, DEMAND)))


@pytest.mark.parametrize("run", RUNS, ids=[f"{run['date']}-{run['commit']}" for run in RUNS])
def test_a_measured_run_is_where_the_model_says(run: dict[str, Any]) -> None:
    """No run beats the cores it had, and none is held up by something that the model does not know."""
    cpu_us = {name: us["median"] for name, us in run["cpu_us"].items()}  # the load generator ran on the same cores
    measured = run["recorded_per_s"]["median"]
    cores, others = run["cores"], run.get("others", 0.0)
    assert measured <= 1.1 * rate(cpu_us, cores)
    assert measured >= 0.5 * rate(cpu_us, cores, others)


def test_there_is_a_run_to_hold_the_model_against() -> None:
    assert latest("pipeline") is not None
    assert latest("backlog") is not None
