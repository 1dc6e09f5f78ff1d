"""How full everything is: depth, lag, pending and waiting of every stream, for metrics, admission and operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core import keys
from core.errors import StoreError
from core.metrics import STREAM_DEPTH, STREAM_LAG, STREAM_PENDING, STREAM_WAITING
from core.model import Channel, Priority
from core.store import Command, Store

STATIONS: tuple[str, ...] = ("dispatcher", *(f"sender-{name}" for name in keys.CHANNEL_NAMES.values()), "ledger")


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream of the path, summed over its partitions. All counts are entries (frames), `waiting` is items.

    Attributes:
        stream: "in:critical", "out:email:high", "outcomes", "dead:sms", "dead:unrouted".
        group: the consumer group that reads it; "" for dead letters.
        depth: entries in it, read or not.
        lag: entries nobody has read yet.
        pending: entries a consumer has in hand.
        waiting: items that wait for a later time.
    """

    stream: str
    group: str
    depth: int = 0
    lag: int = 0
    pending: int = 0
    waiting: int = 0


def paths(partition: int) -> list[tuple[str, str]]:
    """Every stream of a partition with the group that reads it, in the order of the path."""
    found = [(keys.inbound(partition, p), keys.DISPATCHERS) for p in Priority]
    found += [(keys.outbound(partition, c, p), keys.SENDERS) for c in Channel for p in Priority]
    found += [(keys.outcomes(partition), keys.LEDGERS)]
    return found + [(keys.dead(partition, c), "") for c in (*Channel, None)]


async def census(store: Store, partitions: int) -> list[StreamState]:
    """The state of every stream, in the order of the path; one round trip."""
    streams = [path for partition in range(partitions) for path in paths(partition)]
    commands: list[Command] = []
    for name, _ in streams:
        commands += [["XLEN", name], ["XINFO", "GROUPS", name], ["ZCARD", keys.due(name)]]
    replies = await store.exchange(commands)
    states: dict[str, StreamState] = {}
    for i, (name, group) in enumerate(streams):
        one = _state(keys.short(name), group, replies[3 * i : 3 * i + 3])
        so_far = states.get(one.stream)
        states[one.stream] = _sum(so_far, one) if so_far else one
    return list(states.values())


def publish(states: Sequence[StreamState]) -> None:
    """Shows a census on the metrics page."""
    for state in states:
        STREAM_DEPTH.labels(state.stream).set(state.depth)
        STREAM_LAG.labels(state.stream).set(state.lag)
        STREAM_PENDING.labels(state.stream).set(state.pending)
        STREAM_WAITING.labels(state.stream).set(state.waiting)


def _state(stream: str, group: str, replies: Sequence[Any]) -> StreamState:
    depth, groups, waiting = replies
    for reply in (depth, waiting):
        if isinstance(reply, StoreError):
            raise reply
    lag = pending = 0
    found = False
    for fields in [] if isinstance(groups, StoreError) else groups:  # XINFO refuses a stream that does not exist yet
        info = {fields[i].decode(): fields[i + 1] for i in range(0, len(fields), 2)}
        if info["name"].decode() == group:
            found = True
            pending = int(info["pending"])
            lag = int(info["lag"]) if info["lag"] is not None else max(0, depth - pending)
    return StreamState(stream, group, int(depth), lag if found or not group else int(depth), pending, int(waiting))


def _sum(a: StreamState, b: StreamState) -> StreamState:
    return StreamState(a.stream, a.group, a.depth + b.depth, a.lag + b.lag, a.pending + b.pending, a.waiting + b.waiting)
