"""Turns what stations reported about one delivery into an ordered timeline, whose last line is the status. Pure.

Reports arrive in any order and more than once, from clocks that disagree: a provider's webhook has its time in whole
seconds, an entry claimed from a dead process is told later than what followed it. So times do not decide the order:

1. to 3. are told in fastpath.outcomes.Order, as the packer of rows goes by them too. Ranks are core.model.RANK.
4. Nobody reports ACCEPTED and SENDING by themselves, to save an outcome each: they are implied by the times that
   outcomes carry.
5. The same fact told twice is one event, as first told. What a recipient may do again (open, click) is a fact each time.
"""

from collections.abc import Iterable
from typing import NamedTuple

from core.model import RANK, Station, Status
from fastpath.outcomes import Order, billed
from ledger.values import Report, TimelineEvent

ORDER = Order(
    {int(status): rank for status, rank in RANK.items()},
    waits=frozenset({Status.SCHEDULED, Status.QUEUED}),
    own=frozenset({Status.ACCEPTED, Status.SCHEDULED, Status.QUEUED, Status.SENDING}),
)
_REPEATS = frozenset({Status.OPENED, Status.CLICKED})


class Timeline(NamedTuple):
    """A delivery's events in order, and what follows from them. `events` is not empty."""

    events: tuple[TimelineEvent, ...]
    attempts: int
    provider: str  # the one that had it last
    provider_id: str
    units: int


def build(accepted_ms: int, reports: Iterable[Report]) -> Timeline:
    """The timeline of one delivery that was accepted at `accepted_ms`, from its reports in any order."""
    told = _distinct(_implied(accepted_ms, reports))
    latest = max(ORDER.reach(r.status, r.attempt) for r in told)
    told.sort(key=lambda r: (*ORDER.place(r.status, r.attempt, latest), r.at_ms))
    events = tuple(
        TimelineEvent(r.status, r.at_ms, r.station, _shown_attempt(r, latest), r.provider, r.code, r.reason) for r in told
    )
    return Timeline(
        events,
        max(event.attempt for event in events),
        next((r.provider for r in reversed(told) if r.provider), ""),
        next((r.provider_id for r in reversed(told) if r.provider_id), ""),
        billed((ORDER.place(r.status, r.attempt, latest)[0], r.units) for r in told),
    )


def _shown_attempt(report: Report, latest: int) -> int:
    return report.attempt if report.status in ORDER.waits else ORDER.place(report.status, report.attempt, latest)[0]


def _implied(accepted_ms: int, reports: Iterable[Report]) -> Iterable[Report]:
    yield Report(Status.ACCEPTED, Station.GATEWAY, 0, accepted_ms)
    for report in reports:
        if report.sending_ms and report.status != Status.SENDING:
            yield Report(Status.SENDING, Station.SENDER, report.attempt, report.sending_ms, provider=report.provider)
        yield report


def _distinct(reports: Iterable[Report]) -> list[Report]:
    found: dict[tuple[object, ...], Report] = {}
    for report in reports:
        key = _fact(report)
        known = found.get(key)
        if known is None or report.at_ms < known.at_ms:
            found[key] = report
    return list(found.values())


def _fact(r: Report) -> tuple[object, ...]:
    """What makes two reports the same fact. Two SENT with different provider ids are two: it was sent twice."""
    if r.status in ORDER.own:
        return (r.status, r.attempt)
    at_ms = r.at_ms if r.status in _REPEATS else 0
    return (r.status, r.attempt, r.station, r.provider, r.provider_id, r.code, r.reason, at_ms)
