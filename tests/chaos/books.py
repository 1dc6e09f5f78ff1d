"""Four books held against each other, item by item: callers, Redis, providers, ledger. Pure: counts in, a verdict out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.model import Status

ARRIVED = frozenset({Status.SENT, Status.DELIVERED, Status.OPENED, Status.CLICKED, Status.READ})
ENDED = frozenset({Status.FAILED, Status.DEAD, Status.UNKNOWN, Status.SUPPRESSED, Status.EXPIRED, Status.CANCELLED})
SHOWN = 5  # examples named of each kind of fault


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger says of one notification: its status, and how many attempts were left without an answer."""

    status: Status
    ambiguous: int = 0


@dataclass(slots=True)
class Report:
    """What came of the comparison; `problems` is empty if the books balance."""

    acknowledged: int = 0
    sent: int = 0
    delivered: int = 0
    dead: int = 0
    failed: int = 0
    unknown: int = 0
    lost: int = 0
    duplicates: int = 0
    ambiguous: int = 0
    strangers: int = 0
    problems: list[str] = field(default_factory=list)


def reconcile(
    acknowledged: Mapping[int, str],
    unanswered: int,
    received: Mapping[str, int],
    ledger: Mapping[str, Entry],
    *,
    left_in_redis: int,
    in_flight: int,
) -> Report:
    """Compares the books.

    Args:
        acknowledged: notification number -> id, as callers were told.
        unanswered: calls that ended without an answer; each may or may not have been accepted.
        received: id -> how often its provider (or inbox) took it.
        ledger: id -> what the ledger says.
        left_in_redis: entries and waiting items left on the path when all is quiet (dead letters apart).
        in_flight: deliveries that were in a sender's hand when it, or Redis, was killed or paused.
    """
    report = Report(acknowledged=len(acknowledged))
    ids = set(acknowledged.values())
    if len(ids) != len(acknowledged):
        report.problems.append(f"{len(acknowledged) - len(ids)} ids were given to two notifications")
    wrong: dict[str, list[str]] = {"lost": [], "sent by the ledger, received by nobody": []}
    for id_ in ids:
        entry, times = ledger.get(id_), received.get(id_, 0)
        report.duplicates += max(0, times - 1)
        if entry is None or entry.status not in ARRIVED | ENDED:
            wrong["lost"].append(f"{id_} ({entry.status.name if entry else 'not in the ledger'}, received {times} times)")
            continue
        report.ambiguous += entry.ambiguous
        report.sent += entry.status in ARRIVED
        report.delivered += entry.status in ARRIVED and entry.status is not Status.SENT
        report.dead += entry.status is Status.DEAD
        report.failed += entry.status is Status.FAILED
        report.unknown += entry.status is Status.UNKNOWN
        if entry.status in ARRIVED and not times:
            wrong["sent by the ledger, received by nobody"].append(id_)
    report.lost = len(wrong["lost"])
    report.strangers = len(received.keys() - ids)
    for what, found in wrong.items():
        if found:
            report.problems.append(f"{len(found)} {what}: {', '.join(found[:SHOWN])}")
    if left_in_redis:
        report.problems.append(f"{left_in_redis} entries are left in Redis")
    if report.strangers > unanswered:
        report.problems.append(f"{report.strangers} received that nobody was told of, with {unanswered} calls unanswered")
    bound = in_flight + report.ambiguous
    if report.duplicates > bound:
        report.problems.append(f"{report.duplicates} duplicates, more than the {bound} that were in flight or unanswered")
    return report
