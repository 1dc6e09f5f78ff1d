"""Every Redis name of tidings, made here and nowhere else. Pure: no Redis, no configuration but the partition count.

All keys of a partition share the hash tag {pN}, so that each atomic step stays inside one Cluster slot.
Names without a partition (members, changes) are small and touched outside of atomic steps.
"""

from core.model import Channel, Priority

PREFIX = "tidings"

CHANNEL_NAMES: dict[Channel, str] = {c: c.name.lower() for c in Channel}
PRIORITY_NAMES: dict[Priority, str] = {p: p.name.lower() for p in Priority}

UNROUTED = "unrouted"

DISPATCHERS = "dispatchers"  # consumer groups, one per kind of station
SENDERS = "senders"
LEDGERS = "ledgers"


def _at(partition: int, rest: str) -> str:
    return f"{PREFIX}:{{p{partition}}}:{rest}"


def inbound(partition: int, priority: Priority) -> str:
    """Stream: accepted notifications on their way to the dispatcher."""
    return _at(partition, f"in:{PRIORITY_NAMES[priority]}")


def outbound(partition: int, channel: Channel, priority: Priority) -> str:
    """Stream: rendered deliveries on their way to the channel's senders."""
    return _at(partition, f"out:{CHANNEL_NAMES[channel]}:{PRIORITY_NAMES[priority]}")


def outcomes(partition: int) -> str:
    """Stream: what happened, on its way to the ledger."""
    return _at(partition, "outcomes")


def dead(partition: int, channel: Channel | None) -> str:
    """Stream: deliveries whose attempts are spent (None: what broke before it had a channel); only operators read it."""
    return _at(partition, f"dead:{CHANNEL_NAMES[channel] if channel else UNROUTED}")


def waiting(stream: str) -> str:
    """Stream beside `stream`: its items that wait for a later time, one an entry, always pending, never read with `>`."""
    return f"{stream}:wait"


def due(stream: str) -> str:
    """Sorted set beside `stream`: entry ids of its waiting stream by the time (ms) at which someone must look again."""
    return f"{stream}:due"


def progress(stream: str) -> str:
    """Hash beside `stream`: entry id (never of the waiting stream) -> bitmap of the items whose outcome is already appended."""
    return f"{stream}:progress"


def trials(stream: str) -> str:
    """Hash beside `stream`: an entry that is worked on alone (`w` and its id: of the waiting stream) -> in which delivery."""
    return f"{stream}:trials"


def seen(partition: int, kind: str, span_s: int, number: int) -> str:
    """Hash: marks of a kind (see core/marks.py) that end in one span of time -> who claimed each first, and until when."""
    return _at(partition, f"seen:{kind}:{span_s}:{number}")


def halts() -> str:
    """Hash: channels that an operator or the dead-letter limit has halted -> why and since when."""
    return f"{PREFIX}:halts"


def bucket(account: str) -> str:
    """Hash: the token bucket of a provider account, shared by all senders."""
    return f"{PREFIX}:bucket:{account}"


def health(channel: Channel) -> str:
    """Hash: each sender process' view of its providers' breakers and weights, for operators."""
    return f"{PREFIX}:health:{CHANNEL_NAMES[channel]}"


def arrivals(provider: str, minute: int) -> str:
    """Hash: what became of what a provider took, of one minute (since the epoch), see core/arrivals.py."""
    return f"{PREFIX}:arrivals:{provider}:{minute}"


def members(station: str) -> str:
    """Sorted set: living processes of a station by the time (ms) of their last heartbeat."""
    return f"{PREFIX}:members:{station}"


def changes() -> str:
    """Pub/sub channel: recipients and templates that changed, so that caches drop them."""
    return f"{PREFIX}:changes"


def inbox(recipient_digest: str) -> str:
    """Pub/sub channel: something new for a recipient's in-app inbox."""
    return f"{PREFIX}:inbox:{recipient_digest}"


def short(stream: str) -> str:
    """A stream's name without prefix and partition, as people and metrics see it: "in:critical", "outcomes"."""
    return stream.split("}:", 1)[1]
