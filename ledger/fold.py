"""Folds the outcomes of one batch: what is known of a delivery when its row is written becomes that one row. Pure, no I/O.

A delivery's usual life (queued, sending, sent, often delivered) is over within a fraction of a second, so with a little
patience its outcomes meet in one batch and cost PostgreSQL one row instead of three.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from core.ids import format_id
from core.model import Channel, Station, Status
from fastpath import Record
from fastpath.layout import FIRST
from ledger.timeline import place, reach

_STATUSES = frozenset(map(int, Status))
_STATIONS = frozenset(map(int, Station))
_CHANNELS = frozenset({0, *map(int, Channel)})  # 0: it ended before it was routed

Key = tuple[bytes, int, int]  # notification id, channel, device


class Life(NamedTuple):
    """A delivery whose row is to be written."""

    first: Record  # the outcome that opened it, with its static fields
    last: Record  # the outcome that is its status
    told: list[Record]  # every outcome of it in the batch, `first` and `last` included


class Folded(NamedTuple):
    """What to write: `lives` as rows of deliveries, `late` as rows of events."""

    lives: list[Life]
    late: list[Record]


def key_of(outcome: Record) -> Key:
    """Which delivery an outcome is about."""
    return outcome.id, outcome.channel, outcome.device


def fold(outcomes: Iterable[Record], written: Collection[Key] = ()) -> Folded:
    """Groups the outcomes of a batch by delivery.

    Args:
        outcomes: in any order; several with flags & FIRST for one delivery make one row all the same.
        written: deliveries that have their row already: theirs are events, whatever their flags say.

    Raises:
        ValueError: an outcome with a status, station or channel that core.model does not know. Written, it could not be read.
    """
    groups: dict[Key, list[Record]] = {}
    for outcome in outcomes:
        key = (outcome.id, outcome.channel, outcome.device)
        if outcome.status not in _STATUSES or outcome.station not in _STATIONS or key[1] not in _CHANNELS:
            what = f"status {outcome.status} of station {outcome.station} on channel {key[1]}"
            raise ValueError(f"notification {format_id(outcome.id)}: there is no {what}")
        group = groups.get(key)
        if group is None:
            groups[key] = [outcome]
        else:
            group.append(outcome)
    lives: list[Life] = []
    late: list[Record] = []
    for key, group in groups.items():
        first = next((o for o in group if o.flags & FIRST), None)
        if first is None or key in written:
            late += group
        else:
            lives.append(Life(first, last_of(group), group))
    return Folded(lives, late)


def last_of(group: list[Record]) -> Record:
    """The outcome of a delivery that is its status: the last one in the order of ledger.timeline."""
    if len(group) == 1:
        return group[0]
    latest = 0
    for outcome in group:  # plain loops: this is called for every delivery, and max() with a key costs three times as much
        latest = max(latest, reach(outcome.status, outcome.attempt))
    last, highest = group[0], (-1, 0, 0)
    for outcome in group:
        height = (*place(outcome.status, outcome.attempt, latest), outcome.at_ms)
        if height >= highest:
            last, highest = outcome, height
    return last
